//! Writes groups of frames to the end of the log and makes them durable.
//!
//! Used by one thread at a time, the leader of the commit queue, and outside the queue's lock.
//!
//! Invariants:
//!
//! 1. `offset` is the end of the durable part of the active segment: bytes before it are never
//!    written again, and nothing but zeros lies behind it.
//! 2. Frames are indexed once they are written, while the device is at work, and published after the
//!    sync that made them durable, in order, and never otherwise.
//! 3. A segment is sealed, durably, before a frame is written to the next one.
//! 4. No two openings share an epoch: a watermark makes it durable before the first commit, so that a
//!    torn commit, of which nothing may be left that verifies, never has the epoch of a later one.
//! 5. After a failed write or sync nothing is written any more: the failure is returned as poison.

use std::io;
use std::sync::Arc;

use super::background::{Bell, Call};
use super::ownership::NotKept;
use super::prepared::Keys;
use super::reader::{Reader, Written};
use super::rotation::Rotation;
use super::times::Times;
use crate::bugs::{self, Bug};
use crate::clock::Clock;
use crate::error::{Error, PoisonCause};
use crate::few::{Few, few};
use crate::format::{
    Footer, FrameKind, Location, PackedFrame, Resume, SEGMENT_HEADER_BYTES, Stamp,
};
use crate::index::MEMTABLE_EVENTS_MAX;
use crate::io::{Disk, DiskFile, PAGE_BYTES};
use crate::position::GlobalPosition;
use crate::segment::{Preallocation, Segment};
use crate::timestamp::Timestamp;

/// Above this length of a usual write, writing zeros ahead would cost more than it spares: it doubles
/// what the device has to write, and a long sync hardly notices that the system has to note which blocks
/// of allocated space hold data.
const ZEROS_WRITE_BYTES_MAX: u64 = 128 << 10;

/// A frame on its way into the log.
#[derive(Debug)]
pub(crate) struct QueuedFrame {
    pub(crate) kind: FrameKind,
    pub(crate) frame: PackedFrame,
    pub(crate) keys: Arc<Keys>,
    pub(crate) first_position: GlobalPosition,
}

impl QueuedFrame {
    fn next_position(&self) -> GlobalPosition {
        self.first_position.advanced_by(self.frame.event_count() as u64)
    }
}

/// Of each frame where its events are, and where the log goes on behind it.
type Places = Few<(Few<Location>, Resume)>;

/// Why a group was not written to its end; `written` frames of it were, and are durable.
#[derive(Debug)]
pub(crate) struct GroupFailure {
    pub(crate) written: usize,
    pub(crate) kind: FailureKind,
}

#[derive(Debug)]
pub(crate) enum FailureKind {
    /// Nothing more was written and the store goes on.
    Rejected(Error),
    /// Nothing more was written, and nothing is any more: the files are no longer this writer's.
    Displaced(PoisonCause),
    /// It is unknown how much more was written.
    Poison(PoisonCause),
}

impl From<NotKept> for FailureKind {
    fn from(not_kept: NotKept) -> Self {
        match not_kept {
            NotKept::Displaced(cause) => Self::Displaced(cause),
            NotKept::Unknown(error) => Self::Rejected(error),
        }
    }
}

impl FailureKind {
    /// Tells what follows from an error of preparing to write.
    fn unprepared(error: Error) -> Self {
        NotKept::of(error).into()
    }
}

/// What the active segment holds so far. An index may have said it: the counts never overflow.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) event_count: u64,
    pub(crate) first_position: GlobalPosition,
    pub(crate) frame_count: u32,
    pub(crate) frames_crc: crc32fast::Hasher,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            event_count: 0,
            first_position: GlobalPosition::ZERO,
            frame_count: 0,
            frames_crc: crc32fast::Hasher::new(),
        }
    }

    /// Goes on from what an indexed part of the log says of its segment.
    pub(crate) fn resumed(resume: &Resume) -> Self {
        Self {
            event_count: resume.event_count,
            first_position: resume.first_position,
            frame_count: resume.frame_count,
            frames_crc: crc32fast::Hasher::new_with_initial(resume.frames_crc),
        }
    }

    pub(crate) fn add(&mut self, first_position: GlobalPosition, event_count: u64, crc: u32) {
        if self.event_count == 0 && event_count > 0 {
            self.first_position = first_position;
        }
        self.event_count = self.event_count.saturating_add(event_count);
        self.frame_count += 1;
        self.frames_crc.update(&crc.to_le_bytes());
    }

    /// Counts positions of the segment that are in no frame that verifies, lost or not, so that its first
    /// position and its count of events still lead to the next position.
    pub(crate) fn pass(&mut self, first: GlobalPosition, count: u64) {
        if self.event_count == 0 && count > 0 {
            self.first_position = first;
        }
        self.event_count = self.event_count.saturating_add(count);
    }

    /// Returns the footer of a segment that ends at an offset.
    pub(crate) fn footer(&self, end: u64, recorded_at: Timestamp, epoch: u32) -> Footer {
        Footer {
            event_count: self.event_count,
            first_position: self.first_position,
            end,
            recorded_at,
            frame_count: self.frame_count,
            frames_crc: self.frames_crc.clone().finalize(),
            epoch,
        }
    }
}

/// A frame that the log ends with, or the last event of one whose header is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastFrame {
    pub(crate) location: Location,
    pub(crate) end: Location,
    pub(crate) crc: u32,
    pub(crate) next_position: GlobalPosition,
    pub(crate) epoch: u32,
    pub(crate) recorded_at: Timestamp,
}

impl LastFrame {
    /// Returns the frame behind which an indexed part of the log ends.
    pub(crate) fn of(resume: &Resume) -> Self {
        Self {
            location: resume.last_frame,
            end: resume.end,
            crc: resume.last_frame_crc,
            next_position: resume.next_position,
            epoch: resume.epoch,
            recorded_at: resume.recorded_at,
        }
    }

    /// Returns where the log goes on behind the frame, which the tally of its segment includes.
    pub(crate) fn resume(&self, segment: u64, tally: &Tally) -> Resume {
        Resume {
            end: self.end,
            segment,
            epoch: self.epoch,
            recorded_at: self.recorded_at,
            next_position: self.next_position,
            last_frame: self.location,
            last_frame_crc: self.crc,
            frame_count: tally.frame_count,
            event_count: tally.event_count,
            first_position: tally.first_position,
            frames_crc: tally.frames_crc.clone().finalize(),
        }
    }
}

/// The end of the log.
pub(crate) struct Appender<D: Disk> {
    reader: Arc<Reader<D>>,
    rotation: Arc<Rotation<D>>,
    bell: Arc<Bell>,
    times: Arc<Times>,
    active: Arc<Segment<D::File>>,
    offset: u64,
    tally: Tally,
    epoch: u32,
    /// Whether a frame of this epoch is durable.
    has_begun: bool,
    recorded_at: Timestamp,
    /// The frame of the last event that is durable.
    last_event: Option<LastFrame>,
    /// Bytes that were written to the active segment since it was opened, and in how many writes: of
    /// those with events, for a mark says nothing of how a store is used.
    written: (u64, u64),
    buffer: Vec<u8>,
}

/// Where the log ends when a store is opened.
pub(crate) struct LogEnd<D: Disk> {
    pub(crate) active: Arc<Segment<D::File>>,
    pub(crate) offset: u64,
    pub(crate) tally: Tally,
    pub(crate) epoch: u32,
    pub(crate) recorded_at: Timestamp,
    pub(crate) last_event: Option<LastFrame>,
}

impl<D: Disk> Appender<D> {
    pub(crate) fn new(
        reader: Arc<Reader<D>>,
        rotation: Arc<Rotation<D>>,
        bell: Arc<Bell>,
        clock: Clock,
        end: LogEnd<D>,
    ) -> Self {
        let LogEnd { active, offset, tally, epoch, recorded_at, last_event } = end;
        let (written, buffer) = ((0, 0), Vec::new());
        let times = Arc::new(Times::new(clock, recorded_at));
        Self {
            reader,
            rotation,
            bell,
            times,
            active,
            offset,
            tally,
            epoch,
            has_begun: false,
            recorded_at,
            last_event,
            written,
            buffer,
        }
    }

    /// Returns the times that it records.
    pub(crate) fn times(&self) -> &Arc<Times> {
        &self.times
    }

    /// Writes frames in order, makes them durable and publishes them. What is to be done `meanwhile` is
    /// done before the sync, when the device has begun with several events.
    pub(crate) fn write(
        &mut self,
        frames: &mut [QueuedFrame],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), GroupFailure> {
        self.recorded_at = self.times.next();
        if frames.first().is_some_and(|first| first.kind == FrameKind::Closed) {
            let kept = self.rotation.check_kept();
            kept.map_err(|not_kept| GroupFailure { written: 0, kind: not_kept.into() })?;
        }
        if !self.has_begun
            && !bugs::on(Bug::EpochUnmarked)
            && let Some(first) = frames.first().filter(|first| first.frame.event_count() > 0)
        {
            let mut mark = [watermark(FrameKind::Watermark, first.first_position)];
            self.write_all(&mut mark, &mut || ())
                .map_err(|failure| GroupFailure { written: 0, ..failure })?;
        }
        self.write_all(frames, meanwhile)
    }

    fn write_all(
        &mut self,
        frames: &mut [QueuedFrame],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), GroupFailure> {
        let mut written = 0;
        while let Some(rest) = frames.get_mut(written..).filter(|rest| !rest.is_empty()) {
            let step = match self.fitting(rest) {
                0 => self.roll_over(rest).map(|()| 0),
                count => match rest.get_mut(..count) {
                    Some(part) => self
                        .make_room(part)
                        .and_then(|()| {
                            self.write_part(part, meanwhile).map_err(FailureKind::Poison)
                        })
                        .map(|()| count),
                    None => Err(FailureKind::Rejected(Error::Internal {
                        invariant: "no more frames fit into a segment than wait for it",
                    })),
                },
            };
            match step {
                Ok(count) => written += count,
                Err(kind) => return Err(GroupFailure { written, kind }),
            }
        }
        Ok(())
    }

    /// Returns how many of the frames fit into the active segment and, but for the first, into one
    /// memtable.
    fn fitting(&self, frames: &[QueuedFrame]) -> usize {
        let mut room = self.active.header().footer_offset() - self.offset;
        let mut events = 0;
        let fits = |queued: &&QueuedFrame| {
            let length = queued.frame.length() as u64;
            let is_first = events == 0;
            events += queued.frame.event_count();
            let fits = length <= room && (is_first || events <= MEMTABLE_EVENTS_MAX);
            room = room.saturating_sub(length);
            fits
        };
        frames.iter().take_while(fits).count()
    }

    /// Sees to it that the index has room for the events of frames before they are written.
    fn make_room(&self, frames: &[QueuedFrame]) -> Result<(), FailureKind> {
        let events = frames.iter().map(|queued| queued.frame.event_count()).sum();
        let made = self.reader.index().make_room(events);
        if matches!(made, Ok(true)) {
            self.bell.ring(Call::Index);
        }
        made.map(|_| ()).map_err(FailureKind::unprepared)
    }

    fn write_part(
        &mut self,
        frames: &mut [QueuedFrame],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), PoisonCause> {
        let (tally, places, last_event) =
            self.pack(frames).map_err(|error| self.internal(error))?;
        let written = written(frames, &places);
        let end = self.offset + self.buffer.len() as u64;
        let next = frames.last().map_or(self.reader.durable().next(), QueuedFrame::next_position);
        let event_count: usize = frames.iter().map(|queued| queued.frame.event_count()).sum();
        self.write_buffer(end, event_count)?;
        self.reader.index_written(&written).map_err(|error| self.internal(error))?;
        meanwhile();
        if bugs::on(Bug::EndBeforeSync) {
            self.rotation.claim(last_event.as_ref(), next);
        }
        if bugs::on(Bug::PublishedBeforeSync) {
            self.publish(&written, next, end);
        }
        self.sync(Bug::CommitUnsynced)?;
        if event_count > 0 {
            self.written.0 += end - self.offset;
            self.written.1 += 1;
        }
        self.offset = end;
        self.has_begun = true;
        self.tally = tally;
        self.last_event = last_event;
        self.publish(&written, next, end);
        self.prepare_next();
        Ok(())
    }

    /// Stamps frames for the end of the log and puts them into the buffer, one behind the other. Returns
    /// what the segment then holds, of each frame where its events are and the log goes on, and the frame of
    /// the last event.
    fn pack(
        &mut self,
        frames: &mut [QueuedFrame],
    ) -> Result<(Tally, Places, Option<LastFrame>), Error> {
        let durable_upto = self.active.location(self.offset);
        self.buffer.clear();
        let mut tally = self.tally.clone();
        let mut last_event = self.last_event;
        let mut places = Places::with_capacity(frames.len());
        for queued in frames {
            let location = durable_upto.plus(self.buffer.len() as u64);
            let stamp = Stamp {
                signing: self.active.header().signing,
                location,
                durable_upto,
                recorded_at: self.recorded_at,
                epoch: self.epoch,
            };
            let (crc, locations) = queued.frame.stamp(&stamp)?;
            tally.add(queued.first_position, queued.frame.event_count() as u64, crc);
            let last = LastFrame {
                location,
                end: location.plus(queued.frame.length() as u64),
                crc,
                next_position: queued.next_position(),
                epoch: self.epoch,
                recorded_at: self.recorded_at,
            };
            if queued.frame.event_count() > 0 {
                last_event = Some(last);
            }
            let resume = last.resume(self.active.header().number, &tally);
            places.push((locations, resume));
            self.buffer.extend_from_slice(queued.frame.as_bytes());
        }
        Ok((tally, places, last_event))
    }

    /// Writes the buffer, where it goes on to another page padded with zeros to the end of its last: a page
    /// that left the cache need not be read first. The device begins while several events are indexed; a
    /// single one is indexed sooner than the system is called.
    fn write_buffer(&mut self, end: u64, event_count: usize) -> Result<(), PoisonCause> {
        let written_page_end = self.offset.next_multiple_of(PAGE_BYTES);
        let padded = match end <= written_page_end {
            true => end,
            false => end.next_multiple_of(PAGE_BYTES).min(self.active.header().footer_offset()),
        };
        let padding = usize::try_from(padded - end).unwrap_or_default();
        self.buffer.resize(self.buffer.len() + padding, 0);
        let file = self.active.file();
        let mut written = file.write_all_at(&self.buffer, self.offset);
        if event_count > 1 {
            written =
                written.and_then(|()| file.begin_write_out(self.offset, padded - self.offset));
        }
        written.map_err(|source| self.poison("write to", source))
    }

    fn sync(&self, unsynced: Bug) -> Result<(), PoisonCause> {
        if bugs::on(unsynced) {
            return Ok(());
        }
        self.active.file().sync_data().map_err(|source| self.poison("sync", source))
    }

    /// Leaves the log as a closed store has it: what is known of its end is kept, and who copies it sees
    /// that it has changed.
    pub(crate) fn settle(&self) {
        let active = Some(&self.active).filter(|_| self.has_begun);
        self.rotation.settle(active, self.last_event.as_ref(), self.reader.durable().next());
    }

    #[cold]
    fn internal(&self, error: Error) -> PoisonCause {
        PoisonCause::internal(error, self.active.path().clone())
    }

    fn poison(&self, operation: &'static str, source: io::Error) -> PoisonCause {
        PoisonCause { operation, path: self.active.path().clone(), source }
    }

    /// Lets readers see what has become durable, up to an offset of the active segment.
    fn publish(&self, written: &[Written<'_>], next: GlobalPosition, end: u64) {
        self.active.set_readable(end);
        self.reader.publish(written, next, self.active.location(end));
    }

    /// Asks for the next segment once the active one is half full.
    fn prepare_next(&self) {
        let header = self.active.header();
        let (bytes, writes) = self.written;
        if self.offset < header.size / 2 || writes == 0 {
            return;
        }
        let preallocation = preallocation_for(bytes / writes);
        if self.rotation.want(header, preallocation) {
            self.bell.ring(Call::Prepare);
        }
    }

    /// Seals the active segment and goes on in the next, if the log is still this writer's.
    fn roll_over(&mut self, frames: &[QueuedFrame]) -> Result<(), FailureKind> {
        self.rotation.check_kept()?;
        let needed = frames.first().map_or(0, |queued| queued.frame.length() as u64);
        let (bytes, writes) = self.written;
        let group: u64 = frames.iter().map(|queued| queued.frame.length() as u64).sum();
        let preallocation = preallocation_for((bytes + group) / (writes + 1));
        let next = self
            .rotation
            .next(self.active.header(), needed, preallocation)
            .map_err(FailureKind::unprepared)?;
        let footer = self.tally.footer(self.offset, self.recorded_at, self.epoch);
        let bytes = footer.encode(self.active.header());
        let offset = self.active.header().footer_offset();
        let sealed = self.active.file().write_all_at(&bytes, offset);
        sealed
            .map_err(|source| self.poison("seal", source))
            .and_then(|()| self.sync(Bug::SealUnsynced))
            .map_err(FailureKind::Poison)?;
        self.active.mark_sealed(footer);
        self.rotation.follow(&next).map_err(|source| {
            FailureKind::Poison(PoisonCause {
                operation: "look at",
                path: next.path().clone(),
                source,
            })
        })?;
        let next = Arc::new(next);
        self.reader.log().push(Arc::clone(&next));
        let sealed = std::mem::replace(&mut self.active, next);
        self.rotation.retire(sealed, self.last_event.as_ref(), self.reader.durable().next());
        self.bell.ring(Call::Prepare);
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.tally = Tally::new();
        self.written = (0, 0);
        Ok(())
    }
}

/// Returns how much is done ahead for a segment that is written to in writes of this length.
fn preallocation_for(usual_bytes: u64) -> Preallocation {
    match usual_bytes > ZEROS_WRITE_BYTES_MAX {
        true => Preallocation::Space,
        false => Preallocation::Zeros,
    }
}

/// Returns what is to be indexed and published of frames.
fn written<'a>(frames: &'a [QueuedFrame], places: &'a Places) -> Few<Written<'a>> {
    let frames = frames.iter().zip(places);
    few(frames.map(|(queued, (locations, resume))| Written {
        first_position: queued.first_position,
        locations,
        keys: &queued.keys,
        resume: *resume,
    }))
}

/// Returns a watermark on its way into the log.
pub(crate) fn watermark(kind: FrameKind, next_position: GlobalPosition) -> QueuedFrame {
    QueuedFrame {
        kind,
        frame: PackedFrame::watermark(kind, next_position),
        keys: Arc::default(),
        first_position: next_position,
    }
}
