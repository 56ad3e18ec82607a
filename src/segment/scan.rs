//! Reads a segment frame by frame, by positioned reads: for opening and verification.
//!
//! Every frame that is handed out is verified whole. A scan ends at the first place where no frame
//! verifies and can be asked what stands there, and for the next frame that verifies behind it. A read
//! error is an error and never the end.

use bytes::Bytes;

use super::Segment;
use crate::error::Result;
use crate::format::{
    ALIGNMENT, EVENT_HEADER_BYTES, EventPlace, FRAME_HEADER_BYTES, Fault, Frame, FrameHeader,
    SEGMENT_HEADER_BYTES, aligned, is_zero, verifies,
};
use crate::io::DiskFile;
use crate::limits::COMMIT_BYTES_MAX;

/// Bytes from one possible start of a frame to the next.
const STEP_BYTES: u64 = ALIGNMENT as u64;

/// Bytes that are read at once.
const BLOCK_BYTES: u64 = 1 << 20;
/// Bytes that are read at once where nothing but zeros is expected: no more than is looked at.
const ZEROS_BLOCK_BYTES: u64 = 64 << 10;
/// Bytes that are passed over at once where all are zero.
const ZEROS_BYTES: u64 = 4096;

/// What stands at an offset.
#[derive(Debug)]
pub(crate) enum Scanned {
    /// A frame that verifies.
    Frame(Frame),
    /// Nothing but zeros where a frame would start, or no room for one.
    Blank,
    /// Bytes that are no frame.
    Fault(Fault),
}

/// Events of one frame that stand side by side and verify, though the frame may not.
#[derive(Debug)]
pub(crate) struct EventRun {
    /// The events, as if they were a frame.
    pub(crate) events: Frame,
    /// The offset of the first one.
    pub(crate) offset: u64,
    /// The offset of the header of their frame.
    pub(crate) frame_offset: u64,
}

/// A scan over the frames of a segment.
#[derive(Debug)]
pub(crate) struct Scan<'a, F> {
    segment: &'a Segment<F>,
    offset: u64,
    end: u64,
    block: Bytes,
    block_offset: u64,
}

impl<'a, F: DiskFile> Scan<'a, F> {
    /// Starts at the first frame; frames end at the footer's place, or with the file before it.
    pub(crate) fn new(segment: &'a Segment<F>) -> Self {
        Self {
            segment,
            offset: SEGMENT_HEADER_BYTES as u64,
            end: segment.frames_end(),
            block: Bytes::new(),
            block_offset: 0,
        }
    }

    /// Returns the offset of the next frame, or of what is none.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Ends the scan at an offset behind the present one: nothing behind it is read.
    pub(crate) fn end_at(&mut self, offset: u64) {
        self.end = offset.min(self.segment.frames_end()).max(self.offset);
    }

    /// Goes to an offset where the scan has been.
    pub(crate) fn go_back_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Forgets what was read, so that what is looked at next is read anew.
    pub(crate) fn forget(&mut self) {
        self.block = Bytes::new();
    }

    /// Reads what stands at the present offset, and goes on behind it if it is a frame.
    pub(crate) fn advance(&mut self) -> Result<Scanned> {
        let scanned = self.look()?;
        if let Scanned::Frame(frame) = &scanned {
            self.offset += u64::from(frame.header().length);
        }
        Ok(scanned)
    }

    /// Reads the frame header at the present offset, without the frame and without verifying it.
    pub(crate) fn header(&mut self) -> Result<Option<FrameHeader>> {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.segment.read(&mut bytes, self.offset)?;
        Ok(FrameHeader::read(&bytes).ok())
    }

    fn look(&mut self) -> Result<Scanned> {
        let header = self.bytes(FRAME_HEADER_BYTES as u64)?;
        if is_zero(&header) {
            return Ok(Scanned::Blank);
        }
        let length = match FrameHeader::read(&header) {
            Ok(header) => u64::from(header.length),
            Err(fault) => return Ok(Scanned::Fault(fault)),
        };
        // Else the memory of this block could not be taken for the next.
        drop(header);
        if length > self.end - self.offset {
            return Ok(Scanned::Fault(Fault::Invalid("frame length")));
        }
        let bytes = self.bytes(length)?;
        let location = self.segment.location(self.offset);
        match Frame::verify(&bytes, self.segment.header().signing, location) {
            Ok(frame) => Ok(Scanned::Frame(frame)),
            Err(fault) => Ok(Scanned::Fault(fault)),
        }
    }

    /// Returns the first frame behind the present offset that verifies and is wanted, and goes there
    /// as if the scan had just passed it. `None` once `zeros_max` bytes in a row are zero, or at the
    /// end; the offset is then behind the last byte that is not zero.
    pub(crate) fn search(
        &mut self,
        zeros_max: u64,
        wanted: impl Fn(&Frame) -> bool,
    ) -> Result<Option<Frame>> {
        let mut behind_data = self.offset;
        let first = self.offset;
        while self.offset < self.end && self.offset - behind_data <= zeros_max {
            if let Some(zeros) = self.zeros_ahead()? {
                self.offset += zeros;
                continue;
            }
            behind_data = (self.offset + STEP_BYTES).min(self.end);
            if self.offset > first
                && let Scanned::Frame(frame) = self.look_if_plausible()?
                && wanted(&frame)
            {
                self.offset += u64::from(frame.header().length);
                return Ok(Some(frame));
            }
            self.offset += STEP_BYTES;
        }
        self.offset = behind_data.min(self.end);
        Ok(None)
    }

    /// Goes on to the next place before an offset where an event stands that verifies and is wanted.
    /// Returns whether there is one. An event tells by its own checksum that it is where it belongs.
    pub(crate) fn search_event(
        &mut self,
        end: u64,
        wanted: impl Fn(&EventPlace) -> bool,
    ) -> Result<bool> {
        let end = end.min(self.end);
        while self.offset < end {
            if let Some(zeros) = self.zeros_ahead()? {
                self.offset += zeros;
                continue;
            }
            if self.event(end, &wanted)?.is_some() {
                return Ok(true);
            }
            self.pass_step();
        }
        Ok(false)
    }

    /// Goes on to the next place where something may stand.
    pub(crate) fn pass_step(&mut self) {
        self.offset += STEP_BYTES;
    }

    /// Takes events of one frame from the present offset on, the first of which is wanted, up to an
    /// offset or the first that does not verify, and goes on behind them.
    pub(crate) fn events(
        &mut self,
        end: u64,
        epoch: u32,
        wanted: impl Fn(&EventPlace) -> bool,
    ) -> Result<Option<EventRun>> {
        let start = self.offset;
        let Some(first) = self.event(end, wanted)? else { return Ok(None) };
        let Some(frame_offset) = start.checked_sub(first.frame_distance.into()) else {
            return Ok(None);
        };
        let mut last = first;
        loop {
            self.offset += aligned(last.length as usize) as u64;
            match self.event(end, |place| place.follows(&last))? {
                Some(next) => last = next,
                None => break,
            }
        }
        let behind = std::mem::replace(&mut self.offset, start);
        let bytes = self.bytes(behind - start)?;
        let location = self.segment.location(start);
        let events = Frame::of_events(bytes, self.segment.header().signing, location, epoch);
        // What was read twice may have changed in between.
        let Ok(events) = events else { return Ok(None) };
        self.offset = behind;
        Ok(Some(EventRun { events, offset: start, frame_offset }))
    }

    /// Reads the place of the event at the present offset, if it is wanted and verifies.
    fn event(
        &mut self,
        end: u64,
        wanted: impl Fn(&EventPlace) -> bool,
    ) -> Result<Option<EventPlace>> {
        let room = end.min(self.end).saturating_sub(self.offset);
        if room < EVENT_HEADER_BYTES as u64 {
            return Ok(None);
        }
        let header = self.bytes(EVENT_HEADER_BYTES as u64)?;
        let Ok(place) = EventPlace::read(&header) else { return Ok(None) };
        // Else the memory of this block could not be taken for the next.
        drop(header);
        let length = place.length as usize;
        let in_frame = u64::from(place.frame_distance) + aligned(length) as u64;
        let has_room = length >= EVENT_HEADER_BYTES
            && aligned(length) as u64 <= room
            && in_frame <= COMMIT_BYTES_MAX.into();
        if !has_room || !wanted(&place) {
            return Ok(None);
        }
        let own = self.bytes(length as u64)?;
        let location = self.segment.location(self.offset);
        Ok(verifies(&own, self.segment.header().signing, location).then_some(place))
    }

    /// Returns how many bytes can be passed over because they are zero, if the next ones are.
    fn zeros_ahead(&mut self) -> Result<Option<u64>> {
        for length in [ZEROS_BYTES, STEP_BYTES] {
            let bytes = self.bytes_of(length, ZEROS_BLOCK_BYTES)?;
            if is_zero(&bytes) {
                return Ok(Some(bytes.len() as u64));
            }
        }
        Ok(None)
    }

    /// As `look`, but does not read a whole frame for a header that none can have.
    fn look_if_plausible(&mut self) -> Result<Scanned> {
        let header = self.bytes(FRAME_HEADER_BYTES as u64)?;
        match FrameHeader::read(&header) {
            Ok(header) if header.durable_upto <= self.segment.location(self.offset) => self.look(),
            Ok(_) => Ok(Scanned::Fault(Fault::Invalid("durable upto"))),
            Err(fault) => Ok(Scanned::Fault(fault)),
        }
    }

    /// Returns up to `length` bytes from the present offset, fewer only before the end.
    fn bytes(&mut self, length: u64) -> Result<Bytes> {
        self.bytes_of(length, BLOCK_BYTES)
    }

    /// As `bytes`, out of a block of the given size where it has to be read.
    fn bytes_of(&mut self, length: u64, block_bytes: u64) -> Result<Bytes> {
        // An index may have sent the scan beyond the end of a file that was cut short.
        let length = length.min(self.end.saturating_sub(self.offset));
        if length == 0 {
            return Ok(Bytes::new());
        }
        let is_in_block = self.offset >= self.block_offset
            && self.offset + length <= self.block_offset + self.block.len() as u64;
        if !is_in_block {
            self.read_block(length.max(block_bytes))?;
        }
        let start = self.offset - self.block_offset;
        #[expect(clippy::cast_possible_truncation, reason = "both lie within the block")]
        Ok(self.block.slice(start as usize..(start + length) as usize))
    }

    fn read_block(&mut self, length: u64) -> Result<()> {
        let wanted = length.min(self.end - self.offset);
        // The memory of the block before is taken again, unless somebody keeps a frame of it.
        let mut block = std::mem::take(&mut self.block).try_into_mut().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "a frame is at most 64 MiB")]
        block.resize(wanted as usize, 0);
        self.segment.read(&mut block, self.offset)?;
        self.block = block.freeze();
        self.block_offset = self.offset;
        Ok(())
    }
}
