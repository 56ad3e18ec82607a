//! The holes of a store: what a repair has given up, found by position and by place.
//!
//! Read from the file `LOST` when a store is opened; they do not change while it is open. Which part
//! of the log becomes a hole is decided by `repair`.
//!
//! Invariants:
//!
//! 1. Holes are in the order of the log and do not overlap, neither in locations nor in positions.
//! 2. Positions in a hole are never read, indexed or given out.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::directory::remove_if_there;
use super::finding::Finding;
use crate::error::{Damage, Error, Result};
use crate::format::{
    Fault, Hole, HoleKind, LOST_FILE_BYTES_MAX, Location, decode_lost, encode_lost,
};
use crate::io::{Disk, DiskFile, OpenMode};
use crate::position::GlobalPosition;
use crate::segment::{self, Segment};

/// The file that lists the holes.
pub(crate) const LOST: &str = "LOST";
pub(crate) const LOST_UNFINISHED: &str = "LOST.tmp";

/// The holes of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holes(Vec<Hole>);

impl Holes {
    pub(crate) fn new(holes: Vec<Hole>) -> Self {
        Self(holes)
    }

    /// Reads the list of a store; none is there unless it was repaired.
    pub(crate) fn read(root: &impl Disk, store_id: Uuid) -> Result<Self> {
        let path = root.path().join(LOST);
        let file = match root.open(LOST, OpenMode::Read) {
            Ok(file) => file,
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(Error::io("open", path, source)),
        };
        // One byte more than the longest list, which is then refused for its length.
        let bytes = file.read_bytes(0, LOST_FILE_BYTES_MAX + 1);
        let bytes =
            bytes.map_err(|source| Error::Read { path: path.clone(), offset: 0, source })?;
        decode_lost(&bytes, store_id).map(Self).map_err(|fault| refused(path, &fault))
    }

    /// Writes the list of a store in the place of the one before, whole or not at all.
    pub(crate) fn write(&self, root: &impl Disk, store_id: Uuid) -> Result<()> {
        let failed = |source| Error::io("write", root.path().join(LOST), source);
        remove_if_there(root, LOST_UNFINISHED)?;
        let file = root.open(LOST_UNFINISHED, OpenMode::CreateNew).map_err(failed)?;
        file.write_all_at(&encode_lost(store_id, &self.0), 0).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        root.rename(LOST_UNFINISHED, LOST).map_err(failed)?;
        root.sync_dir().map_err(failed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter()
    }

    /// Returns how many positions are lost.
    pub(crate) fn lost_count(&self) -> u64 {
        self.0.iter().map(Hole::lost_count).fold(0, u64::saturating_add)
    }

    /// Returns the holes in a segment from a location on.
    pub(crate) fn in_segment(
        &self,
        number: u64,
        from: Location,
    ) -> impl Iterator<Item = &Hole> + use<'_> {
        let is_there = move |hole: &&Hole| {
            hole.kind.is_part() && hole.first_segment == number && hole.start >= from
        };
        self.0.iter().filter(is_there)
    }

    /// Returns the holes that take whole segments.
    pub(crate) fn of_segments(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter().filter(|hole| hole.kind == HoleKind::Segments)
    }

    /// Returns whether a hole begins at a location.
    pub(crate) fn begin_at(&self, location: Location) -> bool {
        self.0.binary_search_by_key(&location, |hole| hole.start).is_ok()
    }

    /// Returns whether a hole holds the byte at a location.
    pub(crate) fn hold(&self, location: Location) -> bool {
        let behind = self.0.partition_point(|hole| hole.start <= location);
        let before = self.0.get(..behind).unwrap_or_default();
        let last = before.iter().rev().find(|hole| hole.start < hole.end);
        last.is_some_and(|hole| location < hole.end)
    }

    /// Returns the hole in which a position is lost.
    pub(crate) fn around(&self, position: GlobalPosition) -> Option<&Hole> {
        let number = self.0.partition_point(|hole| hole.next <= position);
        self.0.get(number).filter(|hole| hole.first_lost <= position)
    }

    /// Returns the first position from `position` on that is in no hole.
    pub(crate) fn first_live_from(&self, position: GlobalPosition) -> GlobalPosition {
        let mut live = position;
        while let Some(hole) = self.around(live) {
            live = hole.next;
        }
        live
    }

    /// Returns the last position up to `position` that is in no hole; 0 when there is none.
    pub(crate) fn last_live_to(&self, position: GlobalPosition) -> GlobalPosition {
        let mut live = position;
        while let Some(hole) = self.around(live) {
            live = hole.first_lost.previous();
        }
        live
    }

    /// Tells whether a position is lost between two others.
    pub(crate) fn is_between(&self, earlier: GlobalPosition, later: GlobalPosition) -> bool {
        self.0
            .iter()
            .any(|hole| hole.lost_count() > 0 && hole.first_lost > earlier && hole.next <= later)
    }

    /// Tells whether nothing but lost positions lies from `first` to `last`.
    pub(crate) fn take_all(&self, first: GlobalPosition, last: GlobalPosition) -> bool {
        self.first_live_from(first) > last
    }

    /// Says of every hole what was lost, given the segments that are there.
    pub(crate) fn findings<D: Disk>(
        &self,
        log: &Path,
        segments: &[Arc<Segment<D::File>>],
    ) -> Vec<Finding> {
        let finding = |hole: &Hole| {
            let is_it =
                |segment: &&Arc<Segment<D::File>>| segment.header().number == hole.first_segment;
            let segment = segments.iter().find(is_it);
            let offset = segment.map_or(0, |segment| segment.offset(hole.start));
            let file = log.join(segment::name(hole.first_segment));
            Finding::repaired(file, offset, described(hole), (hole.first_lost, hole.next))
        };
        self.0.iter().map(finding).collect()
    }
}

fn described(hole: &Hole) -> String {
    let what = match (hole.kind, hole.last_segment - hole.first_segment) {
        (HoleKind::Part | HoleKind::PartOfFrame, _) => {
            format!("{} bytes", hole.end.distance_from(hole.start))
        }
        (HoleKind::Segments, 0) => "the segment".to_owned(),
        (HoleKind::Segments, more) => format!("the segment and the {more} after it"),
    };
    let lost = match hole.lost_count() {
        0 => "no position was lost".to_owned(),
        1 => "1 position was lost".to_owned(),
        count => format!("{count} positions were lost"),
    };
    format!("a repair at {} has given up {what}; {lost}", hole.repaired_at)
}

fn refused(file: PathBuf, fault: &Fault) -> Error {
    match fault {
        Fault::Newer { found, supported } => {
            Error::Incompatible { file, found: found.clone(), supported: supported.clone() }
        }
        fault => Damage {
            file,
            offset: 0,
            reason: format!("list of what is lost: {fault}"),
            first_lost: None,
            first_good_after: None,
        }
        .into(),
    }
}
