//! What an event can be looked up by, and how that is hashed.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use uuid::Uuid;

use crate::event::{EventId, NewEvent, RecordedEvent};
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
    key: [u8; 16],
}

impl TermHasher {
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    pub(crate) fn hash(&self, term: Term<'_>) -> TermHash {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match term {
            Term::Stream(aggregate_type, id) => {
                hasher.write_u8(1);
                hasher.write(aggregate_type.as_bytes());
                hash_id(&mut hasher, id);
            }
            Term::EventId(id) => hash_bytes(&mut hasher, 2, id.as_uuid().as_bytes()),
            Term::AggregateType(name) => hash_bytes(&mut hasher, 3, name.as_bytes()),
            Term::EventType(name) => hash_bytes(&mut hasher, 4, name.as_bytes()),
            Term::Tag(tag) => hash_bytes(&mut hasher, 5, tag.as_bytes()),
            Term::Tenant(id) => {
                hasher.write_u8(6);
                hash_id(&mut hasher, id);
            }
            Term::CorrelationId(id) => hash_bytes(&mut hasher, 7, id.as_bytes()),
        }
        let hash = hasher.finish();
        #[cfg(test)]
        let hash = if self.key == COLLIDING_KEY { hash & COLLIDING_BITS } else { hash };
        TermHash(hash)
    }
}

/// A key with which, in tests, terms share a few hashes.
#[cfg(test)]
pub(crate) const COLLIDING_KEY: [u8; 16] = *b"terms to collide";
/// Leaves four hashes, at both ends of the buckets.
#[cfg(test)]
const COLLIDING_BITS: u64 = 1 << 63 | 1;

fn hash_bytes(hasher: &mut SipHasher13, kind: u8, bytes: &[u8]) {
    hasher.write_u8(kind);
    hasher.write(bytes);
}

/// Hashes an id behind a byte that no name holds, so that name and id can not run into each other.
fn hash_id(hasher: &mut SipHasher13, id: IdRef<'_>) {
    match id {
        IdRef::Uuid(uuid) => hash_bytes(hasher, 0, uuid.as_bytes()),
        IdRef::Text(text) => hash_bytes(hasher, 1, text.as_bytes()),
    }
}

/// Hashes the terms of events that are to be recorded. Events that follow each other often share their
/// stream and their type, which are then hashed once.
#[derive(Debug)]
pub(crate) struct NewTerms<'a> {
    hasher: &'a TermHasher,
    stream: Option<(&'a StreamId, [TermHash; 2])>,
    event_type: Option<(&'a str, TermHash)>,
}

impl<'a> NewTerms<'a> {
    pub(crate) fn new(hasher: &'a TermHasher) -> Self {
        Self { hasher, stream: None, event_type: None }
    }

    /// Adds the terms of an event to a list.
    pub(crate) fn push(&mut self, list: &mut TermList, stream: &'a StreamId, event: &'a NewEvent) {
        let [stream, aggregate_type] = self.of_stream(stream);
        let event_id = self.hasher.hash(Term::EventId(event.event_id));
        let event_type = self.of_type(&event.event_type);
        list.hashes.extend([event_id, stream, aggregate_type, event_type]);
        let tenant = event.tenant.as_ref().map(|tenant| tenant.as_ref());
        let tags = event.tags.iter().map(String::as_str);
        list.push_optional(self.hasher, tenant, event.correlation_id, tags);
        list.ends.push((list.hashes.len(), IdTime::of(event.event_id)));
    }

    fn of_stream(&mut self, stream: &'a StreamId) -> [TermHash; 2] {
        match self.stream {
            Some((before, hashes)) if before == stream => hashes,
            _ => {
                let aggregate_type = Term::AggregateType(stream.aggregate_type());
                let hashes = [Term::stream(stream), aggregate_type].map(|it| self.hasher.hash(it));
                self.stream = Some((stream, hashes));
                hashes
            }
        }
    }

    fn of_type(&mut self, name: &'a str) -> TermHash {
        match self.event_type {
            Some((before, hash)) if before == name => hash,
            _ => {
                let hash = self.hasher.hash(Term::EventType(name));
                self.event_type = Some((name, hash));
                hash
            }
        }
    }
}

/// The terms of several events, one list after the other; each begins with the event id.
#[derive(Debug, Clone, Default)]
pub(crate) struct TermList {
    hashes: Vec<TermHash>,
    /// Where the list of each event ends, and what its id tells of its time.
    ends: Vec<(usize, IdTime)>,
}

/// What one event is looked up by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventTerms<'a> {
    pub(crate) hashes: &'a [TermHash],
    pub(crate) id_time: IdTime,
}

impl TermList {
    /// Adds an event that is recorded.
    pub(crate) fn push_recorded(&mut self, hasher: &TermHasher, event: &RecordedEvent) {
        let stream = Term::Stream(event.aggregate_type(), event.aggregate_id());
        self.hashes.push(hasher.hash(Term::EventId(event.event_id())));
        self.hashes.push(hasher.hash(stream));
        self.hashes.push(hasher.hash(Term::AggregateType(event.aggregate_type())));
        self.hashes.push(hasher.hash(Term::EventType(event.event_type())));
        self.push_optional(hasher, event.tenant(), event.correlation_id(), event.tags());
        self.ends.push((self.hashes.len(), IdTime::of(event.event_id())));
    }

    fn push_optional<'a>(
        &mut self,
        hasher: &TermHasher,
        tenant: Option<IdRef<'_>>,
        correlation_id: Option<Uuid>,
        tags: impl Iterator<Item = &'a str>,
    ) {
        let first_tag = self.hashes.len();
        for tag in tags {
            let hash = hasher.hash(Term::Tag(tag));
            let is_known = self.hashes.get(first_tag..).unwrap_or_default().contains(&hash);
            if !is_known {
                self.hashes.push(hash);
            }
        }
        self.hashes.extend(tenant.map(|tenant| hasher.hash(Term::Tenant(tenant))));
        self.hashes.extend(correlation_id.map(|id| hasher.hash(Term::CorrelationId(id))));
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
