//! A frame: one commit in the log, or a watermark without events.
//!
//! A frame is made in three steps, each as early as what it needs is known: `PackedFrame::push`
//! encodes events, by the caller and before any lock; `place` sets versions and the first position, under
//! the lock; `stamp` computes the checksums for one place in the log, by whoever writes the group.
//!
//! Invariants:
//!
//! 1. A frame verifies only at the location, in the segment and in the store it was stamped for.
//! 2. A frame verifies only whole: its header, every event and all padding.
//! 3. Zeros are never a frame.

use bytes::Bytes;
use crc32fast::Hasher;

use super::event;
use super::layout::{
    ALIGNMENT, FRAME_CLOSED, FRAME_CRC, FRAME_DURABLE_UPTO, FRAME_EPOCH, FRAME_EVENT_COUNT,
    FRAME_FIRST_POSITION, FRAME_FLAGS, FRAME_HEADER, FRAME_LENGTH, FRAME_RECORDED_AT,
};
use super::{EVENT_HEADER_BYTES, EventPlace, Fault, Location, Signing, aligned, is_zero};
use crate::bugs::{self, Bug};
use crate::error::{Error, Result};
use crate::event::{NewEvent, RecordedEvent, encode};
use crate::few::Few;
use crate::limits::COMMIT_BYTES_MAX;
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

/// What a frame is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// It records events.
    Commit,
    /// It shows that the frames before it had been durable.
    Watermark,
    /// A watermark after which the store was closed.
    Closed,
}

/// The fields of a frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) crc: u32,
    /// Bytes of the frame.
    pub(crate) length: u32,
    /// The position of the first event; in a watermark, of the next event to come.
    pub(crate) first_position: GlobalPosition,
    /// How far the log was known to be durable when the frame was stamped.
    pub(crate) durable_upto: Location,
    pub(crate) recorded_at: Timestamp,
    pub(crate) epoch: u32,
    pub(crate) event_count: u16,
    pub(crate) flags: u16,
}

impl FrameHeader {
    /// Reads a header that has not been verified; refuses what no frame can have, and never a length
    /// that leaves the next frame unaligned.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() < FRAME_HEADER.size {
            return Err(Fault::Short);
        }
        let header = Self {
            crc: FRAME_CRC.get_u32(bytes),
            length: FRAME_LENGTH.get_u32(bytes),
            first_position: GlobalPosition::new(FRAME_FIRST_POSITION.get(bytes)),
            durable_upto: Location::new(FRAME_DURABLE_UPTO.get(bytes)),
            recorded_at: Timestamp::from_micros(FRAME_RECORDED_AT.get_i64(bytes)),
            epoch: FRAME_EPOCH.get_u32(bytes),
            event_count: FRAME_EVENT_COUNT.get_u16(bytes),
            flags: FRAME_FLAGS.get_u16(bytes),
        };
        header.check().map(|()| header)
    }

    fn check(&self) -> Result<(), Fault> {
        let least = FRAME_HEADER.size + usize::from(self.event_count) * EVENT_HEADER_BYTES;
        if (self.length as usize) < least
            || self.length > COMMIT_BYTES_MAX
            || !(self.length as usize).is_multiple_of(ALIGNMENT)
        {
            return Err(Fault::Invalid("frame length"));
        }
        if self.event_count == 0 && self.length as usize != FRAME_HEADER.size {
            return Err(Fault::Invalid("frame length"));
        }
        if self.first_position == GlobalPosition::ZERO {
            return Err(Fault::Invalid("first position"));
        }
        Ok(())
    }

    pub(crate) fn kind(&self) -> FrameKind {
        match (self.event_count, self.flags & FRAME_CLOSED) {
            (0, 0) => FrameKind::Watermark,
            (0, _) => FrameKind::Closed,
            _ => FrameKind::Commit,
        }
    }

    /// Returns the position that follows the frame's last event.
    pub(crate) fn next_position(&self) -> GlobalPosition {
        self.first_position.advanced_by(self.event_count.into())
    }
}

/// A frame that is being made; by default none at all, of which nothing may be asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct PackedFrame {
    bytes: Vec<u8>,
    event_count: usize,
}

/// What a frame gets at the place where it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) signing: Signing,
    pub(crate) location: Location,
    pub(crate) durable_upto: Location,
    pub(crate) recorded_at: Timestamp,
    pub(crate) epoch: u32,
}

impl PackedFrame {
    /// Starts a frame without events.
    pub(crate) fn new() -> Self {
        Self::with_room_for(std::iter::empty())
    }

    /// As [`new`](Self::new), with room for events with payloads of these lengths and ids and names of
    /// usual lengths.
    pub(crate) fn with_room_for(payloads: impl Iterator<Item = usize>) -> Self {
        const BESIDE_A_PAYLOAD: usize = EVENT_HEADER_BYTES + 64;
        let room: usize = payloads.map(|bytes| bytes + BESIDE_A_PAYLOAD).sum();
        let mut bytes = Vec::with_capacity(FRAME_HEADER.size + room);
        bytes.resize(FRAME_HEADER.size, 0);
        Self { bytes, event_count: 0 }
    }

    /// Starts a frame without events that has any flags, known or not.
    #[cfg(feature = "testing")]
    pub(crate) fn with_flags(flags: u16) -> Self {
        let mut frame = Self::new();
        FRAME_FLAGS.put(&mut frame.bytes, flags.into());
        frame
    }

    /// Returns a watermark: a frame that stays without events.
    pub(crate) fn watermark(kind: FrameKind, next_position: GlobalPosition) -> Self {
        let mut frame = Self::new();
        let flags = if kind == FrameKind::Closed { FRAME_CLOSED } else { 0 };
        FRAME_FLAGS.put(&mut frame.bytes, flags.into());
        frame.place_header(next_position);
        frame
    }

    /// Adds an event of a stream.
    ///
    /// # Errors
    ///
    /// `Error::Payload` when the metadata can not be encoded.
    pub(crate) fn push(&mut self, stream: &StreamId, event: &NewEvent) -> Result<()> {
        encode(&mut self.bytes, stream, event)?;
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self.event_count += 1;
        Ok(())
    }

    /// Adds bytes in the place of an event, with their length and checksum, so that decoders can be
    /// tried with what no writer makes.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn push_raw(&mut self, event: &[u8]) {
        event::append_raw(&mut self.bytes, event);
        self.bytes.resize(aligned(self.bytes.len()), 0);
        self.event_count += 1;
    }

    /// Returns the bytes of the frame so far.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn event_count(&self) -> usize {
        self.event_count
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Sets the position of the first event and the version of every event.
    ///
    /// # Errors
    ///
    /// `Error::Internal` unless there is one version for each event that was pushed.
    pub(crate) fn place(
        &mut self,
        first_position: GlobalPosition,
        versions: impl IntoIterator<Item = StreamVersion>,
    ) -> Result<()> {
        self.place_header(first_position);
        let mut at = FRAME_HEADER.size;
        for (index, version) in versions.into_iter().enumerate() {
            let own = self.bytes.get_mut(at..).ok_or_else(holds_its_events)?;
            let length = padded_length(own).map_err(|_| holds_its_events())?;
            event::place(own, version, first_position.advanced_by(index as u64), at, index);
            at += length;
        }
        match at == self.bytes.len() {
            true => Ok(()),
            false => Err(holds_its_events()),
        }
    }

    fn place_header(&mut self, first_position: GlobalPosition) {
        let length = self.bytes.len() as u64;
        FRAME_LENGTH.put(&mut self.bytes, length);
        FRAME_FIRST_POSITION.put(&mut self.bytes, first_position.get());
        FRAME_EVENT_COUNT.put(&mut self.bytes, self.event_count as u64);
    }

    /// Computes every checksum for one place in the log. Returns that of the frame, and where its events then
    /// are.
    ///
    /// # Errors
    ///
    /// `Error::Internal` when an event that was pushed is not there.
    pub(crate) fn stamp(&mut self, stamp: &Stamp) -> Result<(u32, Few<Location>)> {
        let durable_upto = match stamp {
            stamp if bugs::on(Bug::DurableUptoTooFar) => stamp.location,
            _ if bugs::on(Bug::DurableUptoMissing) => Location::default(),
            stamp => stamp.durable_upto,
        };
        FRAME_DURABLE_UPTO.put(&mut self.bytes, durable_upto.get());
        FRAME_RECORDED_AT.put(&mut self.bytes, stamp.recorded_at.as_micros().cast_unsigned());
        FRAME_EPOCH.put(&mut self.bytes, stamp.epoch.into());
        let mut hasher = Hasher::new();
        hasher.update(
            self.bytes.get(FRAME_LENGTH.offset..FRAME_HEADER.size).ok_or_else(holds_its_events)?,
        );
        let mut at = FRAME_HEADER.size;
        let mut locations = Few::with_capacity(self.event_count);
        for _ in 0..self.event_count {
            let rest = self.bytes.get_mut(at..).ok_or_else(holds_its_events)?;
            let length = EventPlace::read(rest).map_err(|_| holds_its_events())?.length as usize;
            let own = rest.get_mut(..length).ok_or_else(holds_its_events)?;
            let location = stamp.location.plus(at as u64);
            let crc = event::stamp(own, stamp.recorded_at, stamp.signing, location);
            hasher.update(&crc.ok_or_else(holds_its_events)?.to_le_bytes());
            locations.push(location);
            at += aligned(length);
        }
        let crc = hasher.finalize() ^ stamp.signing.signature(stamp.location);
        FRAME_CRC.put(&mut self.bytes, crc.into());
        Ok((crc, locations))
    }
}

/// Returns the error for a frame that would record its events at wrong places, or with wrong checksums.
#[cold]
fn holds_its_events() -> Error {
    Error::Internal { invariant: "a frame holds the events that were pushed, each with a version" }
}

fn padded_length(own: &[u8]) -> Result<usize, Fault> {
    Ok(aligned(EventPlace::read(own)?.length as usize))
}

/// A frame that verifies, in shared bytes; or events of one that does not, each of which verifies.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    header: FrameHeader,
    bytes: Bytes,
    signing: Signing,
    location: Location,
    /// Where the first event stands: behind the header, if there is one.
    events_at: usize,
    /// Where the last event stands, if there is no header.
    last_event_at: usize,
}

impl Frame {
    /// Verifies the frame at the start of `bytes`, which may go on behind it.
    pub(crate) fn verify(
        bytes: &Bytes,
        signing: Signing,
        location: Location,
    ) -> Result<Self, Fault> {
        let header = FrameHeader::read(bytes)?;
        if bytes.len() < header.length as usize {
            return Err(Fault::Short);
        }
        let bytes = bytes.slice(..header.length as usize);
        let (events_at, last_event_at) = (FRAME_HEADER.size, 0);
        let frame = Self { header, bytes, signing, location, events_at, last_event_at };
        frame.verify_events()?;
        frame.check_flags().map(|()| frame)
    }

    /// Verifies events of one frame that stand side by side, the first at a location, and takes them as
    /// if they were a frame without a header: with what they tell of theirs, the given epoch, and durable
    /// up to their end.
    pub(crate) fn of_events(
        bytes: Bytes,
        signing: Signing,
        location: Location,
        epoch: u32,
    ) -> Result<Self, Fault> {
        let first = EventPlace::read(&bytes)?;
        let (mut count, mut last, mut at, mut last_event_at) = (0_u16, first, 0, 0);
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let place = EventPlace::read(rest)?;
            let own = rest.get(..place.length as usize).ok_or(Fault::Short)?;
            if at > 0 && !place.follows(&last) {
                return Err(Fault::Invalid("place of an event"));
            }
            if !event::verifies(own, signing, location.plus(at as u64)) {
                return Err(Fault::Checksum);
            }
            (last, last_event_at) = (place, at);
            count = count.checked_add(1).ok_or(Fault::Invalid("event count"))?;
            at += aligned(own.len());
        }
        let crc = event::crc_of(bytes.get(last_event_at..).unwrap_or_default());
        let header = FrameHeader {
            crc,
            length: u32::try_from(bytes.len()).map_err(|_| Fault::Invalid("frame length"))?,
            first_position: first.global_position,
            durable_upto: location.plus(bytes.len() as u64),
            recorded_at: first.recorded_at,
            epoch,
            event_count: count,
            flags: 0,
        };
        Ok(Self { header, bytes, signing, location, events_at: 0, last_event_at })
    }

    /// Returns whether all of the frame verifies.
    pub(crate) fn is_whole(&self) -> bool {
        self.events_at > 0
    }

    /// Returns the location of what tells where the frame ends: its header, or the last event where the
    /// header is lost.
    pub(crate) fn end_mark(&self) -> Location {
        self.location.plus(self.last_event_at as u64)
    }

    /// Refuses flags that this version does not know: judged last, when they are known to be what was
    /// written.
    fn check_flags(&self) -> Result<(), Fault> {
        let flags = self.header.flags;
        match flags & !FRAME_CLOSED {
            0 => Ok(()),
            _ => Err(Fault::Newer {
                found: format!("frame flags {flags:#06x}"),
                supported: format!("{FRAME_CLOSED:#06x}"),
            }),
        }
    }

    /// Checks the frame's own checksum, which covers the places and checksums of all events, and only
    /// then hashes the events: garbage costs little to refuse, whatever lengths it claims.
    fn verify_events(&self) -> Result<(), Fault> {
        let mut hasher = Hasher::new();
        let rest = FRAME_LENGTH.offset..FRAME_HEADER.size;
        hasher.update(self.bytes.get(rest).ok_or(Fault::Short)?);
        let mut at = FRAME_HEADER.size;
        for index in 0..self.header.event_count {
            let own = self.event_bytes(at, index)?;
            hasher.update(&event::crc_of(own).to_le_bytes());
            at = self.behind_padding(at + own.len())?;
        }
        if at != self.bytes.len() {
            return Err(Fault::Invalid("frame length"));
        }
        let crc = hasher.finalize() ^ self.signing.signature(self.location);
        if crc != self.header.crc && !bugs::on(Bug::FrameUnchecked) {
            return Err(Fault::Checksum);
        }
        self.verify_each()
    }

    fn verify_each(&self) -> Result<(), Fault> {
        if bugs::on(Bug::BodiesUnchecked) {
            return Ok(());
        }
        let mut at = FRAME_HEADER.size;
        for index in 0..self.header.event_count {
            let own = self.event_bytes(at, index)?;
            if !event::verifies(own, self.signing, self.location.plus(at as u64)) {
                return Err(Fault::Checksum);
            }
            at = self.behind_padding(at + own.len())?;
        }
        Ok(())
    }

    /// Returns the next aligned offset, if nothing but zeros lies before it.
    fn behind_padding(&self, end: usize) -> Result<usize, Fault> {
        let next = aligned(end);
        match self.bytes.get(end..next).is_some_and(is_zero) {
            true => Ok(next),
            false => Err(Fault::Invalid("padding")),
        }
    }

    /// Returns the event at an offset of the frame, without padding, if its header agrees.
    fn event_bytes(&self, at: usize, index: u16) -> Result<&[u8], Fault> {
        let rest = self.bytes.get(at..).ok_or(Fault::Short)?;
        let place = EventPlace::read(rest)?;
        let position = self.header.first_position.advanced_by(index.into());
        if (place.index, place.frame_distance as usize) != (index, at)
            || (place.global_position, place.recorded_at) != (position, self.header.recorded_at)
        {
            return Err(Fault::Invalid("place of an event"));
        }
        let own = rest.get(..place.length as usize).ok_or(Fault::Short)?;
        match own.len() < EVENT_HEADER_BYTES {
            true => Err(Fault::Short),
            false => Ok(own),
        }
    }

    pub(crate) fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Returns where the frame starts, or the first event where the header is lost.
    pub(crate) fn location(&self) -> Location {
        self.location
    }

    /// Returns the length of the event at an offset, which lies within these bytes.
    fn length_at(&self, at: usize) -> Result<usize, Fault> {
        let rest = self.bytes.get(at..).ok_or(Fault::Short)?;
        let length = EventPlace::read(rest)?.length as usize;
        rest.get(..length).map(<[u8]>::len).ok_or(Fault::Short)
    }

    /// Iterates over the events and where they are. A fault here means that a writer encoded an
    /// event that breaks the rules, since the checksums hold.
    pub(crate) fn events(&self) -> impl Iterator<Item = Result<(Location, RecordedEvent), Fault>> {
        let mut at = self.events_at;
        (0..self.header.event_count).map(move |index| {
            let length = match self.is_whole() {
                true => self.event_bytes(at, index)?.len(),
                // Of events without their header each was looked at by itself.
                false => self.length_at(at)?,
            };
            let location = self.location.plus(at as u64);
            let own = self.bytes.slice(at..at + length);
            at = aligned(at + length);
            event::check_parts(&own)?;
            Ok((location, RecordedEvent::of(own)))
        })
    }
}

/// Returns the signing, but for the order in which events are hashed, with which what stands at the start of
/// `bytes` would be a frame at a location: for a segment whose header is lost. That it is the right one is
/// shown by what else verifies with it.
pub(crate) fn signing_for(bytes: &Bytes, location: Location) -> Option<Signing> {
    let header = FrameHeader::read(bytes).ok()?;
    let bytes = bytes.get(..header.length as usize)?;
    let mut hasher = Hasher::new();
    hasher.update(bytes.get(FRAME_LENGTH.offset..FRAME_HEADER.size)?);
    let mut at = FRAME_HEADER.size;
    for _ in 0..header.event_count {
        let own = bytes.get(at..).filter(|own| own.len() >= EVENT_HEADER_BYTES)?;
        hasher.update(&event::crc_of(own).to_le_bytes());
        at = at.checked_add(padded_length(own).ok()?)?;
    }
    Some(Signing::of_signature(hasher.finalize() ^ header.crc, location))
}
