//! A part of a segment that had been durable and in which no frame verifies: which of its events do.
//!
//! An event has a checksum of its own, signed for its place. So it is known for what it is where the
//! header of its frame, or another event of the same commit, is not. Events that follow each other are
//! taken together, as a piece of their frame.
//!
//! Invariants:
//!
//! 1. An event is taken only if it verifies, and if position and commit time continue the log.
//! 2. Events of a commit that may never have become durable are not taken: such a commit is kept whole
//!    or not at all.

use std::ops::Range;

use crate::error::{Damage, Error, Result};
use crate::format::{
    EVENT_HEADER_BYTES, EventPlace, FRAME_HEADER_BYTES, Fault, Location, SEGMENT_HEADER_BYTES,
};
use crate::io::DiskFile;
use crate::position::GlobalPosition;
use crate::segment::{EventRun, Scan, Scanned, Segment};
use crate::timestamp::Timestamp;

/// What a repair keeps of a commit that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The events that verify.
    Events,
    /// Nothing: for a log with more damage than can be listed by event.
    Nothing,
}

/// A part of a segment in which no frame verifies.
#[derive(Debug)]
pub(crate) struct Broken<'a> {
    /// The offsets of its first byte and after its last one.
    pub(crate) range: Range<u64>,
    /// The position that comes after it.
    pub(crate) next: GlobalPosition,
    /// What is known to have been durable: frames that begin before this location.
    pub(crate) durable: Location,
    /// Whether a footer counts its events.
    pub(crate) is_counted: bool,
    /// Why its first frame does not verify.
    pub(crate) reason: &'a str,
}

/// How much had been durable of a segment that is sealed.
pub(crate) const EVERYTHING: Location = Location::new(u64::MAX);

/// Where the log has got to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    pub(crate) position: GlobalPosition,
    pub(crate) recorded_at: Timestamp,
    pub(crate) epoch: u32,
}

impl Broken<'_> {
    /// Returns the next events of one frame that verify and continue the log, from the scan's offset on.
    /// The scan is then behind them.
    pub(crate) fn next_events<F: DiskFile>(
        &self,
        scan: &mut Scan<'_, F>,
        reached: Reached,
    ) -> Result<Option<EventRun>> {
        let is_likely = |place: &EventPlace| {
            let first = FRAME_HEADER_BYTES + usize::from(place.index) * EVENT_HEADER_BYTES;
            (reached.position..self.next).contains(&place.global_position)
                && place.frame_distance as usize >= first
                && place.recorded_at >= reached.recorded_at
        };
        while scan.search_event(self.range.end, is_likely)? {
            let found = scan.events(self.range.end, reached.epoch, is_likely)?;
            match found.filter(|events| events.frame_offset >= SEGMENT_HEADER_BYTES as u64) {
                Some(events) => return Ok(Some(events)),
                None => scan.pass_step(),
            }
        }
        Ok(None)
    }
}

/// Why a piece between events that verify is lost.
pub(crate) const EVENT_BROKEN: &str = "event: it does not verify";
/// Why a piece without events is.
pub(crate) const FRAME_BROKEN: &str = "frame: it does not verify";
pub(crate) const UNREADABLE: &str = "the device can not read it";

/// Returns the damage at an offset of a segment; what is lost with it is not known yet.
pub(crate) fn damage<F: DiskFile>(segment: &Segment<F>, offset: u64, reason: &str) -> Damage {
    let (file, reason) = (segment.path().clone(), reason.to_owned());
    Damage { file, offset, reason, first_lost: None, first_good_after: None }
}

/// Says why something is not the next frame; a frame of a newer format is an error at once.
pub(crate) fn reason<F: DiskFile>(segment: &Segment<F>, scanned: Scanned) -> Result<String> {
    match scanned {
        Scanned::Frame(_) => Ok("frame: it does not continue the log".to_owned()),
        Scanned::Blank => Ok("frame: zeros stand in its place".to_owned()),
        Scanned::Fault(Fault::Newer { found, supported }) => {
            Err(Error::Incompatible { file: segment.path().clone(), found, supported })
        }
        Scanned::Fault(fault) => Ok(format!("frame: {fault}")),
    }
}
