//! What an event can be looked up by, and how that is hashed.

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;
use std::hash::Hasher;
use uuid::Uuid;

use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::few::Few;
use crate::format::IdTime;
use crate::stream::{IdRef, StreamId};

/// Something an event is looked up by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Term<'a> {
    Stream(&'a str, IdRef<'a>),
    EventId(EventId),
    AggregateType(&'a str),
    EventType(&'a str),
    Tag(&'a str),
    Tenant(IdRef<'a>),
    CorrelationId(Uuid),
}

impl<'a> Term<'a> {
    pub(crate) fn stream(stream: &'a StreamId) -> Self {
        Self::Stream(stream.aggregate_type(), stream.aggregate_id().as_ref())
    }

    /// Returns what an event id tells of its time; `None` for other terms.
    pub(crate) fn id_time(&self) -> Option<IdTime> {
        match self {
            Self::EventId(id) => Some(IdTime::of(*id)),
            _ => None,
        }
    }
}

/// The hash of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TermHash(u64);

impl TermHash {
    pub(crate) const fn new(hash: u64) -> Self {
        Self(hash)
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// Hashes terms with the key of a store, so that nobody can choose ids that collide.
///
/// Source: SipHash-1-3, Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012).
#[derive(Debug, Clone, Copy)]
pub(crate) struct TermHasher {
    /// With the key, before any byte.
    start: SipHasher13,
    #[cfg(test)]
    collides: bool,
}

impl TermHasher {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self {
            start: SipHasher13::new_with_key(&key),
            #[cfg(test)]
            collides: key == COLLIDING_KEY,
        }
    }

    pub(crate) fn hash(&self, term: Term<'_>) -> TermHash {
        let hash = match term {
            Term::Stream(name, id) => self.hash_name_and_id(1, name, id),
            Term::EventId(id) => self.hash_uuid(2, *id.as_uuid().as_bytes()),
            Term::AggregateType(name) => self.hash_all([&[3], name.as_bytes()]),
            Term::EventType(name) => self.hash_all([&[4], name.as_bytes()]),
            Term::Tag(tag) => self.hash_all([&[5], tag.as_bytes()]),
            Term::Tenant(id) => self.hash_name_and_id(6, "", id),
            Term::CorrelationId(id) => self.hash_uuid(7, *id.as_bytes()),
        };
        #[cfg(test)]
        let hash = if self.collides { hash & COLLIDING_BITS } else { hash };
        TermHash(hash)
    }

    /// Hashes a kind and a UUID, which is what a commit has most of.
    fn hash_uuid(&self, kind: u8, uuid: [u8; 16]) -> u64 {
        let mut bytes = [kind; 17];
        if let Some(place) = bytes.last_chunk_mut() {
            *place = uuid;
        }
        self.start.hash(&bytes)
    }

    /// Hashes an id behind a byte that no name holds, so that name and id can not run into each other.
    fn hash_name_and_id(&self, kind: u8, name: &str, id: IdRef<'_>) -> u64 {
        match id {
            IdRef::Uuid(uuid) => self.hash_all([&[kind], name.as_bytes(), &[0], uuid.as_bytes()]),
            IdRef::Text(text) => self.hash_all([&[kind], name.as_bytes(), &[1], text.as_bytes()]),
        }
    }

    /// Hashes pieces as one, at once where they are short.
    fn hash_all<const PIECES: usize>(&self, pieces: [&[u8]; PIECES]) -> u64 {
        let mut bytes = [0; SHORT_BYTES];
        let mut length = 0;
        for piece in pieces {
            let Some(place) = bytes.get_mut(length..length + piece.len()) else {
                return self.hash_long(&pieces);
            };
            place.copy_from_slice(piece);
            length += piece.len();
        }
        match bytes.get(..length) {
            Some(bytes) => self.start.hash(bytes),
            None => self.hash_long(&pieces),
        }
    }

    fn hash_long(&self, pieces: &[&[u8]]) -> u64 {
        let mut hasher = self.start;
        pieces.iter().for_each(|piece| hasher.write(piece));
        hasher.finish()
    }
}

/// Bytes of usual names and ids together.
const SHORT_BYTES: usize = 64;

/// A key with which, in tests, terms share a few hashes.
#[cfg(test)]
pub(crate) const COLLIDING_KEY: [u8; 16] = *b"terms to collide";
/// Leaves four hashes, at both ends of the buckets.
#[cfg(test)]
const COLLIDING_BITS: u64 = 1 << 63 | 1;

/// Hashes of what events that follow each other may share.
#[derive(Debug, Clone, Copy)]
struct Shared {
    stream: TermHash,
    aggregate_type: TermHash,
    event_type: TermHash,
}

/// Hashes the terms of events that are to be recorded. Events that follow each other often share the
/// type of their aggregate and their own, which are then hashed once.
#[derive(Debug)]
pub(crate) struct NewTerms<'a> {
    hasher: &'a TermHasher,
    aggregate_type: Option<(&'a str, TermHash)>,
    event_type: Option<(&'a str, TermHash)>,
}

impl<'a> NewTerms<'a> {
    pub(crate) fn new(hasher: &'a TermHasher) -> Self {
        Self { hasher, aggregate_type: None, event_type: None }
    }

    /// Adds the terms of an event to a list, of which the stream was hashed before.
    pub(crate) fn push(
        &mut self,
        list: &mut TermList,
        (stream, aggregate_type): (TermHash, &'a str),
        event: &'a NewEvent,
    ) {
        let aggregate_type = once(&mut self.aggregate_type, aggregate_type, |name| {
            self.hasher.hash(Term::AggregateType(name))
        });
        let event_type = once(&mut self.event_type, &event.event_type, |name| {
            self.hasher.hash(Term::EventType(name))
        });
        let shared = Shared { stream, aggregate_type, event_type };
        let tenant = event.tenant.as_ref().map(|tenant| tenant.as_ref());
        let tags = event.tags.iter().map(String::as_str);
        list.push(self.hasher, (event.event_id, shared), (tenant, event.correlation_id, tags));
    }
}

/// Hashes the terms of recorded events. What one shares with the event before is hashed once.
#[derive(Debug)]
pub(crate) struct RecordedTerms<'a> {
    hasher: &'a TermHasher,
    before: Option<(RecordedEvent, Shared)>,
}

impl<'a> RecordedTerms<'a> {
    pub(crate) fn new(hasher: &'a TermHasher) -> Self {
        Self { hasher, before: None }
    }

    /// Adds the terms of an event to a list.
    pub(crate) fn push(&mut self, list: &mut TermList, event: RecordedEvent) {
        let shared = self.shared(&event);
        let optional = (event.tenant(), event.correlation_id(), event.tags());
        list.push(self.hasher, (event.event_id(), shared), optional);
        self.before = Some((event, shared));
    }

    fn shared(&self, event: &RecordedEvent) -> Shared {
        let hash = |term| self.hasher.hash(term);
        let (aggregate_type, id) = (event.aggregate_type(), event.aggregate_id());
        let event_type = event.event_type();
        let before = self.before.as_ref();
        let of_type = before.filter(|(before, _)| before.aggregate_type() == aggregate_type);
        let of_stream = of_type.filter(|(before, _)| before.aggregate_id() == id);
        let of_event_type = before.filter(|(before, _)| before.event_type() == event_type);
        Shared {
            stream: match of_stream {
                Some((_, shared)) => shared.stream,
                None => hash(Term::Stream(aggregate_type, id)),
            },
            aggregate_type: match of_type {
                Some((_, shared)) => shared.aggregate_type,
                None => hash(Term::AggregateType(aggregate_type)),
            },
            event_type: match of_event_type {
                Some((_, shared)) => shared.event_type,
                None => hash(Term::EventType(event_type)),
            },
        }
    }
}

/// Returns the hash of a name, without hashing it again where it is the one before.
fn once<'a>(
    before: &mut Option<(&'a str, TermHash)>,
    name: &'a str,
    hash: impl FnOnce(&str) -> TermHash,
) -> TermHash {
    match before {
        Some((same, hash)) if *same == name => *hash,
        _ => before.insert((name, hash(name))).1,
    }
}

/// The terms of several events, one list after the other; each begins with the event id.
#[derive(Debug, Clone, Default)]
pub(crate) struct TermList {
    hashes: SmallVec<[TermHash; USUAL_TERMS]>,
    /// Where the list of each event ends, and what its id tells of its time.
    ends: Few<(usize, IdTime)>,
}

/// What one event is looked up by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventTerms<'a> {
    pub(crate) hashes: &'a [TermHash],
    pub(crate) id_time: IdTime,
}

/// Terms that every event has.
const USUAL_TERMS: usize = 4;

impl TermList {
    /// Returns an empty list with room for so many events.
    pub(crate) fn with_room_for(events: usize) -> Self {
        Self {
            hashes: SmallVec::with_capacity(events * USUAL_TERMS),
            ends: Few::with_capacity(events),
        }
    }

    /// Adds an event: what each has, and what one may have.
    fn push<'a>(
        &mut self,
        hasher: &TermHasher,
        (event_id, shared): (EventId, Shared),
        (tenant, correlation_id, tags): (
            Option<IdRef<'_>>,
            Option<Uuid>,
            impl Iterator<Item = &'a str>,
        ),
    ) {
        let Shared { stream, aggregate_type, event_type } = shared;
        for hash in [hasher.hash(Term::EventId(event_id)), stream, aggregate_type, event_type] {
            self.hashes.push(hash);
        }
        let first_tag = self.hashes.len();
        for tag in tags {
            let hash = hasher.hash(Term::Tag(tag));
            let is_known = self.hashes.get(first_tag..).unwrap_or_default().contains(&hash);
            if !is_known {
                self.hashes.push(hash);
            }
        }
        if let Some(tenant) = tenant {
            self.hashes.push(hasher.hash(Term::Tenant(tenant)));
        }
        if let Some(id) = correlation_id {
            self.hashes.push(hasher.hash(Term::CorrelationId(id)));
        }
        self.ends.push((self.hashes.len(), IdTime::of(event_id)));
    }

    /// Iterates over the event ids, each with what it tells of its time.
    pub(crate) fn event_ids(&self) -> impl Iterator<Item = (TermHash, IdTime)> {
        self.iter().filter_map(|terms| Some((*terms.hashes.first()?, terms.id_time)))
    }

    /// Iterates over the lists, one an event.
    pub(crate) fn iter(&self) -> impl Iterator<Item = EventTerms<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts.zip(&self.ends).map(|(start, (end, id_time))| {
            let hashes = self.hashes.get(start..*end).unwrap_or_default();
            EventTerms { hashes, id_time: *id_time }
        })
    }
}

#[cfg(test)]
impl TermList {
    /// Returns lists of hashes, one an event, and what the id of each tells.
    pub(crate) fn of(
        events: impl IntoIterator<Item = (impl IntoIterator<Item = TermHash>, IdTime)>,
    ) -> Self {
        let mut list = Self::default();
        for (hashes, id_time) in events {
            list.hashes.extend(hashes);
            list.ends.push((list.hashes.len(), id_time));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{GlobalPosition, StreamVersion};
    use crate::timestamp::Timestamp;

    /// Hashes as runs have it: a kind and pieces, one behind the other.
    fn streamed(key: [u8; 16], pieces: &[&[u8]]) -> TermHash {
        let mut hasher = SipHasher13::new_with_key(&key);
        pieces.iter().for_each(|piece| hasher.write(piece));
        TermHash(hasher.finish())
    }

    #[test]
    fn every_term_has_the_hash_of_its_kind_and_its_bytes_whatever_their_length() {
        let key = *b"a key of a store";
        let hasher = TermHasher::new(key);
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        let id = EventId::from_uuid(uuid);
        assert_eq!(hasher.hash(Term::EventId(id)), streamed(key, &[&[2], uuid.as_bytes()]));
        assert_eq!(hasher.hash(Term::CorrelationId(uuid)), streamed(key, &[&[7], uuid.as_bytes()]));
        for length in [1, 8, 44, 46, 47, 48, 61, 62, 63, 64, 255] {
            let text = "x".repeat(length);
            let bytes = text.as_bytes();
            let hash = |term| hasher.hash(term);
            assert_eq!(hash(Term::AggregateType(&text)), streamed(key, &[&[3], bytes]));
            assert_eq!(hash(Term::EventType(&text)), streamed(key, &[&[4], bytes]));
            assert_eq!(hash(Term::Tag(&text)), streamed(key, &[&[5], bytes]));
            let stream = Term::Stream(&text, IdRef::Uuid(uuid));
            assert_eq!(hash(stream), streamed(key, &[&[1], bytes, &[0], uuid.as_bytes()]));
            let stream = Term::Stream("Order", IdRef::Text(&text));
            assert_eq!(hash(stream), streamed(key, &[&[1], b"Order", &[1], bytes]));
            let tenant = Term::Tenant(IdRef::Text(&text));
            assert_eq!(hash(tenant), streamed(key, &[&[6], &[1], bytes]));
        }
    }

    #[test]
    fn a_recorded_event_has_the_hashes_of_its_terms_whatever_came_before_it() {
        let hasher = TermHasher::new(*b"a key of a store");
        let uuid = Uuid::from_u128(7);
        let streams = [
            StreamId::of("Order", uuid).unwrap(),
            StreamId::of("Offer", uuid).unwrap(),
            StreamId::new("Offer", "7").unwrap(),
        ];
        let events: Vec<_> = streams
            .iter()
            .flat_map(|stream| ["Placed", "Offer"].map(|event_type| (stream, event_type)))
            .map(|(stream, event_type)| {
                let (new, time) = (NewEvent::new(event_type, ""), Timestamp::from_micros(0));
                let (version, position) = (StreamVersion::FIRST, GlobalPosition::FIRST);
                RecordedEvent::from_new(&new, stream, version, position, time).unwrap()
            })
            .collect();
        for (before, event) in events.iter().flat_map(|one| events.iter().map(move |e| (one, e))) {
            let (mut terms, mut list) = (RecordedTerms::new(&hasher), TermList::default());
            terms.push(&mut list, before.clone());
            terms.push(&mut list, event.clone());
            let expected = [
                Term::EventId(event.event_id()),
                Term::Stream(event.aggregate_type(), event.aggregate_id()),
                Term::AggregateType(event.aggregate_type()),
                Term::EventType(event.event_type()),
            ];
            let expected = expected.map(|term| hasher.hash(term));
            assert_eq!(list.iter().last().unwrap().hashes, expected, "{event:?} behind {before:?}");
        }
    }
}
