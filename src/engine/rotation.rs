//! Keeps the next segment ready, so that no commit and no rollover waits for its preparation.
//!
//! One segment at most is prepared ahead, by the background thread, once the active one is half
//! full. When none is ready at a rollover it is made there and then: slower, and just as correct. The same
//! thread then settles segments that have been sealed: it gives back the room at their end, lets their files
//! grow so that who copies them sees that they have changed, and keeps what is now known of the log's end.
//!
//! Invariants:
//!
//! 1. A segment is prepared by one thread at a time: its file has one maker.
//! 2. What is taken has the number and base that follow the active segment.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use super::appender::LastFrame;
use super::known_end::{EndKeeper, claim};
use super::ownership::{NotKept, Ownership};
use crate::chance;
use crate::error::Result;
use crate::format::{EndFile, Location, SEGMENT_OVERHEAD, SegmentHeader, Signing};
use crate::io::{Disk, DiskFile, PAGE_BYTES};
use crate::limits::{DOUBLED_SEGMENT_BYTES_MAX, FIRST_SEGMENT_BYTES, SEGMENT_SHARE_OF_LOG};
use crate::position::GlobalPosition;
use crate::segment::{Preallocation, Segment, prepare};

/// Makes the segments of one store, in order.
pub(crate) struct Rotation<D: Disk> {
    disk: D,
    store_id: Uuid,
    segment_bytes: u64,
    spare: Mutex<Spare<D>>,
    changed: Condvar,
    sealed: Mutex<Sealed<D>>,
    keeper: EndKeeper<D>,
    /// What the writer holds of the store; `None` where a test needs no lock.
    ownership: Option<Arc<Ownership<D>>>,
}

/// What is still to be done for segments that were sealed.
struct Sealed<D: Disk> {
    segments: Vec<Arc<Segment<D::File>>>,
    /// What is durable since the last of them was.
    claim: Option<EndFile>,
}

enum Spare<D: Disk> {
    None,
    Wanted(SegmentHeader, Preallocation),
    InPreparation,
    Ready(Segment<D::File>),
}

impl<D: Disk> Rotation<D> {
    /// Starts with the blank segment that follows the active one, if there is one already.
    pub(crate) fn new(
        disk: D,
        store_id: Uuid,
        segment_bytes: u64,
        spare: Option<Segment<D::File>>,
        claimed: Option<EndFile>,
    ) -> Self {
        let spare = Mutex::new(spare.map_or(Spare::None, Spare::Ready));
        let sealed = Mutex::new(Sealed { segments: Vec::new(), claim: None });
        let keeper = EndKeeper::new(disk.clone(), claimed);
        let changed = Condvar::new();
        Self { disk, store_id, segment_bytes, spare, changed, sealed, keeper, ownership: None }
    }

    /// Sets what the writer holds of the store.
    #[must_use]
    pub(crate) fn owned(self, ownership: Option<Arc<Ownership<D>>>) -> Self {
        Self { ownership, ..self }
    }

    /// Compares what the writer holds of the store with what the names lead to.
    pub(crate) fn check_kept(&self) -> Result<(), NotKept> {
        self.ownership.as_ref().map_or(Ok(()), |ownership| ownership.check_kept())
    }

    /// Takes note of the segment that takes commits from now on.
    pub(crate) fn follow(&self, active: &Segment<D::File>) -> std::io::Result<()> {
        let ownership = self.ownership.as_ref();
        ownership.map_or(Ok(()), |ownership| ownership.follow(&self.disk, active))
    }

    /// Returns the header of the first segment of a store.
    pub(crate) fn first_header(store_id: Uuid, segment_bytes: u64) -> SegmentHeader {
        let size = FIRST_SEGMENT_BYTES.min(segment_bytes);
        let base = Location::new(0);
        SegmentHeader { store_id, number: 1, signing: random_signing(), base, size }
    }

    /// Returns the header of the segment after `active`: twice its size as long as that is small, then a
    /// share of the log, up to the configured size, and more when one frame needs it.
    fn header_after(&self, active: &SegmentHeader, frame_bytes: u64) -> SegmentHeader {
        let doubled = active.size.saturating_mul(2).min(DOUBLED_SEGMENT_BYTES_MAX);
        let share = (active.end().get() / SEGMENT_SHARE_OF_LOG).next_multiple_of(PAGE_BYTES);
        let needed = (frame_bytes + SEGMENT_OVERHEAD).next_multiple_of(PAGE_BYTES);
        SegmentHeader {
            store_id: self.store_id,
            number: active.number + 1,
            signing: random_signing(),
            base: active.end(),
            size: doubled.max(share).min(self.segment_bytes).max(needed),
        }
    }

    /// Asks for the segment after `active`, unless it is there or on its way. Returns whether the
    /// background thread has something to do.
    pub(crate) fn want(&self, active: &SegmentHeader, preallocation: Preallocation) -> bool {
        let mut spare = self.spare.lock();
        let is_new = matches!(*spare, Spare::None);
        if is_new {
            *spare = Spare::Wanted(self.header_after(active, 0), preallocation);
        }
        is_new
    }

    /// Prepares the segment that is wanted, if one is. A failure is not reported here: whoever needs
    /// the segment tries again and reports it.
    pub(crate) fn prepare_wanted(&self) {
        let wanted = {
            let mut spare = self.spare.lock();
            match *spare {
                Spare::Wanted(header, preallocation) => {
                    *spare = Spare::InPreparation;
                    Some((header, preallocation))
                }
                _ => None,
            }
        };
        if let Some((header, preallocation)) = wanted {
            let mut preparation = Preparation { rotation: self, outcome: Spare::None };
            if let Ok(segment) = prepare(&self.disk, header, preallocation) {
                preparation.outcome = Spare::Ready(segment);
            }
        }
    }

    /// Returns the segment after `active`, which has no room for a frame of this size. The segment
    /// may be too small for it as well, when it was prepared before the size was known. One that is prepared only now,
    /// with zeros, is small: a commit waits for it.
    ///
    /// # Errors
    ///
    /// `Error::NoSpace` or `Error::Io` when it can not be made; the store is as before.
    pub(crate) fn next(
        &self,
        active: &SegmentHeader,
        frame_bytes: u64,
        preallocation: Preallocation,
    ) -> Result<Segment<D::File>> {
        let mut spare = self.spare.lock();
        while matches!(*spare, Spare::InPreparation) {
            self.changed.wait(&mut spare);
        }
        match std::mem::replace(&mut *spare, Spare::None) {
            Spare::Ready(segment) => Ok(segment),
            _ => {
                let header = self.header_after(active, frame_bytes);
                let needed = (frame_bytes + SEGMENT_OVERHEAD).next_multiple_of(PAGE_BYTES);
                let size = match preallocation {
                    Preallocation::Zeros => header.size.min(DOUBLED_SEGMENT_BYTES_MAX.max(needed)),
                    Preallocation::Space => header.size,
                };
                prepare(&self.disk, SegmentHeader { size, ..header }, preallocation)
            }
        }
    }

    /// Takes note of a segment that has been sealed, and of what is durable since: the last event and the
    /// position that comes next.
    pub(crate) fn retire(
        &self,
        segment: Arc<Segment<D::File>>,
        last_event: Option<&LastFrame>,
        next_position: GlobalPosition,
    ) {
        let mut sealed = self.sealed.lock();
        sealed.segments.push(segment);
        sealed.claim = Some(claim(self.store_id, last_event, next_position));
    }

    /// Settles the segments that have been sealed.
    pub(crate) fn settle_sealed(&self) {
        let (segments, claim) = {
            let mut sealed = self.sealed.lock();
            (std::mem::take(&mut sealed.segments), sealed.claim.take())
        };
        for segment in segments {
            segment.give_back_end();
            segment.grow();
        }
        if let Some(claim) = claim {
            self.keeper.keep(&claim);
        }
    }

    /// Settles the segments that have been sealed and the active one, if anything was written to it, and
    /// keeps what is known of the log's end.
    pub(crate) fn settle(
        &self,
        active: Option<&Arc<Segment<D::File>>>,
        last_event: Option<&LastFrame>,
        next_position: GlobalPosition,
    ) {
        self.settle_sealed();
        if let Some(active) = active {
            active.grow();
            // Else the length might be lost, and with it that the file has changed. What it holds is durable.
            let _best_effort = active.file().sync_data();
        }
        self.claim(last_event, next_position);
    }

    /// Keeps what is durable of the log.
    pub(crate) fn claim(&self, last_event: Option<&LastFrame>, next_position: GlobalPosition) {
        self.keeper.keep(&claim(self.store_id, last_event, next_position));
    }

    /// Returns whether a segment is prepared ahead.
    pub(crate) fn has_spare(&self) -> bool {
        matches!(&*self.spare.lock(), Spare::Ready(_))
    }
}

/// The duty to end a preparation, however it ends: whoever waits for it goes on after a panic too.
struct Preparation<'a, D: Disk> {
    rotation: &'a Rotation<D>,
    outcome: Spare<D>,
}

impl<D: Disk> Drop for Preparation<'_, D> {
    fn drop(&mut self) {
        *self.rotation.spare.lock() = std::mem::replace(&mut self.outcome, Spare::None);
        self.rotation.changed.notify_all();
    }
}

fn random_signing() -> Signing {
    Signing::new(chance::unique().as_u64_pair().1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MemoryDisk;

    /// Returns the headers of the segments of a log of so many bytes, one behind the other.
    fn headers(segment_bytes: u64, log_bytes: u64) -> Vec<SegmentHeader> {
        let id = Uuid::from_u128(1);
        let rotation = Rotation::new(MemoryDisk::new(), id, segment_bytes, None, None);
        let first = Rotation::<MemoryDisk>::first_header(id, segment_bytes);
        let next = |header: &SegmentHeader| Some(rotation.header_after(header, 0));
        let is_within = |header: &SegmentHeader| header.base.get() < log_bytes;
        std::iter::successors(Some(first), next).take_while(is_within).collect()
    }

    #[test]
    fn what_is_allocated_ahead_stays_small_beside_the_log() {
        let headers = headers(256 << 20, 16 << 30);
        for header in &headers {
            let share = header.base.get() / SEGMENT_SHARE_OF_LOG + PAGE_BYTES;
            assert!(header.size <= share.max(DOUBLED_SEGMENT_BYTES_MAX), "{header:?}");
        }
        assert_eq!(headers.last().unwrap().size, 256 << 20, "they grow up to what is configured");
        assert!(headers.len() < 250, "{} segments", headers.len());
    }

    #[test]
    fn no_segment_is_larger_than_what_is_configured_unless_a_frame_needs_it() {
        let headers = headers(1 << 20, 1 << 30);
        assert!(headers.iter().all(|header| header.size <= 1 << 20));
        let rotation = Rotation::new(MemoryDisk::new(), Uuid::nil(), 1 << 20, None, None);
        let last = headers.last().unwrap();
        assert_eq!(rotation.header_after(last, 0).size, 1 << 20);
        let needed = rotation.header_after(last, 5 << 20).size;
        assert!(needed >= (5 << 20) + SEGMENT_OVERHEAD, "{needed}");
    }
}
