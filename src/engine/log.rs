//! The segments of a store, found by location.

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
    segments: RwLock<Arc<Segments<D>>>,
}

/// Segments in the order of their numbers.
pub(crate) type Segments<D> = Vec<Arc<Segment<<D as Disk>::File>>>;

impl<D: Disk> Log<D> {
    pub(crate) fn new(disk: D, segments: Segments<D>) -> Self {
        Self { disk, segments: RwLock::new(Arc::new(segments)) }
    }

    /// Returns the directory of the segments.
    pub(crate) fn disk(&self) -> &D {
        &self.disk
    }

    /// Adds the segment that follows the last.
    pub(crate) fn push(&self, segment: Arc<Segment<D::File>>) {
        let mut segments = self.segments.write();
        let mut longer = segments.as_ref().clone();
        longer.push(segment);
        *segments = Arc::new(longer);
    }

    /// Returns the segments as they are now.
    pub(crate) fn segments(&self) -> Arc<Segments<D>> {
        Arc::clone(&self.segments.read())
    }

    /// Returns the segment in which a location lies.
    pub(crate) fn segment_at(&self, location: Location) -> Option<Arc<Segment<D::File>>> {
        segment_in::<D>(&self.segments.read(), location).map(Arc::clone)
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

/// Returns the segment in which a location lies.
pub(crate) fn segment_in<D: Disk>(
    segments: &Segments<D>,
    location: Location,
) -> Option<&Arc<Segment<D::File>>> {
    let behind = segments.partition_point(|segment| segment.header().base <= location);
    let segment = segments.get(behind.checked_sub(1)?)?;
    (location < segment.header().end()).then_some(segment)
}
