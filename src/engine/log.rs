//! The segments of a store, found by location.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::error::{Damage, Error, Result};
use crate::event::RecordedEvent;
use crate::format::Location;
use crate::io::Disk;
use crate::segment::Segment;

/// The segments of a store that is open.
pub(crate) struct Log<D: Disk> {
    disk: D,
    segments: RwLock<Arc<SegmentTable<D>>>,
}

/// Segments in the order of their numbers.
pub(crate) type Segments<D> = Vec<Arc<Segment<<D as Disk>::File>>>;

/// Segments, each found by any location in it.
pub(crate) struct SegmentTable<D: Disk> {
    /// Where each segment begins, side by side: a search looks at several.
    bases: Vec<Location>,
    segments: Segments<D>,
}

impl<D: Disk> SegmentTable<D> {
    fn new(segments: Segments<D>) -> Self {
        let bases = segments.iter().map(|segment| segment.header().base).collect();
        Self { bases, segments }
    }

    /// Returns the segment in which a location lies.
    #[inline]
    pub(crate) fn at(&self, location: Location) -> Option<&Arc<Segment<D::File>>> {
        self.segments.get(self.number_at(location)?)
    }

    /// Returns which of the segments a location lies in.
    #[inline]
    pub(crate) fn number_at(&self, location: Location) -> Option<usize> {
        let number = self.bases.partition_point(|base| *base <= location).checked_sub(1)?;
        (location < self.segments.get(number)?.header().end()).then_some(number)
    }
}

impl<D: Disk> Deref for SegmentTable<D> {
    type Target = [Arc<Segment<D::File>>];

    fn deref(&self) -> &Self::Target {
        &self.segments
    }
}

impl<D: Disk> Log<D> {
    pub(crate) fn new(disk: D, segments: Segments<D>) -> Self {
        Self { disk, segments: RwLock::new(Arc::new(SegmentTable::new(segments))) }
    }

    /// Returns the directory of the segments.
    pub(crate) fn disk(&self) -> &D {
        &self.disk
    }

    /// Adds the segment that follows the last.
    pub(crate) fn push(&self, segment: Arc<Segment<D::File>>) {
        let mut table = self.segments.write();
        let mut longer = table.segments.clone();
        longer.push(segment);
        *table = Arc::new(SegmentTable::new(longer));
    }

    /// Returns the segments as they are now.
    pub(crate) fn segments(&self) -> Arc<SegmentTable<D>> {
        Arc::clone(&self.segments.read())
    }

    /// Returns the segment in which a location lies.
    pub(crate) fn segment_at(&self, location: Location) -> Option<Arc<Segment<D::File>>> {
        self.segments.read().at(location).map(Arc::clone)
    }

    /// Returns the segment in which a location lies that the index or a frame has named.
    pub(crate) fn existing_segment_at(&self, location: Location) -> Result<Arc<Segment<D::File>>> {
        self.segment_at(location).ok_or_else(|| {
            Error::from(Damage {
                file: self.disk.path().to_owned(),
                offset: 0,
                reason: format!("no segment holds location {location}"),
                first_lost: None,
                first_good_after: None,
            })
        })
    }

    /// Reads and verifies the event at a location.
    pub(crate) fn event(&self, location: Location) -> Result<RecordedEvent> {
        self.existing_segment_at(location)?.event(location)
    }
}
