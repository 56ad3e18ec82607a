//! What a walk over a log is asked for, and what it answers.
//!
//! Values only; `recovery` walks.

use std::collections::BTreeMap;

use super::appender::{LastFrame, Tally};
use super::broken::Keeps;
use super::finding::Finding;
use super::holes::Holes;
use super::log::Segments;
use crate::error::{Damage, Error, Result};
use crate::format::{FrameKind, Hole, HoleKind, Location, Resume, SegmentHeader};
use crate::io::{Disk, OpenMode};
use crate::limits::COMMIT_BYTES_MAX;
use crate::position::GlobalPosition;
use crate::segment::{Scanned, Segment};
use crate::timestamp::Timestamp;

/// How far behind the end of the log a walk looks for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Until this much is zero: what a group that was being written can leave lies together.
    Near,
    /// To the end of every segment.
    Full,
}

const NEAR_ZEROS_BYTES: u64 = 1 << 20;

impl Depth {
    pub(crate) fn zeros_max(self) -> u64 {
        match self {
            Self::Near => NEAR_ZEROS_BYTES,
            Self::Full => u64::MAX,
        }
    }

    /// Returns how many zeros are passed over behind what stands where a frame would start. What is
    /// no frame may have been one, and all the rest of it zeros of a payload.
    pub(crate) fn zeros_max_behind(self, scanned: &Scanned) -> u64 {
        match scanned {
            Scanned::Blank => self.zeros_max(),
            _ => self.zeros_max().max(COMMIT_BYTES_MAX.into()),
        }
    }
}

/// Bytes behind the end of a segment's frames that are to be cut: `start..end` of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) segment: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What a walk found.
pub(crate) struct Walked<D: Disk> {
    /// The segments up to the active one.
    pub(crate) segments: Segments<D>,
    /// Where the active segment's frames end.
    pub(crate) offset: u64,
    pub(crate) tally: Tally,
    /// A blank segment behind the active one.
    pub(crate) spare: Option<Segment<D::File>>,
    /// The position that comes next.
    pub(crate) next_position: GlobalPosition,
    pub(crate) epoch: u32,
    /// How far the frames themselves show the log to have been durable.
    pub(crate) durable_upto: Location,
    pub(crate) recorded_at: Timestamp,
    pub(crate) last_kind: Option<FrameKind>,
    /// The frame of the last event.
    pub(crate) last_event: Option<LastFrame>,
    pub(crate) frames: u64,
    pub(crate) cuts: Vec<Cut>,
    /// Last segments that can not be used and that held nothing.
    pub(crate) unusable_spares: Vec<u64>,
    pub(crate) notes: Vec<Finding>,
    pub(crate) damage: Vec<Damage>,
    /// What a repair would have to give up for the damage.
    pub(crate) gaps: Vec<Gap>,
}

/// A part of the log that damage takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// As far as it is known; the position that comes next is not while nothing good stands behind.
    pub(crate) hole: Hole,
    /// Whether a footer counts the events of its segment.
    pub(crate) is_counted: bool,
    /// Whether a good frame stands behind it.
    pub(crate) is_bounded: bool,
}

/// Which log is walked, and how.
#[derive(Debug)]
pub(crate) struct Route<'a, D> {
    /// The directory of the segments.
    pub(crate) disk: &'a D,
    pub(crate) store_id: uuid::Uuid,
    pub(crate) mode: OpenMode,
    pub(crate) depth: Depth,
    /// Where the walk begins; what lies before is believed by its footers.
    pub(crate) from: Option<Resume>,
    /// The last position that is wanted; everything when `None`.
    pub(crate) last: Option<GlobalPosition>,
    /// What a repair has given up, and is passed over.
    pub(crate) holes: &'a Holes,
    /// Set when the walk goes on behind damage, to read what is left or to repair it: read errors are
    /// damage then.
    pub(crate) mended: Option<Mended<'a>>,
}

/// How a walk that goes on behind damage looks at a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mended<'a> {
    /// Headers that stand for those that do not verify.
    pub(crate) headers: &'a BTreeMap<u64, SegmentHeader>,
    /// What is kept of commits that do not verify.
    pub(crate) keeps: Keeps,
}

static NO_HEADERS: BTreeMap<u64, SegmentHeader> = BTreeMap::new();

/// No header in the place of another: for a walk that mends nothing and goes on behind places that
/// cannot be read.
pub(crate) static NONE_MENDED: Mended<'static> =
    Mended { headers: &NO_HEADERS, keeps: Keeps::Events };

impl<D: Disk> Route<'_, D> {
    /// Returns what the walk takes of commits that do not verify.
    pub(crate) fn keeps(&self) -> Keeps {
        self.mended.map_or(Keeps::Events, |mended| mended.keeps)
    }

    /// Opens a segment as this walk is to read it.
    pub(crate) fn open(&self, number: u64) -> Result<Segment<D::File>> {
        let Some(mended) = &self.mended else {
            return Segment::open(self.disk, number, self.mode);
        };
        let opened = match mended.headers.get(&number) {
            Some(header) => Segment::open_with(self.disk, *header, self.mode),
            None => Segment::open(self.disk, number, self.mode),
        };
        match opened {
            Ok(segment) => Ok(segment.tolerating_read_errors()),
            Err(Error::Read { path, offset, source }) => {
                let reason = format!("header: the device can not read it: {source}");
                let (first_lost, first_good_after) = (None, None);
                Err(Damage { file: path, offset, reason, first_lost, first_good_after }.into())
            }
            Err(error) => Err(error),
        }
    }
}

impl Gap {
    /// Returns whether the gap takes no position, and only lets what is lost in its frame be told from
    /// the rest of it.
    pub(crate) fn is_aside(&self) -> bool {
        self.hole.kind == HoleKind::PartOfFrame && self.hole.lost_count() == 0
    }

    /// Tells whether another gap, of the same kind, goes on where this one is.
    pub(crate) fn goes_on_in(&self, other: &Self) -> bool {
        let (last, first) = (self.hole.last_segment, other.hole.first_segment);
        match self.hole.kind {
            HoleKind::Part | HoleKind::PartOfFrame => last == first,
            HoleKind::Segments => last + 1 == first,
        }
    }
}

impl<D: Disk> Walked<D> {
    /// Returns what a walk has found before its first step.
    pub(crate) fn nothing() -> Self {
        Self {
            segments: Vec::new(),
            offset: 0,
            tally: Tally::new(),
            spare: None,
            next_position: GlobalPosition::FIRST,
            epoch: 0,
            durable_upto: Location::default(),
            recorded_at: Timestamp::MIN,
            last_kind: None,
            last_event: None,
            frames: 0,
            cuts: Vec::new(),
            unusable_spares: Vec::new(),
            notes: Vec::new(),
            damage: Vec::new(),
            gaps: Vec::new(),
        }
    }
}
