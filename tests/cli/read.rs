//! `read`: which events, in which order and form.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use annals::{
    ContentType, Durability, EventStore, ExpectedVersion, FileStore, NewEvent, Options, StreamId,
};

use crate::program::{Place, lines};

/// A place with a store of 28 events, four in each of seven streams.
fn filled() -> Place {
    let place = Place::new();
    place.file("events", lines(28));
    place.run("import events --store store").printed();
    place
}

const NONE: [u64; 0] = [];

/// The global positions that a read prints.
fn positions(place: &Place, arguments: &str) -> Vec<u64> {
    let ran = place.run(&format!("read --store store --json {arguments}"));
    // Nothing that was found is told by the exit code and on standard error only.
    if ran.code == Some(4) {
        assert!(ran.stdout.is_empty() && ran.stderr.starts_with("annals: "), "{ran:?}");
        return Vec::new();
    }
    let parsed = ran.printed().lines().map(|line| serde_json::from_str(line).unwrap());
    parsed.map(|event: serde_json::Value| event["global_position"].as_u64().unwrap()).collect()
}

#[test]
fn bounds_are_positions_and_mean_the_same_in_both_directions() {
    let place = filled();
    assert_eq!(positions(&place, ""), (1..=28).collect::<Vec<_>>());
    assert_eq!(positions(&place, "--from 3 --to 5"), [3, 4, 5]);
    assert_eq!(positions(&place, "--from 3 --to 5 --backward"), [5, 4, 3]);
    assert_eq!(positions(&place, "--after 3 --before 6"), [4, 5]);
    assert_eq!(positions(&place, "--limit 2 --backward"), [28, 27]);
    assert_eq!(positions(&place, "--limit 0"), NONE);
    assert_eq!(positions(&place, "--from 5 --to 3"), NONE);
    assert_eq!(positions(&place, "--after 18446744073709551615"), NONE);
}

#[test]
fn of_a_stream_bounds_are_versions() {
    let place = filled();
    assert_eq!(positions(&place, "--stream order-2:Order"), [3, 10, 17, 24]);
    assert_eq!(positions(&place, "--stream order-2:Order --from 2 --to 3"), [10, 17]);
    assert_eq!(positions(&place, "--stream order-2:Order --backward --limit 1"), [24]);
    assert_eq!(positions(&place, "--stream absent:Order"), NONE);
}

#[test]
fn filters_must_all_hold() {
    let place = filled();
    let event =
        NewEvent::new("Rated", "5").tag("a").tag("b").tenant(annals::TenantId::new("t").unwrap());
    let event = event.correlation_id(uuid::Uuid::from_u128(9));
    let store = FileStore::open(place.store()).unwrap();
    let stream = StreamId::new("Review", "1").unwrap();
    store.append(&stream, ExpectedVersion::NoStream, vec![event]).unwrap();
    store.close().unwrap();

    assert_eq!(positions(&place, "--category Review"), [29]);
    assert_eq!(positions(&place, "--category Order --event-type Paid --limit 2"), [2, 4]);
    assert_eq!(positions(&place, "--event-type Paid --event-type Rated --from 26"), [26, 28, 29]);
    assert_eq!(positions(&place, "--tag a --tag b"), [29]);
    assert_eq!(positions(&place, "--tag a --tag c"), NONE);
    assert_eq!(positions(&place, "--tenant t"), [29]);
    assert_eq!(positions(&place, "--tenant t --event-type Paid"), NONE);
    assert_eq!(positions(&place, "--correlation 00000000-0000-0000-0000-000000000009"), [29]);
    assert_eq!(positions(&place, "--occurred-from 2024-01-01T00:00:00.000001+01:00"), [29]);
    assert_eq!(positions(&place, "--occurred-to 2023-12-31T23:00:00Z --from 27"), [27, 28]);
    assert_eq!(positions(&place, "--recorded-to 2024-01-01T00:00:00Z"), NONE);
    assert_eq!(positions(&place, "--recorded-from 2024-01-01T00:00:00Z --from 29"), [29]);
}

#[test]
fn text_is_one_line_an_event_and_aligned() {
    let place = filled();
    let ran = place.run("read --store store --limit 2");
    let lines: Vec<_> = ran.printed().lines().collect();
    assert_eq!(lines.len(), 2);
    for (line, words) in lines.iter().zip([
        ["1", "2023-12-31T23:00:00.000000Z", "order-0:Order", "1", "Placed", r#"{"n":0}"#],
        ["2", "2023-12-31T23:00:00.000000Z", "order-1:Order", "1", "Paid", r#"{"n":1}"#],
    ]) {
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), words);
    }
    assert_eq!(lines[0].find('{'), lines[1].find('{'));
}

#[test]
fn what_is_printed_as_json_can_be_imported_as_the_same_events() {
    let place = filled();
    let store = FileStore::open(place.store()).unwrap();
    let odd = vec![
        NewEvent::new("Text", "two\nlines \"é\"").content_type(ContentType::Text),
        NewEvent::new("Bytes", vec![0, 255, 10]).metadata("k", "v").event_version(7),
        NewEvent::bincode("Bincode", &(1_u8, "x")).unwrap().tag("one").tag("two"),
    ];
    let stream = StreamId::new("Odd", "018f0000-0000-7000-8000-000000000001").unwrap();
    store.append(&stream, ExpectedVersion::Any, odd).unwrap();
    store.close().unwrap();

    let printed = place.run("read --store store --json");
    let ran = place.run_with("import - --store copy", printed.printed().as_bytes());
    assert_eq!(ran.printed(), "31 events read, 31 appended, 0 recognised\n");
    let again = place.run_with("import - --store store", printed.printed().as_bytes());
    assert_eq!(again.printed(), "31 events read, 0 appended, 31 recognised\n");

    let without_time = |text: &str| -> Vec<serde_json::Value> {
        let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap());
        parsed
            .map(|mut event: serde_json::Value| {
                event.as_object_mut().unwrap().remove("recorded_at").unwrap();
                event
            })
            .collect()
    };
    let copied = place.run("read --store copy --json");
    assert_eq!(without_time(copied.printed()), without_time(printed.printed()));
}

#[test]
fn a_reader_that_goes_away_ends_the_program_in_silence() {
    let place = Place::new();
    place.file("events", lines(20_000));
    place.run("import events --store store").printed();
    let mut command = place.command("read --store store");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("Placed"), "{first}");
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn reading_works_beside_a_writer_and_changes_nothing() {
    let place = filled();
    let writer = FileStore::open(place.store()).unwrap();
    assert_eq!(positions(&place, "--limit 1"), [1]);
    assert!(place.run("verify --store store").printed().contains("28 events"));
    assert!(place.run("stats --store store").printed().contains("28"));
    writer.close().unwrap();
}

/// A copy without an index was read whole before each answer, with no word why.
#[test]
fn a_read_that_has_to_scan_the_log_first_says_so() {
    const EVENTS: usize = 132_000;
    let place = Place::new();
    let options = Options::new().durability(Durability::MayLoseLast);
    let store = FileStore::open_with(place.store(), options).unwrap();
    let stream = StreamId::new("Meter", "1").unwrap();
    for _ in 0..EVENTS / 1000 {
        let events = (0..1000).map(|_| NewEvent::new("Read", "")).collect();
        store.append(&stream, ExpectedVersion::Any, events).unwrap();
    }
    store.close().unwrap();
    let read = || place.run("read --store store --backward --limit 1");
    assert_eq!(read().printed().lines().count(), 1);
    std::fs::remove_dir_all(place.store().join("index")).unwrap();
    read().failed(0, &["note: 132000 events were read first", "index"]);
    FileStore::open(place.store()).unwrap().close().unwrap();
    assert_eq!(read().printed().lines().count(), 1);
}
