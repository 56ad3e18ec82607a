//! Tephra: an event store with conditions on queries; streams and ids are tags.
//!
//! - The payload begins with a head of fixed size: version, two times, event id. The aggregate type is
//!   in the stream's tag, `s:<aggregate id>:<type>`, which answers for the version of a stream and
//!   leads a load; the event id is the tag `e:<event id>`.
//! - The condition of an append has both clauses: no event of its streams after the position up to
//!   which their versions are known, and no event with one of its ids. Tephra knows no versions, so
//!   the last version and position of each stream are remembered when it is appended to, as a program
//!   does that has just read the stream, and read from the store when they are not.
//! - An append to several streams has one condition for all: while it runs, no other does, and the
//!   versions are known up to the last position.
//! - Tephra records no time: the one that the caller stores is taken before the position is given out,
//!   so the times of several threads are not ordered as their positions are.
//! - A coordinator thread commits for all callers and syncs a group at once. Every commit is synced,
//!   in a bulk load too: Tephra offers nothing less.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, RwLock};

use tephra::{
    AppendCondition, AppendError, ConflictClause, Event, EventRef, EventType, Position, Query,
    QueryItem, SegmentConfig, SegmentSet, Tag, Tags, WriteCoordinator, WriteHandle, WriterConfig,
};
use uuid::Uuid;

use super::{Engine, Refused, Seen, rows};
use crate::workload::{self, Append, Stream};

pub(super) const SETTINGS: &str =
    "256 MiB segments, WriterConfig::default() (bulk load: synced at every commit)";

const SEGMENT_BYTES: usize = 256 << 20;
/// Version, two times and the event id, before the payload.
const HEAD_BYTES: usize = 8 + 8 + 8 + 16;

pub(super) struct Tephra {
    coordinator: WriteCoordinator,
    handle: WriteHandle,
    heads: Mutex<HashMap<Stream, Head>>,
    /// Held for reading by appends to one stream, for writing by those to several.
    several: RwLock<()>,
}

/// The last event of a stream: version and position, both 0 when there is none.
#[derive(Clone, Copy, Default)]
struct Head {
    version: u64,
    position: u64,
}

impl Tephra {
    pub(super) fn open(directory: &Path) -> Self {
        let segments = SegmentSet::open(directory, SegmentConfig::new(SEGMENT_BYTES)).unwrap();
        let (coordinator, handle) =
            WriteCoordinator::start(segments, WriterConfig::default()).unwrap();
        Self { coordinator, handle, heads: Mutex::default(), several: RwLock::new(()) }
    }

    fn head(&self, stream: Stream) -> Head {
        if let Some(head) = self.heads.lock().unwrap().get(&stream) {
            return *head;
        }
        self.read_head(stream)
    }

    fn read_head(&self, stream: Stream) -> Head {
        let mut found = self.handle.read_back(&of_stream(stream), Position::MAX, Some(1));
        found.next().map_or_else(Head::default, |found| {
            let found = found.unwrap();
            Head { version: version(found.event), position: found.position.get() }
        })
    }

    fn append_one(&self, append: &Append) -> Result<(), Refused> {
        let _shared = self.several.read().unwrap();
        let head = self.head(append.stream);
        let boundary = AppendCondition::new(of_stream(append.stream));
        self.append_after(std::slice::from_ref(append), &[head], boundary, head.position)
    }

    fn append_several(&self, commit: &[Append]) -> Result<(), Refused> {
        let _alone = self.several.write().unwrap();
        let known = self.handle.head().get();
        let heads: Vec<_> = commit.iter().map(|append| self.head(append.stream)).collect();
        let streams: Vec<_> = commit.iter().map(|append| stream_item(append.stream)).collect();
        self.append_after(commit, &heads, AppendCondition::new(Query::items(streams)), known)
    }

    fn append_after(
        &self,
        commit: &[Append],
        heads: &[Head],
        boundary: AppendCondition,
        after: u64,
    ) -> Result<(), Refused> {
        let mut heads: HashMap<_, _> =
            commit.iter().map(|append| append.stream).zip(heads.iter().copied()).collect();
        let (mut events, mut ids, mut distinct) = (Vec::new(), Vec::new(), HashSet::new());
        let recorded_at = rows::now();
        for append in commit {
            let head = heads.get_mut(&append.stream).unwrap();
            if head.version != append.expected {
                return Err(Refused::Version);
            }
            for event in &append.events {
                // The condition is asked of what was there before, not of the commit itself.
                if !distinct.insert(event.id) {
                    return Err(Refused::EventId);
                }
                head.version += 1;
                head.position = events.len() as u64;
                events.push(encode(append.stream, head.version, recorded_at, event));
                ids.push(QueryItem::with_tags(Tags::new([id_tag(event.id)]).unwrap()));
            }
        }
        let condition = boundary.after(Position::new(after)).fail_if_exists(Query::items(ids));
        match self.handle.append(events, Some(condition)) {
            Ok(range) => {
                let first = range.first.get();
                let moved = heads.into_iter().map(|(stream, head)| {
                    (stream, Head { position: first + head.position, ..head })
                });
                self.heads.lock().unwrap().extend(moved);
                Ok(())
            }
            Err(AppendError::Conflict { clause: ConflictClause::Boundary, .. }) => {
                Err(Refused::Version)
            }
            Err(AppendError::Conflict { .. }) => Err(Refused::EventId),
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&self, query: &Query, visit: &mut dyn FnMut(&Seen<'_>)) {
        let mut found = self.handle.read(query, Position::ZERO, None);
        while let Some(event) = found.next() {
            let event = event.unwrap();
            visit(&seen(event.position.get(), event.event));
        }
    }
}

impl Engine for Tephra {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        match commit.as_slice() {
            [append] => self.append_one(append),
            several => self.append_several(several),
        }
    }

    fn sync(&self) {}

    fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>)) {
        self.read(&of_stream(stream), visit);
    }

    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
        self.read(&Query::all(), visit);
    }

    fn stream_version(&self, stream: Stream) -> u64 {
        self.head(stream).version
    }

    fn event_exists(&self, id: Uuid) -> bool {
        let item = QueryItem::with_tags(Tags::new([id_tag(id)]).unwrap());
        self.handle.read(&Query::item(item), Position::ZERO, Some(1)).next().is_some()
    }

    fn close(self: Box<Self>) {
        self.coordinator.shutdown();
    }
}

fn of_stream(stream: Stream) -> Query {
    Query::item(stream_item(stream))
}

fn stream_item(stream: Stream) -> QueryItem {
    QueryItem::with_tags(Tags::new([stream_tag(stream)]).unwrap())
}

fn stream_tag(stream: Stream) -> Tag {
    Tag::new(format!("s:{}:{}", stream.aggregate_id.simple(), stream.aggregate_type)).unwrap()
}

fn id_tag(id: Uuid) -> Tag {
    Tag::new(format!("e:{}", id.simple())).unwrap()
}

fn encode(stream: Stream, version: u64, recorded_at: i64, event: &workload::Event) -> Event {
    let mut payload = Vec::with_capacity(HEAD_BYTES + event.payload.len());
    payload.extend_from_slice(&version.to_le_bytes());
    payload.extend_from_slice(&recorded_at.to_le_bytes());
    payload.extend_from_slice(&event.occurred_at.to_le_bytes());
    payload.extend_from_slice(event.id.as_bytes());
    payload.extend_from_slice(&event.payload);
    let tags = Tags::new([stream_tag(stream), id_tag(event.id)]).unwrap();
    Event::new(&EventType::new(event.event_type).unwrap(), &tags, &payload).unwrap()
}

fn version(event: EventRef<'_>) -> u64 {
    u64::from_le_bytes(event.data()[..8].try_into().unwrap())
}

fn seen(position: u64, event: EventRef<'_>) -> Seen<'_> {
    let (head, payload) = event.data().split_at(HEAD_BYTES);
    let word = |at: usize| i64::from_le_bytes(head[at..at + 8].try_into().unwrap());
    let stream = event.tags().find_map(|tag| tag.strip_prefix("s:")).unwrap();
    let (aggregate_id, aggregate_type) = stream.split_once(':').unwrap();
    Seen {
        position,
        version: word(0) as u64,
        recorded_at: word(8),
        occurred_at: word(16),
        id: Uuid::from_slice(&head[24..]).unwrap(),
        aggregate_type,
        aggregate_id: Uuid::try_parse(aggregate_id).unwrap(),
        event_type: event.event_type(),
        payload,
    }
}
