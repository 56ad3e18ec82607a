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

#[inline]
fn parts(own: &[u8]) -> Result<EventParts, Fault> {
    let flags = EVENT_FLAGS.get_u16(own);
    if flags & !KNOWN_EVENT_FLAGS != 0 {
        let found = format!("event flags {flags:#06x}");
        return Err(Fault::Newer { found, supported: format!("{KNOWN_EVENT_FLAGS:#06x}") });
    }
    let is_set = |flag: Flag| flags & flag.bit != 0;
    let mut cursor = Cursor { bytes: own, at: EVENT_HEADER.size };
    let occurred_at = cursor.take_if(is_set(HAS_OCCURRED_AT), Cursor::take_i64)?;
    let event_version = cursor.take_if(is_set(HAS_EVENT_VERSION), Cursor::take_u32)?;
    let correlation_id = cursor.take_if(is_set(HAS_CORRELATION_ID), Cursor::take_uuid)?;
    let causation_id = cursor.take_if(is_set(HAS_CAUSATION_ID), Cursor::take_uuid)?;
    let aggregate_type = cursor.take_short(EVENT_AGGREGATE_TYPE_LENGTH.get_u16(own))?;
    let id_length = EVENT_AGGREGATE_ID_LENGTH.get_u16(own);
    let aggregate_id = cursor.take_id(is_set(AGGREGATE_ID_IS_UUID), Some(id_length))?;
    let event_type = cursor.take_short(EVENT_TYPE_LENGTH.get_u16(own))?;
    let tenant_is_uuid = is_set(TENANT_IS_UUID);
    let tenant = cursor.take_if(is_set(HAS_TENANT), |it| it.take_id(tenant_is_uuid, None))?;
    let actor_is_uuid = is_set(ACTOR_IS_UUID);
    let actor = cursor.take_if(is_set(HAS_ACTOR), |it| it.take_id(actor_is_uuid, None))?;
    let tags = match is_set(HAS_TAGS) {
        true => cursor.take_chunk().map(u16::from_le_bytes).and_then(|it| cursor.take_short(it))?,
        false => ShortSpan::default(),
    };
    let metadata = match is_set(HAS_METADATA) {
        true => cursor.take_u32().and_then(|length| cursor.take(length))?,
        false => Span::default(),
    };
    let payload = cursor.take(EVENT_PAYLOAD_LENGTH.get_u32(own))?;
    if cursor.at != own.len() {
        return Err(Fault::Invalid("length"));
    }
    let EventPlace { global_position, recorded_at, .. } = EventPlace::read(own);
    let parts = EventParts {
        global_position,
        stream_version: StreamVersion::new(EVENT_STREAM_VERSION.get(own)),
        recorded_at,
        occurred_at: occurred_at.map_or(recorded_at, Timestamp::from_micros),
        event_id: EVENT_ID_START,
        event_version: event_version.unwrap_or(1),
        content_type: content_type(EVENT_CONTENT_TYPE.get(own).to_le_bytes()[0]),
        correlation_id,
        causation_id,
        aggregate_type,
        aggregate_id,
        event_type,
        tenant,
        actor,
        tags,
        metadata,
        payload,
    };
    check_names(own, &parts)?;
    Ok(parts)
}

#[expect(clippy::cast_possible_truncation, reason = "an offset within the header")]
const EVENT_ID_START: u16 = EVENT_ID.offset as u16;

/// Holds a decoded event to the rules of names, which its checksum says nothing about.
#[inline]
fn check_names(own: &[u8], parts: &EventParts) -> Result<(), Fault> {
    let bytes = |span: ShortSpan| {
        let rest = own.get(span.start.into()..).unwrap_or_default();
        rest.get(..span.length.into()).unwrap_or_default()
    };
    if !is_aggregate_type(bytes(parts.aggregate_type)) {
        return Err(Fault::Invalid("aggregate type"));
    }
    let id = |id: IdSpan, what| match id {
        IdSpan::Uuid(_) => Ok(()),
        IdSpan::Text(span) => {
            check_name(bytes(span), what)?;
            // As text, what has the form of a UUID would be an id that no name leads to.
            match is_uuid(bytes(span)) {
                true => Err(Fault::Invalid(what)),
                false => Ok(()),
            }
        }
    };
    check_name(bytes(parts.event_type), "event type")?;
    id(parts.aggregate_id, "aggregate id")?;
    parts.tenant.map_or(Ok(()), |tenant| id(tenant, "tenant id"))?;
    parts.actor.map_or(Ok(()), |actor| id(actor, "actor id"))?;
    check_tags(bytes(parts.tags))
}

/// Holds bytes to the rules of a name.
#[inline]
fn check_name(bytes: &[u8], what: &'static str) -> Result<(), Fault> {
    if is_plain(bytes) && (1..=usize::from(u8::MAX)).contains(&bytes.len()) {
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::Invalid(what))?;
    check_text(what, text, u8::MAX.into()).map_err(|_| Fault::Invalid(what))
}

/// Tells whether a name has the form of a UUID.
#[inline]
fn is_uuid(bytes: &[u8]) -> bool {
    let may_be = (32..=45).contains(&bytes.len());
    may_be && Uuid::try_parse_ascii(bytes).is_ok()
}

#[inline]
fn check_tags(bytes: &[u8]) -> Result<(), Fault> {
    if is_plain(bytes) {
        return Ok(());
    }
    let tags = std::str::from_utf8(bytes).map_err(|_| Fault::Invalid("tags"))?;
    match tags.chars().any(|character| character.is_control() && character != TAG_SEPARATOR) {
        true => Err(Fault::Invalid("tags")),
        false => Ok(()),
    }
}

/// Walks over the variable parts of an event.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// Takes a part that is there only if a flag is set.
    #[inline(always)]
    fn take_if<T>(
        &mut self,
        is_there: bool,
        take: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        match is_there {
            true => take(self).map(Some),
            false => Ok(None),
        }
    }

    /// Moves on by a length, and returns where that began.
    #[inline(always)]
    fn pass(&mut self, length: usize) -> Result<usize, Fault> {
        let start = self.at;
        let end = start.checked_add(length).filter(|end| *end <= self.bytes.len());
        self.at = end.ok_or(Fault::Invalid("length"))?;
        Ok(start)
    }

    #[inline(always)]
    fn take(&mut self, length: u32) -> Result<Span, Fault> {
        let start = u32::try_from(self.pass(length as usize)?);
        start.map(|start| Span { start, length }).map_err(|_| Fault::Invalid("length"))
    }

    #[inline(always)]
    fn take_short(&mut self, length: u16) -> Result<ShortSpan, Fault> {
        let start = u16::try_from(self.pass(length.into())?);
        start.map(|start| ShortSpan { start, length }).map_err(|_| Fault::Invalid("length"))
    }

    #[inline(always)]
    fn take_chunk<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], Fault> {
        let chunk = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<WIDTH>());
        let chunk = *chunk.ok_or(Fault::Invalid("length"))?;
        self.at += WIDTH;
        Ok(chunk)
    }

    #[inline(always)]
    fn take_i64(&mut self) -> Result<i64, Fault> {
        self.take_chunk().map(i64::from_le_bytes)
    }

    #[inline(always)]
    fn take_u32(&mut self) -> Result<u32, Fault> {
        self.take_chunk().map(u32::from_le_bytes)
    }

    #[inline(always)]
    fn take_uuid(&mut self) -> Result<u16, Fault> {
        self.take_short(UUID_BYTES).map(|span| span.start)
    }

    /// Takes an id whose length is known, or, when a text, stands before it in one byte.
    fn take_id(&mut self, is_uuid: bool, known_length: Option<u16>) -> Result<IdSpan, Fault> {
        match (is_uuid, known_length) {
            (true, Some(length)) if length != UUID_BYTES => {
                Err(Fault::Invalid("aggregate id length"))
            }
            (true, _) => Ok(IdSpan::Uuid(self.take_uuid()?)),
            (false, Some(length)) => Ok(IdSpan::Text(self.take_short(length)?)),
            (false, None) => {
                let [length] = self.take_chunk()?;
                Ok(IdSpan::Text(self.take_short(length.into())?))
            }
        }
    }
}

const UUID_BYTES: u16 = 16;
