//! What `read --json` prints is what `import` reads: the same events in the same store, equal ones in a new one.

use annals::{
    ActorId, ContentType, EventId, EventStore, ExpectedVersion, FileStore, NewEvent, RecordedEvent,
    StreamId, TenantId, Timestamp,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use crate::program::{Place, events_of};

/// Cases when the environment variable `ANNALS_ROUND_TRIPS` does not say another number.
const CASES: u32 = 12;

fn cases() -> u32 {
    std::env::var("ANNALS_ROUND_TRIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

/// Characters that mean something to JSON, to lines or to a terminal, and any others.
fn character() -> impl Strategy<Value = char> {
    let odd = "\"\\/{}[]:, '\0\u{1}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{a0}\u{200d}\u{2028}\u{202e}\u{feff}é🦀";
    prop_oneof![
        4 => prop::char::range(' ', '~'),
        3 => prop::sample::select(odd.chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ]
}

fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(character(), length).prop_map(String::from_iter)
}

/// A text of 1 to 255 bytes without control characters.
fn name() -> impl Strategy<Value = String> {
    text(1..60).prop_map(|text| {
        let name: String = text.chars().filter(|character| !character.is_control()).collect();
        if name.is_empty() { "x".to_owned() } else { name }
    })
}

/// An id: any name, and a UUID in every spelling.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        name(),
        uuid().prop_map(|uuid| uuid.to_string()),
        uuid().prop_map(|uuid| format!("{uuid:X}")),
        uuid().prop_map(|uuid| uuid.simple().to_string()),
        uuid().prop_map(|uuid| format!("{:X}", uuid.simple())),
        uuid().prop_map(|uuid| uuid.braced().to_string()),
        uuid().prop_map(|uuid| uuid.urn().to_string()),
    ]
}

fn stream() -> impl Strategy<Value = StreamId> {
    let letter = prop::sample::select(
        ('a'..='z').chain('A'..='Z').chain("_.-09".chars()).collect::<Vec<_>>(),
    );
    let aggregate_type = vec(letter, 1..12).prop_map(String::from_iter);
    (aggregate_type, id())
        .prop_map(|(aggregate_type, id)| StreamId::new(aggregate_type, id).unwrap())
}

/// Moments anywhere, near the edges of what is printed in another way, and usual ones.
fn time() -> impl Strategy<Value = Timestamp> {
    let edges = [i64::MIN, -62_167_219_200_000_000, 0, 253_402_300_800_000_000, i64::MAX];
    prop_oneof![
        any::<i64>(),
        (prop::sample::select(edges.to_vec()), -3_i64..=3)
            .prop_map(|(edge, step)| edge.saturating_add(step)),
        -100_000_000_000_000_000..300_000_000_000_000_000_i64,
    ]
    .prop_map(Timestamp::from_micros)
}

/// JSON, some with white space and line breaks, and what is nearly JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        " ",
        "\n",
        "\t",
        "\r",
        "1",
        ".5",
        "-",
        "1e999",
        "0",
        "true",
        "tr",
        "ue",
        "null",
        "\"a\"",
        "\"\\ud800\"",
        "\"\\",
        "\"",
        "\u{feff}",
        "\u{1}",
        "\u{2028}",
    ];
    let soup = vec(prop::sample::select(tokens.to_vec()), 0..8).prop_map(|tokens| tokens.concat());
    let value = || {
        prop_oneof![
            Just("null".to_owned()),
            any::<f64>().prop_map(|number| format!("{number:e}")),
            any::<i64>().prop_map(|number| number.to_string()),
            text(0..12).prop_map(|text| serde_json::to_string(&text).unwrap()),
        ]
    };
    let space = || prop::sample::select(vec!["", "", "", " ", "  ", "\t", "\n", "\r\n"]);
    let nested = value().prop_recursive(4, 24, 4, move |inner| {
        (vec((inner, text(0..6)), 0..4), space(), any::<bool>()).prop_map(
            |(items, space, is_list)| {
                let items = items.into_iter().map(|(item, key)| match is_list {
                    true => format!("{space}{item}{space}"),
                    false => {
                        format!("{space}{}:{space}{item}", serde_json::to_string(&key).unwrap())
                    }
                });
                let items = items.collect::<Vec<_>>().join(",");
                if is_list { format!("[{items}]") } else { format!("{{{items}}}") }
            },
        )
    });
    prop_oneof![1 => soup, 3 => nested]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => nearly_json().prop_map(String::into_bytes),
        2 => text(0..80).prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..80),
    ]
}

fn content_type() -> impl Strategy<Value = ContentType> {
    prop_oneof![
        3 => Just(ContentType::Json),
        2 => Just(ContentType::Text),
        1 => Just(ContentType::Bytes),
        1 => Just(ContentType::Bincode),
        1 => any::<u8>().prop_map(ContentType::Other),
    ]
}

fn event() -> impl Strategy<Value = NewEvent> {
    let content = (uuid(), name(), payload(), content_type(), prop_oneof![Just(1), any::<u32>()]);
    let origin = (
        option::of(time()),
        option::of(id()),
        option::of(id()),
        option::of(uuid()),
        option::of(uuid()),
    );
    let rest = (vec(name(), 0..4), btree_map(text(0..10), text(0..20), 0..4));
    (content, origin, rest).prop_map(|(content, origin, (tags, metadata))| {
        let (event_id, event_type, payload, content_type, event_version) = content;
        let (time, tenant, actor, correlation_id, causation_id) = origin;
        let mut event = NewEvent::with_id(event_id, event_type, payload)
            .content_type(content_type)
            .event_version(event_version);
        if let Some(time) = time {
            event = event.occurred_at(time);
        }
        if let Some(tenant) = tenant {
            event = event.tenant(TenantId::new(tenant).unwrap());
        }
        if let Some(actor) = actor {
            event = event.actor(ActorId::new(actor).unwrap());
        }
        if let Some(id) = correlation_id {
            event = event.correlation_id(id);
        }
        if let Some(id) = causation_id {
            event = event.causation_id(id);
        }
        let event = tags.into_iter().fold(event, NewEvent::tag);
        metadata.into_iter().fold(event, |event, (key, value)| event.metadata(key, value))
    })
}

/// Everything that an event says, but when it was recorded.
#[track_caller]
fn assert_are_equal(one: &RecordedEvent, other: &RecordedEvent) {
    let place = |event: &RecordedEvent| (event.global_position(), event.stream_version());
    assert_eq!(place(one), place(other));
    assert_eq!(one.stream().unwrap(), other.stream().unwrap());
    assert_eq!((one.event_id(), one.event_type()), (other.event_id(), other.event_type()));
    assert_eq!((one.content_type(), one.payload()), (other.content_type(), other.payload()));
    assert_eq!(one.event_version(), other.event_version());
    assert_eq!(one.occurred_at(), other.occurred_at());
    assert_eq!((one.tenant(), one.actor()), (other.tenant(), other.actor()));
    let ids = |event: &RecordedEvent| (event.correlation_id(), event.causation_id());
    assert_eq!(ids(one), ids(other));
    assert!(one.tags().eq(other.tags()), "{one:?}");
    assert_eq!(one.metadata().unwrap(), other.metadata().unwrap());
}

/// Prints a store of events and imports that into itself and into a new store.
fn comes_back(events: Vec<(StreamId, NewEvent)>) {
    let place = Place::new();
    let store = FileStore::open(place.store()).unwrap();
    for (stream, event) in events {
        store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
    }
    store.close().unwrap();
    let recorded = place.events();
    let count = recorded.len();

    let printed = place.run("read --store store --json");
    assert_eq!(printed.printed().lines().count(), count);
    let again = place.run_with("import - --store store", printed.stdout.as_bytes());
    let expected = format!("{count} events read, 0 appended, {count} recognised\n");
    assert_eq!(again.printed(), expected, "{}", printed.stdout);
    assert_eq!(place.events(), recorded);

    let copy = place.run_with("import - --store copy", printed.stdout.as_bytes());
    let expected = format!("{count} events read, {count} appended, 0 recognised\n");
    assert_eq!(copy.printed(), expected, "{}", printed.stdout);
    let copied = events_of(&place.path().join("copy"));
    assert_eq!(copied.len(), count);
    recorded.iter().zip(&copied).for_each(|(one, other)| assert_are_equal(one, other));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_event_that_can_be_recorded_is_printed_as_a_line_that_is_that_event(
        events in vec((stream(), event()), 1..120)
    ) {
        // Two events with one id are refused when they are recorded.
        let mut ids = std::collections::HashSet::new();
        let events: Vec<_> = events.into_iter().filter(|(_, it)| ids.insert(it.event_id())).collect();
        comes_back(events);
    }
}

#[test]
fn times_that_rfc_3339_does_not_know_come_back_and_can_be_asked_for() {
    let times = [i64::MIN, -62_167_219_200_000_001, 253_402_300_799_999_999, i64::MAX];
    let stream: StreamId = "a:Task".parse().unwrap();
    let events = times.map(|micros| {
        (stream.clone(), NewEvent::new("E", "x").occurred_at(Timestamp::from_micros(micros)))
    });
    comes_back(events.to_vec());

    let place = Place::new();
    let store = FileStore::open(place.store()).unwrap();
    let events = events.map(|(_, event)| event).to_vec();
    store.append(&stream, ExpectedVersion::Any, events).unwrap();
    store.close().unwrap();
    for (bounds, count) in [
        ("--occurred-to 9999-12-31T23:59:59Z", 2),
        ("--occurred-to 9999-12-31T23:59:59.999999Z", 3),
        ("--occurred-from=-000044-03-15T12:00:00Z", 3),
        ("--occurred-from=-290308-12-21T19:59:05.224192Z", 4),
        ("--occurred-from +294247-01-10T04:00:54.775807Z", 1),
        ("--recorded-to +294247-01-10T04:00:54.775807Z", 4),
    ] {
        let ran = place.run(&format!("read --store store --json {bounds}"));
        assert_eq!(ran.printed().lines().count(), count, "{bounds}");
    }
}

#[test]
fn an_id_is_printed_and_imported_as_it_was_given() {
    let place = Place::new();
    let ids = [
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "4BF92F3577B34DA6A3CE929D0E0E4736",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "4BF92F35-77B3-4DA6-A3CE-929D0E0E4736",
        "{4bf92f35-77b3-4da6-a3ce-929d0e0e4736}",
        "urn:uuid:4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
    ];
    let lines = ids.map(|id| {
        format!(
            "{{\"aggregate_type\":\"T\",\"aggregate_id\":\"{id}\",\"event_type\":\"E\",\"tenant_id\":\"{id}\",\
             \"actor_id\":\"{id}\",\"occurred_at\":\"2024-01-01T00:00:00Z\"}}\n"
        )
    });
    place.run_with("import - --store store", lines.concat().as_bytes()).printed();
    let printed = place.run("read --store store --json");
    for (id, line) in ids.iter().zip(printed.printed().lines()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for field in ["aggregate_id", "tenant_id", "actor_id"] {
            assert_eq!(line[field], *id);
        }
        assert_eq!(line["stream_version"], 1);
        let mut read = place.command("read --store store --json --stream");
        let ran: crate::program::Ran = read.arg(format!("{id}:T")).output().unwrap().into();
        assert_eq!(ran.printed().lines().count(), 1);
        let mut read = place.command("read --store store --json --tenant");
        let ran: crate::program::Ran = read.arg(id).output().unwrap().into();
        assert_eq!(ran.printed().lines().count(), 1);
    }
}

/// Invalid JSON was once shown as other JSON: `[1 2]` as `[12]`.
#[test]
fn a_payload_is_shown_with_its_white_space() {
    let place = Place::new();
    let store = FileStore::open(place.store()).unwrap();
    let events = ["[1 2]", "{\"a\": 1}"].map(|payload| {
        NewEvent::new("E", payload).content_type(ContentType::Json).id(EventId::generate())
    });
    store.append(&"a:T".parse().unwrap(), ExpectedVersion::Any, events.to_vec()).unwrap();
    store.close().unwrap();
    let ran = place.run("read --store store");
    assert!(ran.printed().contains("[1 2]\n") && ran.stdout.contains("{\"a\": 1}\n"), "{ran:?}");
}
