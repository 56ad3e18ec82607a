//! One event as it stands in a frame: its bytes, which `event` knows, sealed at their place.
//!
//! Its checksum covers everything about it that a reader hands out, so one event can be verified and
//! borrowed without reading anything else of its commit. The checksum is computed by whoever writes the event,
//! in one step, when position, time and place are known: to hash the body beforehand costs more than it
//! spares those who wait.

use std::sync::LazyLock;

#[cfg(any(test, feature = "testing"))]
use bytes::Bytes;
use crc32fast::Hasher;
use uuid::Uuid;

use super::{Fault, HashOrder, Location, Signing, aligned};
use crate::bugs::{self, Bug};
use crate::error::Result;
#[cfg(any(test, feature = "testing"))]
use crate::event::RecordedEvent;
use crate::event::layout::{
    EVENT_CRC, EVENT_FRAME_DISTANCE, EVENT_GLOBAL_POSITION, EVENT_HEADER, EVENT_ID, EVENT_INDEX,
    EVENT_LENGTH, EVENT_RECORDED_AT, EVENT_STREAM_VERSION, KNOWN_EVENT_FLAGS,
};
use crate::event::{Encoded, EventId, NoEvent};
use crate::position::{GlobalPosition, StreamVersion};
use crate::timestamp::Timestamp;

/// Where an event stands, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventPlace {
    /// Bytes of the event without padding.
    pub(crate) length: u32,
    /// Bytes back to the header of its frame.
    pub(crate) frame_distance: u32,
    /// Its place in the frame, from 0.
    pub(crate) index: u16,
    pub(crate) global_position: GlobalPosition,
    pub(crate) recorded_at: Timestamp,
}

impl EventPlace {
    /// Reads the place from an event header that has not been verified.
    #[inline]
    pub(crate) fn read(header: &[u8]) -> Result<Self, Fault> {
        let header = header.get(..EVENT_HEADER.size).ok_or(Fault::Short)?;
        Ok(Self {
            length: EVENT_LENGTH.get_u32(header),
            frame_distance: EVENT_FRAME_DISTANCE.get_u32(header),
            index: EVENT_INDEX.get_u16(header),
            global_position: GlobalPosition::new(EVENT_GLOBAL_POSITION.get(header)),
            recorded_at: Timestamp::from_micros(EVENT_RECORDED_AT.get_i64(header)),
        })
    }
}

impl EventPlace {
    /// Returns whether an event with this place comes right after another of the same frame.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        let end = u64::from(before.frame_distance) + aligned(before.length as usize) as u64;
        u64::from(self.frame_distance) == end
            && self.index.checked_sub(1) == Some(before.index)
            && self.global_position == before.global_position.next()
            && self.recorded_at == before.recorded_at
    }
}

/// Reads the event id from an event header that has not been verified.
pub(crate) fn id_of(header: &[u8]) -> EventId {
    EventId::from_uuid(Uuid::from_bytes(EVENT_ID.get_16(header)))
}

/// Appends bytes as if they were an event.
#[cfg(any(test, feature = "testing"))]
pub(super) fn append_raw(bytes: &mut Vec<u8>, event: &[u8]) {
    let start = bytes.len();
    bytes.extend_from_slice(event);
    let own = bytes.get_mut(start..).unwrap_or_default();
    EVENT_LENGTH.put(own, own.len() as u64);
}

/// Sets what is known under the lock: version and position, and the place in the frame.
pub(super) fn place(
    own: &mut [u8],
    version: StreamVersion,
    position: GlobalPosition,
    frame_distance: usize,
    index: usize,
) {
    EVENT_STREAM_VERSION.put(own, version.get());
    EVENT_GLOBAL_POSITION.put(own, position.get());
    EVENT_FRAME_DISTANCE.put(own, frame_distance as u64);
    EVENT_INDEX.put(own, index as u64);
}

/// Sets the commit time of a placed event and its checksum, and returns that; `own` is the event without
/// padding. Returns none for bytes that are too few for an event.
pub(super) fn stamp(
    own: &mut [u8],
    recorded_at: Timestamp,
    signing: Signing,
    location: Location,
) -> Option<u32> {
    EVENT_RECORDED_AT.put(own, recorded_at.as_micros().cast_unsigned());
    let crc = hash(own, signing.order())? ^ signing.signature(location);
    EVENT_CRC.put(own, crc.into());
    Some(crc)
}

/// Tells whether the checksum of an event matches; `own` is the event without padding.
#[inline(always)]
pub(crate) fn verifies(own: &[u8], signing: Signing, location: Location) -> bool {
    let crc = hash(own, signing.order());
    crc.is_some_and(|crc| crc ^ signing.signature(location) == EVENT_CRC.get_u32(own))
}

/// Hashes everything of an event but the checksum itself; returns none for bytes that are too few for an
/// event. The hasher is made without asking the processor again for what it can do.
#[inline(always)]
fn hash(own: &[u8], order: HashOrder) -> Option<u32> {
    static NEW: LazyLock<Hasher> = LazyLock::new(Hasher::new);
    if own.len() < EVENT_HEADER.size {
        return None;
    }
    let mut hasher = NEW.clone();
    match order {
        HashOrder::InOrder => hasher.update(own.get(EVENT_LENGTH.offset..)?),
        HashOrder::BodyFirst => {
            hasher.update(own.get(EVENT_ID.offset..)?);
            hasher.update(own.get(EVENT_LENGTH.offset..EVENT_ID.offset)?);
        }
    }
    Some(hasher.finalize())
}

pub(super) fn crc_of(own: &[u8]) -> u32 {
    EVENT_CRC.get_u32(own)
}

/// Verifies an event and checks that it is one; `own` is the event without padding.
#[inline]
pub(crate) fn check(own: &[u8], signing: Signing, location: Location) -> Result<(), Fault> {
    if own.len() < EVENT_HEADER.size {
        return Err(Fault::Short);
    }
    if !verifies(own, signing, location) && !bugs::on(Bug::EventUnchecked) {
        return Err(Fault::Checksum);
    }
    check_parts(own)
}

/// Checks that an event whose checksum matches is one.
#[inline]
pub(super) fn check_parts(own: &[u8]) -> Result<(), Fault> {
    Encoded(own).check().map_err(fault)
}

#[cold]
fn fault(no_event: NoEvent) -> Fault {
    match no_event {
        NoEvent::Short => Fault::Short,
        NoEvent::Invalid(what) => Fault::Invalid(what),
        NoEvent::UnknownFlags(flags) => Fault::Newer {
            found: format!("event flags {flags:#06x}"),
            supported: format!("{KNOWN_EVENT_FLAGS:#06x}"),
        },
    }
}

/// As [`check`], and returns the event, from raw bytes as a file has them: `own` may go on behind it.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn decode_first(
    own: &Bytes,
    signing: Signing,
    location: Location,
) -> Result<RecordedEvent, Fault> {
    let length = EventPlace::read(own)?.length as usize;
    if own.len() < length {
        return Err(Fault::Short);
    }
    let own = own.slice(..length);
    check(&own, signing, location)?;
    Ok(RecordedEvent::of(own))
}
