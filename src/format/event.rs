//! One event as it stands in a frame.
//!
//! Its checksum covers everything about it that a reader hands out, so one event can be verified and
//! borrowed without reading anything else of its commit. The checksum is computed in two steps: over
//! the body before any lock is taken, then over the header, when position, time and place are known.

use bytes::Bytes;
use crc32fast::Hasher;
use uuid::Uuid;

use super::layout::{
    ACTOR_IS_UUID, AGGREGATE_ID_IS_UUID, EVENT_AGGREGATE_ID_LENGTH, EVENT_AGGREGATE_TYPE_LENGTH,
    EVENT_CONTENT_TYPE, EVENT_CRC, EVENT_FLAGS, EVENT_FRAME_DISTANCE, EVENT_GLOBAL_POSITION,
    EVENT_HEADER, EVENT_ID, EVENT_INDEX, EVENT_LENGTH, EVENT_PAYLOAD_LENGTH, EVENT_RECORDED_AT,
    EVENT_STREAM_VERSION, EVENT_TYPE_LENGTH, Flag, HAS_ACTOR, HAS_CAUSATION_ID, HAS_CORRELATION_ID,
    HAS_EVENT_VERSION, HAS_METADATA, HAS_OCCURRED_AT, HAS_TAGS, HAS_TENANT, KNOWN_EVENT_FLAGS,
    TENANT_IS_UUID,
};
use super::{Fault, Location, Salt};
use crate::bugs::{self, Bug};
use crate::error::Result;
use crate::event::{
    ContentType, EventId, EventParts, IdSpan, NewEvent, RecordedEvent, ShortSpan, Span,
    TAG_SEPARATOR, encoded_metadata, joined_tags,
};
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{IdRef, StreamId, check_text, is_aggregate_type, is_plain};
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
    pub(crate) fn read(header: &[u8]) -> Self {
        let header = header.get(..EVENT_HEADER.size).unwrap_or(&[0; EVENT_HEADER.size]);
        Self {
            length: EVENT_LENGTH.get_u32(header),
            frame_distance: EVENT_FRAME_DISTANCE.get_u32(header),
            index: EVENT_INDEX.get_u16(header),
            global_position: GlobalPosition::new(EVENT_GLOBAL_POSITION.get(header)),
            recorded_at: Timestamp::from_micros(EVENT_RECORDED_AT.get_i64(header)),
        }
    }
}

/// Reads the event id from an event header that has not been verified.
pub(crate) fn id_of(header: &[u8]) -> EventId {
    EventId::from_uuid(Uuid::from_bytes(EVENT_ID.get_16(header)))
}

/// Appends an event to `bytes`; its crc field holds the checksum of its body until it is stamped,
/// and what is not known yet is zero.
pub(super) fn append(bytes: &mut Vec<u8>, stream: &StreamId, event: &NewEvent) -> Result<()> {
    let start = bytes.len();
    let metadata = encoded_metadata(&event.metadata)?;
    bytes.resize(start + EVENT_HEADER.size, 0);
    let flags = append_optional_parts(bytes, stream, event);
    append_section(bytes, EVENT_TAGS_WIDTH, joined_tags(&event.tags).as_bytes());
    append_section(bytes, EVENT_METADATA_WIDTH, &metadata);
    bytes.extend_from_slice(&event.payload);

    let id_length = id_bytes(&stream.aggregate_id().as_ref(), <[u8]>::len);
    let Some(own) = bytes.get_mut(start..) else { return Ok(()) };
    EVENT_FLAGS.put(own, flags.into());
    EVENT_AGGREGATE_TYPE_LENGTH.put(own, stream.aggregate_type().len() as u64);
    EVENT_AGGREGATE_ID_LENGTH.put(own, id_length as u64);
    EVENT_TYPE_LENGTH.put(own, event.event_type.len() as u64);
    EVENT_CONTENT_TYPE.put(own, content_type_number(event.content_type).into());
    EVENT_PAYLOAD_LENGTH.put(own, event.payload.len() as u64);
    EVENT_ID.put_bytes(own, event.event_id.as_uuid().as_bytes());
    seal_body(own);
    Ok(())
}

/// Appends bytes as if they were an event.
#[cfg(any(test, feature = "testing"))]
pub(super) fn append_raw(bytes: &mut Vec<u8>, event: &[u8]) {
    let start = bytes.len();
    bytes.extend_from_slice(event);
    seal_body(bytes.get_mut(start..).unwrap_or_default());
}

/// Sets what is known once the body is complete: its length, and its checksum in the field of the
/// event's.
fn seal_body(own: &mut [u8]) {
    EVENT_LENGTH.put(own, own.len() as u64);
    let body_crc = crc32fast::hash(body(own));
    EVENT_CRC.put(own, body_crc.into());
}

/// Bytes of the length of the tags.
const EVENT_TAGS_WIDTH: usize = 2;
/// Bytes of the length of the metadata.
const EVENT_METADATA_WIDTH: usize = 4;

/// Appends what stands between the header and the tags, and returns the flags of the whole event.
fn append_optional_parts(bytes: &mut Vec<u8>, stream: &StreamId, event: &NewEvent) -> u16 {
    let mut flags = 0;
    let mut set = |flag: Flag, is_set: bool| flags |= if is_set { flag.bit } else { 0 };
    let is_uuid = |id: IdRef<'_>| matches!(id, IdRef::Uuid(_));
    let tenant = event.tenant.as_ref().map(|tenant| tenant.as_ref());
    let actor = event.actor.as_ref().map(|actor| actor.as_ref());
    set(HAS_OCCURRED_AT, event.occurred_at.is_some());
    set(HAS_EVENT_VERSION, event.event_version != 1);
    set(HAS_CORRELATION_ID, event.correlation_id.is_some());
    set(HAS_CAUSATION_ID, event.causation_id.is_some());
    set(AGGREGATE_ID_IS_UUID, is_uuid(stream.aggregate_id().as_ref()));
    set(HAS_TENANT, tenant.is_some());
    set(TENANT_IS_UUID, tenant.is_some_and(is_uuid));
    set(HAS_ACTOR, actor.is_some());
    set(ACTOR_IS_UUID, actor.is_some_and(is_uuid));
    set(HAS_TAGS, !event.tags.is_empty());
    set(HAS_METADATA, !event.metadata.is_empty());

    if let Some(time) = event.occurred_at {
        bytes.extend_from_slice(&time.as_micros().to_le_bytes());
    }
    if event.event_version != 1 {
        bytes.extend_from_slice(&event.event_version.to_le_bytes());
    }
    for id in [event.correlation_id, event.causation_id].into_iter().flatten() {
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes.extend_from_slice(stream.aggregate_type().as_bytes());
    id_bytes(&stream.aggregate_id().as_ref(), |id| bytes.extend_from_slice(id));
    bytes.extend_from_slice(event.event_type.as_bytes());
    for id in [tenant, actor].into_iter().flatten() {
        if let IdRef::Text(text) = id {
            append_length(bytes, 1, text.len());
        }
        id_bytes(&id, |id| bytes.extend_from_slice(id));
    }
    flags
}

/// Appends a part with its length before it, unless it is empty and so has no flag.
fn append_section(bytes: &mut Vec<u8>, width: usize, section: &[u8]) {
    if !section.is_empty() {
        append_length(bytes, width, section.len());
        bytes.extend_from_slice(section);
    }
}

fn append_length(bytes: &mut Vec<u8>, width: usize, length: usize) {
    bytes.extend_from_slice((length as u64).to_le_bytes().get(..width).unwrap_or_default());
}

fn id_bytes<T>(id: &IdRef<'_>, take: impl FnOnce(&[u8]) -> T) -> T {
    match id {
        IdRef::Uuid(uuid) => take(uuid.as_bytes()),
        IdRef::Text(text) => take(text.as_bytes()),
    }
}

fn content_type_number(content_type: ContentType) -> u8 {
    match content_type {
        ContentType::Bytes => 0,
        ContentType::Text => 1,
        ContentType::Json => 2,
        ContentType::Bincode => 3,
        ContentType::Other(number) => number,
    }
}

fn content_type(number: u8) -> ContentType {
    match number {
        0 => ContentType::Bytes,
        1 => ContentType::Text,
        2 => ContentType::Json,
        3 => ContentType::Bincode,
        number => ContentType::Other(number),
    }
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

/// Sets the commit time of a placed event, finishes its checksum and returns that.
pub(super) fn stamp(own: &mut [u8], recorded_at: Timestamp, salt: Salt, location: Location) -> u32 {
    EVENT_RECORDED_AT.put(own, recorded_at.as_micros().cast_unsigned());
    let body_crc = Hasher::new_with_initial(EVENT_CRC.get_u32(own));
    let crc = finish_crc(body_crc, own) ^ salt.signature(location);
    EVENT_CRC.put(own, crc.into());
    crc
}

/// Tells whether the checksum of an event matches; `own` is the event without padding.
#[inline]
pub(super) fn verifies(own: &[u8], salt: Salt, location: Location) -> bool {
    let mut body_crc = Hasher::new();
    body_crc.update(body(own));
    let crc = finish_crc(body_crc, own) ^ salt.signature(location);
    own.len() >= EVENT_HEADER.size && crc == EVENT_CRC.get_u32(own)
}

pub(super) fn crc_of(own: &[u8]) -> u32 {
    EVENT_CRC.get_u32(own)
}

#[inline]
fn body(own: &[u8]) -> &[u8] {
    own.get(EVENT_ID.offset..).unwrap_or_default()
}

#[inline]
fn finish_crc(mut hasher: Hasher, own: &[u8]) -> u32 {
    hasher.update(own.get(EVENT_LENGTH.offset..EVENT_ID.offset).unwrap_or_default());
    hasher.finalize()
}

/// Verifies and decodes an event; `own` is the event without padding.
#[inline]
pub(crate) fn decode(own: Bytes, salt: Salt, location: Location) -> Result<RecordedEvent, Fault> {
    if own.len() < EVENT_HEADER.size {
        return Err(Fault::Short);
    }
    if !verifies(&own, salt, location) && !bugs::on(Bug::EventUnchecked) {
        return Err(Fault::Checksum);
    }
    let parts = parts(&own)?;
    Ok(RecordedEvent::from_parts(own, parts))
}

/// As [`decode`], from raw bytes as a file has them: `own` may go on behind the event.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn decode_first(
    own: &Bytes,
    salt: Salt,
    location: Location,
) -> Result<RecordedEvent, Fault> {
    let length = EventPlace::read(own).length as usize;
    match own.len() >= length {
        true => decode(own.slice(..length), salt, location),
        false => Err(Fault::Short),
    }
}

/// Reads where the parts lie. Only at the end does it show whether the lengths fit: what lies within
/// an event whose parts end where it ends lies within it, and otherwise it is refused.
#[inline]
fn parts(own: &[u8]) -> Result<EventParts, Fault> {
    let flags = EVENT_FLAGS.get_u16(own);
    if flags & !KNOWN_EVENT_FLAGS != 0 {
        let found = format!("event flags {flags:#06x}");
        return Err(Fault::Newer { found, supported: format!("{KNOWN_EVENT_FLAGS:#06x}") });
    }
    let is_set = |flag: Flag| flags & flag.bit != 0;
    let id_length = EVENT_AGGREGATE_ID_LENGTH.get_u16(own);
    if is_set(AGGREGATE_ID_IS_UUID) && id_length != UUID_BYTES {
        return Err(Fault::Invalid("aggregate id length"));
    }
    let EventPlace { global_position, recorded_at, .. } = EventPlace::read(own);
    let mut cursor = Cursor { own, at: EVENT_HEADER.size as u64 };
    let parts = EventParts {
        global_position,
        stream_version: StreamVersion::new(EVENT_STREAM_VERSION.get(own)),
        recorded_at,
        event_id: EVENT_ID_START,
        content_type: content_type(EVENT_CONTENT_TYPE.get(own).to_le_bytes()[0]),
        // From here on in the order in which they stand.
        occurred_at: match is_set(HAS_OCCURRED_AT) {
            true => Timestamp::from_micros(i64::from_le_bytes(cursor.take_number())),
            false => recorded_at,
        },
        event_version: match is_set(HAS_EVENT_VERSION) {
            true => u32::from_le_bytes(cursor.take_number()),
            false => 1,
        },
        correlation_id: is_set(HAS_CORRELATION_ID).then(|| cursor.pass_short(UUID_BYTES).start),
        causation_id: is_set(HAS_CAUSATION_ID).then(|| cursor.pass_short(UUID_BYTES).start),
        aggregate_type: cursor.pass_short(EVENT_AGGREGATE_TYPE_LENGTH.get_u16(own)),
        aggregate_id: cursor.pass_id(is_set(AGGREGATE_ID_IS_UUID), |_| id_length),
        event_type: cursor.pass_short(EVENT_TYPE_LENGTH.get_u16(own)),
        tenant: is_set(HAS_TENANT)
            .then(|| cursor.pass_id(is_set(TENANT_IS_UUID), Cursor::take_length)),
        actor: is_set(HAS_ACTOR)
            .then(|| cursor.pass_id(is_set(ACTOR_IS_UUID), Cursor::take_length)),
        tags: match is_set(HAS_TAGS) {
            true => {
                let length = u16::from_le_bytes(cursor.take_number());
                cursor.pass_short(length)
            }
            false => ShortSpan::default(),
        },
        metadata: match is_set(HAS_METADATA) {
            true => {
                let length = u32::from_le_bytes(cursor.take_number());
                cursor.pass(length)
            }
            false => Span::default(),
        },
        payload: cursor.pass(EVENT_PAYLOAD_LENGTH.get_u32(own)),
    };
    if cursor.at != own.len() as u64 {
        return Err(Fault::Invalid("length"));
    }
    check_names(own, &parts).map_err(Fault::Invalid)?;
    Ok(parts)
}

#[expect(clippy::cast_possible_truncation, reason = "an offset within the header")]
const EVENT_ID_START: u16 = EVENT_ID.offset as u16;

/// Holds a decoded event to the rules of names, which its checksum says nothing about; an error says
/// which part breaks them.
#[inline]
fn check_names(own: &[u8], parts: &EventParts) -> Result<(), &'static str> {
    let bytes = |span: ShortSpan| {
        let rest = own.get(span.start.into()..).unwrap_or_default();
        rest.get(..span.length.into()).unwrap_or_default()
    };
    let is_id = |id: IdSpan| match id {
        IdSpan::Uuid(_) => true,
        // As text, what has the form of a UUID would be an id that no name leads to.
        IdSpan::Text(span) => is_name(bytes(span)) && !is_uuid(bytes(span)),
    };
    let checks = [
        (is_aggregate_type(bytes(parts.aggregate_type)), "aggregate type"),
        (is_name(bytes(parts.event_type)), "event type"),
        (is_id(parts.aggregate_id), "aggregate id"),
        (parts.tenant.is_none_or(is_id), "tenant id"),
        (parts.actor.is_none_or(is_id), "actor id"),
        (are_tags(bytes(parts.tags)), "tags"),
    ];
    match checks.into_iter().find(|(keeps, _)| !keeps) {
        Some((_, what)) => Err(what),
        None => Ok(()),
    }
}

/// Tells whether bytes keep the rules of a name.
#[inline]
fn is_name(bytes: &[u8]) -> bool {
    (!bytes.is_empty() && is_plain(bytes)) || is_unusual_name(bytes)
}

#[cold]
fn is_unusual_name(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes);
    text.is_ok_and(|text| check_text("name", text, u8::MAX.into()).is_ok())
}

/// Tells whether a name has the form of a UUID.
#[inline]
fn is_uuid(bytes: &[u8]) -> bool {
    let may_be = (32..=45).contains(&bytes.len());
    may_be && Uuid::try_parse_ascii(bytes).is_ok()
}

#[inline]
fn are_tags(bytes: &[u8]) -> bool {
    let is_allowed = |character: char| !character.is_control() || character == TAG_SEPARATOR;
    is_plain(bytes) || std::str::from_utf8(bytes).is_ok_and(|tags| tags.chars().all(is_allowed))
}

/// Walks over the parts behind the header, and may end behind the event: then none of them counts.
struct Cursor<'a> {
    own: &'a [u8],
    at: u64,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an event is shorter than 4 GiB, and all before the metadata than 2 KiB, but for tags"
)]
impl Cursor<'_> {
    #[inline(always)]
    fn pass(&mut self, length: u32) -> Span {
        let start = self.at as u32;
        self.at += u64::from(length);
        Span { start, length }
    }

    /// Passes a part that begins in the first 64 KiB.
    #[inline(always)]
    fn pass_short(&mut self, length: u16) -> ShortSpan {
        ShortSpan { start: self.pass(length.into()).start as u16, length }
    }

    /// Passes an id, of a text with the length that is taken first.
    #[inline(always)]
    fn pass_id(&mut self, is_uuid: bool, length: impl FnOnce(&mut Self) -> u16) -> IdSpan {
        match is_uuid {
            true => IdSpan::Uuid(self.pass_short(UUID_BYTES).start),
            false => {
                let length = length(self);
                IdSpan::Text(self.pass_short(length))
            }
        }
    }

    /// Takes the bytes of a number; zeros behind the event.
    #[inline(always)]
    fn take_number<const WIDTH: usize>(&mut self) -> [u8; WIDTH] {
        let start = self.pass(WIDTH as u32).start as usize;
        let bytes = self.own.get(start..).and_then(|rest| rest.first_chunk());
        bytes.copied().unwrap_or([0; WIDTH])
    }

    /// Takes a length of one byte.
    #[inline(always)]
    fn take_length(&mut self) -> u16 {
        u8::from_le_bytes(self.take_number()).into()
    }
}

const UUID_BYTES: u16 = 16;
