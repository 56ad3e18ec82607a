//! Asks a store everything that it can be asked, so that two stores can be compared.

use std::collections::BTreeMap;

use super::*;
use crate::store::{FailIfMatches, Filter, Query, QueryItem};
use crate::stream::TenantId;

fn tenant(number: u64) -> TenantId {
    TenantId::new(format!("tenant-{number}")).unwrap()
}

pub(super) fn stream_of(number: u64) -> StreamId {
    // One long stream, some short ones, and categories that share aggregate ids.
    match number % 3 {
        0 => stream("one"),
        1 => StreamId::new("Other", format!("s{}", number % 7)).unwrap(),
        _ => stream(&format!("s{}", number / 10)),
    }
}

/// Returns the event with a number, which has a bit of everything.
pub(super) fn rich_event(number: u64) -> NewEvent {
    let bytes = if number.is_multiple_of(20) { 4000 } else { 20 };
    let mut event = NewEvent::new(format!("Type{}", number % 4), vec![1; bytes])
        .id(event_id(number))
        .tag(format!("seldom-{}", number / 9))
        .correlation_id(uuid::Uuid::from_u128(u128::from(number % 6)));
    if number.is_multiple_of(2) {
        event = event.tag("even").tenant(tenant(number % 3));
    }
    event
}

/// Every question with what it was answered.
pub(super) type Answers = BTreeMap<String, String>;

pub(super) struct Asker<'a> {
    pub(super) engine: &'a MemoryEngine,
    pub(super) answers: Answers,
}

impl Asker<'_> {
    fn note(&mut self, question: String, answer: impl std::fmt::Debug) {
        self.answers.insert(question, format!("{answer:?}"));
    }

    fn read(&mut self, query: &Query, options: &GlobalRead) {
        let events = self.engine.reader().read(query, options);
        let given = split(events);
        self.note(format!("{query:?} {options:?}"), (positions(&given.0), given.1));
    }

    fn stream(&mut self, stream: &StreamId, options: &StreamRead) {
        let given = split(self.engine.reader().read_stream(stream, options));
        self.note(format!("{stream:?} {options:?}"), (positions(&given.0), given.1));
    }

    fn streams(&mut self, last: u64) {
        let mut streams: Vec<StreamId> = (1..=last).step_by(3).map(stream_of).collect();
        streams.extend((1..=last).step_by(11).map(stream_of));
        streams.extend([stream("none"), StreamId::new("Other", "one").unwrap()]);
        for stream in streams {
            let version = self.engine.reader().version(&stream);
            self.note(format!("version of {stream:?}"), version);
            self.stream(&stream, &StreamRead::new());
            self.stream(&stream, &StreamRead::new().backward());
            self.stream(&stream, &StreamRead::new().from(2).limit(3));
            self.stream(&stream, &StreamRead::new().backward().to(5).after(1));
        }
        for version in (1..=last / 3 + 1).step_by(5) {
            let options = StreamRead::new().from(version).limit(2);
            self.stream(&stream("one"), &options);
            self.stream(&stream("one"), &StreamRead::new().to(version).backward().limit(2));
        }
    }

    fn queries(&mut self, last: u64) {
        let item = QueryItem::new;
        let queries = [
            Query::all(),
            Query::category("Test"),
            Query::category("Other"),
            Query::category("None"),
            Query::none().or(item().event_type("Type1")),
            Query::none().or(item().tag("even")),
            Query::none().or(item().tag("even").tag("seldom-5")),
            Query::none().or(item().tag("even").tag("seldom-5").event_type("Type2")),
            Query::none()
                .or(item().tag("seldom-2"))
                .or(item().event_type("Type3").category("Other")),
            Query::none().or(item().tag("no such tag")),
        ];
        for query in &queries {
            self.read(query, &GlobalRead::new());
            self.read(query, &GlobalRead::new().backward());
            self.read(query, &GlobalRead::new().after(last / 3).before(last - 5).limit(4));
            self.read(query, &GlobalRead::new().backward().from(last / 2).limit(4));
        }
        let filters = [
            Filter::new().tenant(tenant(1)),
            Filter::new().correlation_id(uuid::Uuid::from_u128(4)),
            Filter::new().tenant(tenant(2)).tag("even").event_type("Type0"),
            Filter::new().recorded_to(Timestamp::from_micros(1_000_000)).aggregate_type("Other"),
        ];
        for filter in filters {
            self.read(&Query::all(), &GlobalRead::new().filter(filter.clone()));
            self.read(&Query::all(), &GlobalRead::new().backward().filter(filter.clone()).limit(3));
            let options = StreamRead::new().filter(filter);
            self.stream(&stream("one"), &options);
        }
    }

    fn events(&mut self, last: u64) {
        for number in (0..=last + 3).chain([9999]) {
            let event = self.engine.reader().event(event_id(number));
            let event = event.map(|event| event.map(|event| event.global_position()));
            self.note(format!("id {number}"), event);
        }
    }

    /// Asks for commits that are refused, each for another reason.
    pub(super) fn checks(&mut self, last: u64) {
        let refused = Commit::new()
            .append(&stream("one"), ExpectedVersion::NoStream, vec![event(5000, 8)])
            .append(&stream("none"), ExpectedVersion::StreamExists, vec![event(5001, 8)])
            .condition(FailIfMatches::new(Query::none().or(QueryItem::new().tag("seldom-3"))))
            .condition(FailIfMatches::new(Query::category("Test")).after((last - 1).into()))
            .condition(FailIfMatches::new(Query::none().or(QueryItem::new().tag("absent"))));
        let answer = self.engine.commit(refused);
        self.note("refused".to_owned(), answer);
        let again =
            Commit::new().append(&stream_of(12), ExpectedVersion::NoStream, vec![rich_event(12)]);
        let answer = self.engine.commit(again);
        self.note("again".to_owned(), answer);
        let elsewhere =
            Commit::new().append(&stream("two"), ExpectedVersion::Any, vec![rich_event(30)]);
        let answer = self.engine.commit(elsewhere);
        self.note("elsewhere".to_owned(), answer);
    }
}

/// Asks everything of a store with events up to `last`.
pub(super) fn answers_up_to(engine: &MemoryEngine, last: u64) -> Answers {
    let mut asker = Asker { engine, answers: Answers::new() };
    asker.streams(last);
    asker.queries(last);
    asker.events(last);
    asker.answers
}

#[test]
fn an_id_exists_that_stands_where_the_index_says_and_damage_to_it_is_told() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=3, 8);
    let reader = engine.reader();
    assert!(reader.event_exists(event_id(2)).unwrap());
    assert!(!reader.event_exists(event_id(4)).unwrap());
    let frame = frame_of(&disk, 2);
    let id_offset = frame.offset + crate::format::FRAME_HEADER_BYTES as u64 + 48;
    flip(&disk, &frame.path, id_offset);
    assert!(matches!(reader.event_exists(event_id(2)), Err(Error::Damage(_))));
    assert!(reader.event_exists(event_id(1)).unwrap() && reader.event_exists(event_id(3)).unwrap());
}
