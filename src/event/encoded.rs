//! One event as bytes: how it is put together, checked, and taken apart again.
//!
//! A header of fixed size, then the parts in one order, each there only when it says something. Where a
//! part lies follows from the header and the lengths before it, so an event is its bytes and nothing
//! else: what is asked for is looked up, and what is not costs nothing.

use ascii::AsciiStr;
use uuid::Uuid;

use super::layout::{
    ACTOR_IS_UUID, AGGREGATE_ID_IS_UUID, EVENT_AGGREGATE_ID_LENGTH, EVENT_AGGREGATE_TYPE_LENGTH,
    EVENT_CONTENT_TYPE, EVENT_FLAGS, EVENT_GLOBAL_POSITION, EVENT_HEADER, EVENT_ID, EVENT_LENGTH,
    EVENT_PAYLOAD_LENGTH, EVENT_RECORDED_AT, EVENT_STREAM_VERSION, EVENT_TYPE_LENGTH, Flag,
    HAS_ACTOR, HAS_CAUSATION_ID, HAS_CORRELATION_ID, HAS_EVENT_VERSION, HAS_METADATA,
    HAS_OCCURRED_AT, HAS_TAGS, HAS_TENANT, KNOWN_EVENT_FLAGS, TENANT_IS_UUID,
};
use super::{ContentType, NewEvent, TAG_SEPARATOR, encoded_metadata, joined_tags};
use crate::error::{Error, Result};
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{
    IdRef, StreamId, are_plain_lines, canonical_uuid, check_text, is_aggregate_type, is_plain,
};
use crate::timestamp::Timestamp;

/// Bytes of the length of a tenant or an actor that is text.
const ID_WIDTH: usize = 1;
/// Bytes of the length of the tags.
const TAGS_WIDTH: usize = 2;
/// Bytes of the length of the metadata.
const METADATA_WIDTH: usize = 4;
const UUID_BYTES: usize = 16;

/// The parts of fixed size between header and names: the flag of each and its bytes, in their order.
const FIXED_PARTS: [(Flag, usize); 4] = [
    (HAS_OCCURRED_AT, size_of::<i64>()),
    (HAS_EVENT_VERSION, size_of::<u32>()),
    (HAS_CORRELATION_ID, UUID_BYTES),
    (HAS_CAUSATION_ID, UUID_BYTES),
];

/// The flags of the parts behind the names.
const REST: u16 = HAS_TENANT.bit | HAS_ACTOR.bit | HAS_TAGS.bit | HAS_METADATA.bit;

/// Bytes of the parts of fixed size, by the flags of those that are there.
const FIXED_BYTES: [usize; 1 << FIXED_PARTS.len()] = {
    let mut bytes = [0; 1 << FIXED_PARTS.len()];
    let mut flags = 0;
    while flags < bytes.len() {
        let mut parts: &[(Flag, usize)] = &FIXED_PARTS;
        while let [(flag, width), rest @ ..] = parts {
            assert!((flag.bit as usize) < bytes.len(), "their flags are the lowest");
            #[expect(clippy::indexing_slicing, reason = "bounded by the loop, and at compile time")]
            if flags & flag.bit as usize != 0 {
                bytes[flags] += *width;
            }
            parts = rest;
        }
        flags += 1;
    }
    bytes
};

/// Appends an event to `bytes`; what its place in a store decides is zero.
pub(crate) fn encode(bytes: &mut Vec<u8>, stream: &StreamId, event: &NewEvent) -> Result<()> {
    let start = bytes.len();
    let metadata = encoded_metadata(&event.metadata)?;
    bytes.resize(start + EVENT_HEADER.size, 0);
    let flags = append_optional_parts(bytes, stream, event);
    append_section::<TAGS_WIDTH>(bytes, joined_tags(&event.tags).as_bytes());
    append_section::<METADATA_WIDTH>(bytes, &metadata);
    bytes.extend_from_slice(&event.payload);

    let id_length = id_bytes(&stream.aggregate_id().as_ref(), <[u8]>::len);
    let Some(own) = bytes.get_mut(start..) else {
        return Err(Error::Internal { invariant: "an event is encoded behind what is there" });
    };
    EVENT_LENGTH.put(own, own.len() as u64);
    EVENT_FLAGS.put(own, flags.into());
    EVENT_AGGREGATE_TYPE_LENGTH.put(own, stream.aggregate_type().len() as u64);
    EVENT_AGGREGATE_ID_LENGTH.put(own, id_length as u64);
    EVENT_TYPE_LENGTH.put(own, event.event_type.len() as u64);
    EVENT_CONTENT_TYPE.put(own, event.content_type.number().into());
    EVENT_PAYLOAD_LENGTH.put(own, event.payload.len() as u64);
    EVENT_ID.put_bytes(own, event.event_id.as_uuid().as_bytes());
    Ok(())
}

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
            append_length::<ID_WIDTH>(bytes, text.len());
        }
        id_bytes(&id, |id| bytes.extend_from_slice(id));
    }
    flags
}

/// Appends a part with its length before it, unless it is empty and so has no flag.
fn append_section<const WIDTH: usize>(bytes: &mut Vec<u8>, section: &[u8]) {
    if !section.is_empty() {
        append_length::<WIDTH>(bytes, section.len());
        bytes.extend_from_slice(section);
    }
}

fn append_length<const WIDTH: usize>(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend((length as u64).to_le_bytes().into_iter().take(WIDTH));
}

fn id_bytes<T>(id: &IdRef<'_>, take: impl FnOnce(&[u8]) -> T) -> T {
    match id {
        IdRef::Uuid(uuid) => take(uuid.as_bytes()),
        IdRef::Text(text) => take(text.as_bytes()),
    }
}

/// Why bytes are no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoEvent {
    /// They are fewer than the header has.
    Short,
    /// A newer version wrote them: some of the flags are not known.
    UnknownFlags(u16),
    /// A part has a value that it can not have.
    Invalid(&'static str),
}

/// The bytes of an event, to be taken apart; they may go on behind it, but where it is checked.
///
/// Those of one that [`check`](Self::check) has passed have every part where it is looked up. Of others
/// nothing is promised but that no question panics.
#[derive(Clone, Copy)]
pub(crate) struct Encoded<'a>(pub(crate) &'a [u8]);

/// The bytes of an id, and whether they are those of a UUID.
#[derive(Clone, Copy)]
struct Id<'a> {
    is_uuid: bool,
    bytes: &'a [u8],
}

/// The parts behind the names, whose places follow from the lengths of those before.
#[derive(Default)]
struct Rest<'a> {
    tenant: Option<Id<'a>>,
    actor: Option<Id<'a>>,
    tags: &'a [u8],
    metadata: &'a [u8],
    /// Where the payload begins.
    end: usize,
}

impl<'a> Encoded<'a> {
    #[inline]
    pub(crate) fn global_position(self) -> GlobalPosition {
        GlobalPosition::new(EVENT_GLOBAL_POSITION.get(self.0))
    }

    #[inline]
    pub(crate) fn stream_version(self) -> StreamVersion {
        StreamVersion::new(EVENT_STREAM_VERSION.get(self.0))
    }

    #[inline]
    pub(crate) fn recorded_at(self) -> Timestamp {
        Timestamp::from_micros(EVENT_RECORDED_AT.get_i64(self.0))
    }

    #[inline]
    pub(crate) fn occurred_at(self) -> Timestamp {
        match self.fixed_part(HAS_OCCURRED_AT) {
            Some(time) => Timestamp::from_micros(i64::from_le_bytes(time)),
            None => self.recorded_at(),
        }
    }

    #[inline]
    pub(crate) fn event_id(self) -> Uuid {
        Uuid::from_bytes(EVENT_ID.get_16(self.0))
    }

    #[inline]
    pub(crate) fn event_version(self) -> u32 {
        self.fixed_part(HAS_EVENT_VERSION).map_or(1, u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn correlation_id(self) -> Option<Uuid> {
        self.fixed_part(HAS_CORRELATION_ID).map(Uuid::from_bytes)
    }

    #[inline]
    pub(crate) fn causation_id(self) -> Option<Uuid> {
        self.fixed_part(HAS_CAUSATION_ID).map(Uuid::from_bytes)
    }

    #[inline]
    pub(crate) fn content_type(self) -> ContentType {
        ContentType::from_number(EVENT_CONTENT_TYPE.get(self.0).to_le_bytes()[0])
    }

    #[inline]
    pub(crate) fn aggregate_type(self) -> &'a [u8] {
        self.part(self.names(), self.aggregate_type_length())
    }

    #[inline]
    pub(crate) fn aggregate_id(self) -> IdRef<'a> {
        self.aggregate_id_part().as_ref()
    }

    /// Tells whether the event belongs to a stream, without making text of its names.
    #[inline]
    pub(crate) fn is_in(self, stream: &StreamId) -> bool {
        let id = self.aggregate_id_part();
        let is_id = match stream.aggregate_id().as_ref() {
            IdRef::Uuid(uuid) => id.is_uuid && id.bytes == uuid.as_bytes(),
            IdRef::Text(text) => !id.is_uuid && id.bytes == text.as_bytes(),
        };
        is_id && self.aggregate_type() == stream.aggregate_type().as_bytes()
    }

    #[inline]
    pub(crate) fn event_type(self) -> &'a [u8] {
        let start = self.names() + self.aggregate_type_length() + self.aggregate_id_length();
        self.part(start, self.event_type_length())
    }

    #[inline]
    pub(crate) fn tenant(self) -> Option<IdRef<'a>> {
        self.rest().tenant.map(Id::as_ref)
    }

    #[inline]
    pub(crate) fn actor(self) -> Option<IdRef<'a>> {
        self.rest().actor.map(Id::as_ref)
    }

    /// Returns the tags as one text, with a separator between them.
    #[inline]
    pub(crate) fn tags(self) -> &'a [u8] {
        self.rest().tags
    }

    #[inline]
    pub(crate) fn metadata(self) -> &'a [u8] {
        self.rest().metadata
    }

    /// Returns the payload: what stands last.
    #[inline]
    pub(crate) fn payload(self) -> &'a [u8] {
        let (end, length) = (EVENT_LENGTH.get_u32(self.0) as usize, self.payload_length());
        self.part(end.saturating_sub(length), length)
    }

    /// Checks that the parts end where the event ends, that no flag is unknown and that names keep their
    /// rules, of which a checksum says nothing. Only at the end does it show whether the lengths fit: what
    /// lies within an event whose parts end where it ends lies within it.
    #[inline]
    pub(crate) fn check(self) -> Result<(), NoEvent> {
        if self.0.len() < EVENT_HEADER.size {
            return Err(NoEvent::Short);
        }
        let flags = EVENT_FLAGS.get_u16(self.0);
        if flags & !KNOWN_EVENT_FLAGS != 0 {
            return Err(NoEvent::UnknownFlags(flags));
        }
        if self.has(AGGREGATE_ID_IS_UUID) && self.aggregate_id_length() != UUID_BYTES {
            return Err(NoEvent::Invalid("aggregate id length"));
        }
        let (end, rest_keeps_rules) = match flags & REST {
            0 => (self.behind_names(), true),
            _ => self.check_rest(),
        };
        let length = EVENT_LENGTH.get_u32(self.0) as usize;
        if length != self.0.len() || end.saturating_add(self.payload_length()) != length {
            return Err(NoEvent::Invalid("length"));
        }
        let keeps_rules = is_aggregate_type(self.aggregate_type())
            && is_name(self.event_type())
            && self.aggregate_id_part().keeps_rules()
            && rest_keeps_rules;
        match keeps_rules {
            true => Ok(()),
            false => Err(NoEvent::Invalid(self.breaking_rules())),
        }
    }

    /// Returns where the parts behind the names end, and whether they keep their rules.
    #[inline(never)]
    fn check_rest(self) -> (usize, bool) {
        let rest = self.walk();
        (rest.end, rest.keeps_rules())
    }

    /// Returns which part breaks the rules of names, where one does.
    #[cold]
    fn breaking_rules(self) -> &'static str {
        let rest = self.rest();
        let parts = [
            (is_aggregate_type(self.aggregate_type()), "aggregate type"),
            (is_name(self.event_type()), "event type"),
            (self.aggregate_id_part().keeps_rules(), "aggregate id"),
            (rest.tenant.is_none_or(Id::keeps_rules), "tenant id"),
            (rest.actor.is_none_or(Id::keeps_rules), "actor id"),
        ];
        parts.into_iter().find(|(keeps, _)| !keeps).map_or("tags", |(_, what)| what)
    }

    #[inline]
    fn has(self, flag: Flag) -> bool {
        EVENT_FLAGS.get_u16(self.0) & flag.bit != 0
    }

    #[inline]
    fn aggregate_type_length(self) -> usize {
        EVENT_AGGREGATE_TYPE_LENGTH.get_u16(self.0).into()
    }

    #[inline]
    fn aggregate_id_length(self) -> usize {
        EVENT_AGGREGATE_ID_LENGTH.get_u16(self.0).into()
    }

    #[inline]
    fn event_type_length(self) -> usize {
        EVENT_TYPE_LENGTH.get_u16(self.0).into()
    }

    #[inline]
    fn payload_length(self) -> usize {
        EVENT_PAYLOAD_LENGTH.get_u32(self.0) as usize
    }

    /// Returns a range, empty where the bytes do not reach.
    #[inline]
    fn part(self, start: usize, length: usize) -> &'a [u8] {
        self.0.get(start..start.saturating_add(length)).unwrap_or_default()
    }

    /// Returns the bytes of a part of fixed size, if it is there.
    #[inline]
    fn fixed_part<const WIDTH: usize>(self, flag: Flag) -> Option<[u8; WIDTH]> {
        if !self.has(flag) {
            return None;
        }
        let start = self.behind_fixed_parts(flag.bit - 1);
        let bytes = self.0.get(start..).and_then(<[u8]>::first_chunk);
        Some(bytes.copied().unwrap_or([0; WIDTH]))
    }

    /// Returns where the names begin.
    #[inline]
    fn names(self) -> usize {
        self.behind_fixed_parts(u16::MAX)
    }

    /// Returns where the parts of fixed size end of which `mask` has the flag.
    #[inline]
    fn behind_fixed_parts(self, mask: u16) -> usize {
        let flags = usize::from(EVENT_FLAGS.get_u16(self.0) & mask) % FIXED_BYTES.len();
        EVENT_HEADER.size + FIXED_BYTES.get(flags).copied().unwrap_or_default()
    }

    #[inline]
    fn aggregate_id_part(self) -> Id<'a> {
        let start = self.names() + self.aggregate_type_length();
        let bytes = self.part(start, self.aggregate_id_length());
        Id { is_uuid: self.has(AGGREGATE_ID_IS_UUID), bytes }
    }

    #[inline]
    fn behind_names(self) -> usize {
        let names =
            self.aggregate_type_length() + self.aggregate_id_length() + self.event_type_length();
        self.names() + names
    }

    /// Returns the parts behind the names.
    #[inline]
    fn rest(self) -> Rest<'a> {
        match EVENT_FLAGS.get_u16(self.0) & REST {
            0 => Rest { end: self.behind_names(), ..Rest::default() },
            _ => self.walk(),
        }
    }

    /// Walks over the parts behind the names. Where a length is wrong the walk ends elsewhere than the event, and
    /// none of the parts counts.
    fn walk(self) -> Rest<'a> {
        let mut walk = Walk { event: self, at: self.behind_names() };
        let tenant = self.has(HAS_TENANT).then(|| walk.pass_id(self.has(TENANT_IS_UUID)));
        let actor = self.has(HAS_ACTOR).then(|| walk.pass_id(self.has(ACTOR_IS_UUID)));
        let tags = self.has(HAS_TAGS).then(|| walk.pass_section::<TAGS_WIDTH>());
        let metadata = self.has(HAS_METADATA).then(|| walk.pass_section::<METADATA_WIDTH>());
        let (tags, metadata) = (tags.unwrap_or_default(), metadata.unwrap_or_default());
        Rest { tenant, actor, tags, metadata, end: walk.at }
    }
}

impl Rest<'_> {
    fn keeps_rules(&self) -> bool {
        self.tenant.is_none_or(Id::keeps_rules)
            && self.actor.is_none_or(Id::keeps_rules)
            && are_tags(self.tags)
    }
}

impl<'a> Id<'a> {
    #[inline]
    fn as_ref(self) -> IdRef<'a> {
        match self.is_uuid {
            true => IdRef::Uuid(Uuid::from_bytes(self.bytes.try_into().unwrap_or_default())),
            false => IdRef::Text(as_text(self.bytes)),
        }
    }

    /// The canonical text of a UUID in place of its 16 bytes would be a second id with the same text.
    #[inline(always)]
    fn keeps_rules(self) -> bool {
        self.is_uuid || (is_name(self.bytes) && canonical_uuid(self.bytes).is_none())
    }
}

/// A walk over parts, each with its length before it.
struct Walk<'a> {
    event: Encoded<'a>,
    at: usize,
}

impl<'a> Walk<'a> {
    #[inline]
    fn pass(&mut self, length: usize) -> &'a [u8] {
        let part = self.event.part(self.at, length);
        self.at = self.at.saturating_add(length);
        part
    }

    #[inline]
    fn pass_section<const WIDTH: usize>(&mut self) -> &'a [u8] {
        let mut length = [0; size_of::<u32>()];
        if let Some((own, low)) =
            self.pass(WIDTH).first_chunk::<WIDTH>().zip(length.first_chunk_mut())
        {
            *low = *own;
        }
        self.pass(u32::from_le_bytes(length) as usize)
    }

    #[inline]
    fn pass_id(&mut self, is_uuid: bool) -> Id<'a> {
        let bytes = match is_uuid {
            true => self.pass(UUID_BYTES),
            false => self.pass_section::<ID_WIDTH>(),
        };
        Id { is_uuid, bytes }
    }
}

/// Returns bytes as text, which those of a checked event are. Most are short and ASCII, which is known sooner than
/// that they are UTF-8.
#[inline]
pub(crate) fn as_text(bytes: &[u8]) -> &str {
    match AsciiStr::from_ascii(bytes) {
        Ok(text) => text.as_str(),
        Err(_) => std::str::from_utf8(bytes).unwrap_or_default(),
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

const _: () = assert!(TAG_SEPARATOR == '\n', "tags are lines");

#[inline]
fn are_tags(bytes: &[u8]) -> bool {
    let is_allowed = |character: char| !character.is_control() || character == TAG_SEPARATOR;
    are_plain_lines(bytes)
        || std::str::from_utf8(bytes).is_ok_and(|tags| tags.chars().all(is_allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_neither_longer_nor_shorter_than_it_says() {
        let stream = StreamId::new("Order", "o-1").unwrap();
        let event = NewEvent::new("Placed", "tea").tag("t").metadata("k", "v");
        let mut bytes = Vec::new();
        encode(&mut bytes, &stream, &event).unwrap();
        assert_eq!(Encoded(&bytes).check(), Ok(()));
        let wrong = Err(NoEvent::Invalid("length"));
        assert_eq!(Encoded(&bytes[..bytes.len() - 1]).check(), wrong);
        bytes.push(0);
        assert_eq!(Encoded(&bytes).check(), wrong);
        assert_eq!(Encoded(&bytes).payload(), b"tea", "what follows is not a part of it");
    }
}
