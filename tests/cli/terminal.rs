//! Nothing that comes from elsewhere reaches a terminal as what a terminal acts on or hides.

use std::fs;

use annals::{ContentType, EventStore, ExpectedVersion, FileStore, NewEvent, StreamId, TenantId};

use crate::program::{Place, Ran, line};

/// One of each kind: an escape sequence, C1, bidirectional, without width, a separator, a tag.
const HOSTILE: &str =
    "a\u{1b}[31m\u{9b}2J\u{7f}\u{202e}gpj\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}z";

/// The same without control characters, which no name may hold.
const NAME: &str = "a\u{202e}gpj\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}z";

#[track_caller]
fn assert_harmless(ran: &Ran) {
    let is_harmful = |it: char| {
        (it.is_control() && it != '\n')
            || matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(it, '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
    };
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(is_harmful), "{text:?}");
    }
}

fn run(place: &Place, arguments: &[&str]) -> Ran {
    place.command("").args(arguments).output().unwrap().into()
}

#[test]
fn names_and_payloads_are_escaped_in_text_and_in_json() {
    let place = Place::new();
    let store = FileStore::open(place.store()).unwrap();
    let stream = StreamId::new("Task", NAME).unwrap();
    let event = |payload: &str| {
        let tenant = TenantId::new(NAME).unwrap();
        NewEvent::new(NAME, payload.to_owned()).tag(NAME).tenant(tenant).metadata(NAME, HOSTILE)
    };
    let text = event(HOSTILE).content_type(ContentType::Text);
    let json = event("{\"a\": \"\\u202e\"}").content_type(ContentType::Json);
    let events = vec![json, event(HOSTILE), text];
    store.append(&stream, ExpectedVersion::Any, events).unwrap();
    store.close().unwrap();

    let name = stream.to_string();
    let ran = run(&place, &["read", "--store", "store", "--stream", &name]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 3), "{ran:?}");
    assert_harmless(&ran);
    assert!(ran.stdout.contains("\\u{202e}gpj"), "{ran:?}");
    assert_harmless(&place.run("stats --store store"));
    assert_harmless(&place.run("stats --store store --json"));
    let absent = format!("{NAME}x:Task");
    let ran = run(&place, &["read", "--store", "store", "--stream", &absent]);
    assert_eq!(ran.code, Some(4));
    assert_harmless(&ran);
    let ran = run(&place, &["read", "--store", "store", "--event-type", &format!("{NAME}x")]);
    assert_eq!(ran.code, Some(4));
    assert_harmless(&ran);

    // The names in JSON are escaped, and read back as they were.
    let ran = place.run("read --store store --json --limit 2");
    assert_harmless(&ran);
    let event: serde_json::Value =
        serde_json::from_str(ran.printed().lines().next().unwrap()).unwrap();
    assert_eq!((&event["event_type"], &event["aggregate_id"]), (&NAME.into(), &NAME.into()));
}

#[test]
fn paths_and_arguments_are_escaped_in_messages() {
    let place = Place::new();
    place.file("events", line(0));
    let directory = place.path().join(HOSTILE);
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join(HOSTILE), "no store").unwrap();
    for command in ["read", "stats", "verify", "repair", "import events"] {
        let mut arguments: Vec<_> = command.split(' ').collect();
        arguments.extend(["--store", HOSTILE]);
        let ran = run(&place, &arguments);
        assert_eq!(ran.code, Some(1), "{command}: {ran:?}");
        assert_harmless(&ran);
        assert!(ran.stderr.contains("\\u{202e}gpj"), "{command}: {ran:?}");
    }
    for arguments in [
        vec!["read", "--limit", HOSTILE],
        vec!["read", "--stream", HOSTILE],
        vec!["read", "--tenant", HOSTILE],
        vec!["read", "--correlation", HOSTILE],
        vec!["read", "--recorded-from", HOSTILE],
        vec!["read", "--event-type", HOSTILE],
        vec!["read", HOSTILE],
        vec![HOSTILE],
        vec!["import", HOSTILE],
        vec!["salvage", "--store", HOSTILE, "--to", HOSTILE],
    ] {
        let ran = run(&place, &arguments);
        assert!(matches!(ran.code, Some(1 | 2)), "{arguments:?}: {ran:?}");
        assert_harmless(&ran);
    }
}

#[test]
fn findings_are_escaped() {
    let place = Place::new();
    place.file("events", line(0));
    let store = format!("x{NAME}");
    assert_eq!(run(&place, &["import", "events", "--store", &store]).code, Some(0));
    let segment = place.path().join(&store).join("log/0000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let payload = br#"{"n":0}"#;
    let at = bytes.windows(payload.len()).position(|bytes| bytes == payload).unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for command in [&["verify"][..], &["verify", "--json"], &["stats"], &["read"], &["repair"]] {
        let ran = run(&place, &[command, &["--store", &store]].concat());
        assert!(matches!(ran.code, Some(1 | 3)), "{command:?}: {ran:?}");
        assert_harmless(&ran);
    }
}
