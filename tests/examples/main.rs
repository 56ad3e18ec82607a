//! Do the examples do what their texts say, in the first run and in the second?
//!
//! The examples are compiled into this test as modules and run against a store on disk, so that what
//! a reader copies is what is tested.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use annals::{FileStore, MemoryStore};
use uuid::Uuid;

mod chapters;

#[allow(dead_code, reason = "an example's main is not called here")]
#[path = "../../docs/examples/bank_account.rs"]
mod bank_account;
#[allow(dead_code, reason = "an example's main is not called here")]
#[path = "../../docs/examples/event_store_tour.rs"]
mod event_store_tour;
#[allow(dead_code, reason = "an example's main is not called here")]
#[path = "../../docs/examples/projections.rs"]
mod projections;
#[allow(dead_code, reason = "an example's main is not called here")]
#[path = "../../docs/examples/training_plan.rs"]
mod training_plan;
#[allow(dead_code, reason = "an example's main is not called here")]
#[path = "../../docs/examples/upcasting.rs"]
mod upcasting;

const TRADE: &str = include_str!("../../docs/examples/projections.txt");
const TOUR: &str = include_str!("../../docs/examples/event_store_tour.txt");

fn tour(directory: &Path) -> String {
    let store = FileStore::open(directory).unwrap();
    let mut out = Vec::new();
    event_store_tour::tour(&store, &mut out).unwrap();
    store.close().unwrap();
    String::from_utf8(out).unwrap()
}

fn train(directory: &Path) -> String {
    let store = FileStore::open(directory).unwrap();
    let mut out = Vec::new();
    training_plan::train(&store, &mut out).unwrap();
    store.close().unwrap();
    String::from_utf8(out).unwrap()
}

fn bank(directory: &Path) -> String {
    let store = FileStore::open(directory).unwrap();
    let mut out = Vec::new();
    bank_account::bank(&store, &mut out).unwrap();
    store.close().unwrap();
    String::from_utf8(out).unwrap()
}

fn trade(directory: &Path) -> String {
    let store = FileStore::open(directory).unwrap();
    let mut out = Vec::new();
    projections::trade(&store, &mut out).unwrap();
    store.close().unwrap();
    String::from_utf8(out).unwrap()
}

/// Splits a text where a word ends, so that UUIDs stand alone.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'))
}

fn uuids(text: &str) -> BTreeSet<Uuid> {
    words(text).filter_map(|word| Uuid::try_parse(word).ok()).collect()
}

/// Puts `[UUID]` in the place of every UUID, as the expected output does.
fn without_ids(text: &str) -> String {
    let ids = uuids(text).into_iter().map(|id| id.to_string());
    ids.fold(text.to_owned(), |text, id| text.replace(&id, "[UUID]"))
}

/// Returns the lines of one section, without its heading.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(2);
    lines.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn the_tour_prints_the_expected_output_on_an_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    let printed = without_ids(&tour(directory.path()));
    assert_eq!(printed.lines().collect::<Vec<_>>(), TOUR.lines().collect::<Vec<_>>());
}

#[test]
fn a_second_tour_follows_the_first_on_the_same_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = tour(directory.path());
    let second = tour(directory.path());

    assert_eq!(section(&second, "1. Appending events").last(), Some(&"   Global position: 4"));
    let everything = section(&second, "6. Reading all events with read_all()");
    let types = ["TaskCreated", "TaskCompleted", "TaskCreated"].repeat(2);
    let listed = (1..).zip(types).map(|(n, name)| format!("     - Global pos {n}: Task/{name}"));
    assert_eq!(everything.get(1..).unwrap(), listed.collect::<Vec<_>>());
    let newest = section(&second, "7. Reading with ReadOptions (backward, limited)");
    assert_eq!(newest.get(1), Some(&"     - Global pos 6: TaskCreated"));
    let by_type = section(&second, "8. Get events by aggregate type");
    assert_eq!(by_type.first(), Some(&"   Total Task events: 6"));
    let totals = ["   Total events: 6", "   Total aggregates: 4", "   Current global position: 6"];
    assert_eq!(section(&second, "9. Event store metadata"), totals);

    assert_eq!((uuids(&first).len(), uuids(&second).len()), (2, 4));
    assert!(uuids(&second).is_superset(&uuids(&first)), "the first tour's tasks are listed");
}

#[test]
fn trading_prints_the_expected_output_on_an_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    let printed = trade(directory.path());
    assert_eq!(printed.lines().collect::<Vec<_>>(), TRADE.lines().collect::<Vec<_>>());
}

#[test]
fn trading_again_goes_on_with_what_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    trade(directory.path());
    let second = trade(directory.path());

    assert!(second.starts_with("Events recorded before: 4\n"), "{second}");
    let mail = section(&second, "2. A subscription goes on from its checkpoint");
    let expected = ["   mail was sent up to position 3", "   mail about order-4"];
    assert_eq!((mail.get(..2), mail.len()), (Some(&expected[..]), 5));
    let set_aside = section(&second, "3. A projection meets an event that it can not handle");
    assert_eq!(set_aside.first(), Some(&"   2 counted, 1 set aside"));
    let revenue = section(&second, "5. It follows while orders come in");
    assert_eq!(revenue, ["   bread: 5.80", "   cake: 7.60", "   tea: 19.00"]);
    let orders = section(&second, "6. Another one is made beside the one in use");
    assert_eq!(orders.first(), Some(&"   8 events were read again"));
}

#[test]
fn training_creates_its_plans_and_settles_the_conflict() {
    let directory = tempfile::tempdir().unwrap();
    let printed = train(directory.path());

    assert!(printed.starts_with("Events recorded before: 0\n"), "{printed}");
    let commands = [
        "plan-001: 3 events saved, now at version 3",
        "plan-002: 3 events saved, now at version 3",
    ];
    assert_eq!(section(&printed, "Commands"), commands);
    let coaches = [
        "Anna and Ben load version 3 and both pick day 2",
        "Anna saves version 4",
        "Ben is refused: expected version 3, but it is at 4",
        "Ben loads version 4",
        "Ben sees that day 2 is taken by: Intervals (Anna)",
        "Ben saves version 5",
    ];
    assert_eq!(section(&printed, "Two coaches, one plan"), coaches);
    let history = [
        "v1   plan created: Marathon in autumn",
        "v2   Block 1 added: 4 weeks",
        "v3   day 1: Easy run",
        "v4   day 2: Intervals (Anna)",
        "v5   day 3: Long run (Ben)",
    ];
    assert_eq!(section(&printed, "History of plan-001"), history);
    let log = section(&printed, "Global log");
    assert_eq!(log.len(), 8);
    assert_eq!(log.first(), Some(&"1    plan-001 v1   TrainingPlanCreated"));
    assert_eq!(log.last(), Some(&"8    plan-001 v5   WorkoutScheduled"));
}

#[test]
fn training_again_goes_on_where_the_first_run_ended() {
    let directory = tempfile::tempdir().unwrap();
    let first = train(directory.path());
    let second = train(directory.path());

    assert!(second.starts_with("Events recorded before: 8\n"), "{second}");
    let commands = [
        "plan-001 goes on from version 5",
        "plan-001: 2 events saved, now at version 7",
        "plan-002 goes on from version 3",
        "plan-002: 2 events saved, now at version 5",
    ];
    assert_eq!(section(&second, "Commands"), commands);
    for heading in ["History of plan-001", "Global log"] {
        let (before, after) = (section(&first, heading), section(&second, heading));
        assert!(after.len() > before.len() && after.starts_with(&before), "{heading}: {second}");
    }
    assert_eq!(section(&second, "Global log").len(), 14);
}

#[test]
fn banking_takes_snapshots_does_a_command_once_and_keeps_tenants_apart() {
    let directory = tempfile::tempdir().unwrap();
    let printed = bank(directory.path());

    assert!(printed.starts_with("Events recorded before: 0\n"), "{printed}");
    let snapshots = [
        "2500 cents at version 251",
        "Snapshots in the store's directory: 1",
        "The same without it: true",
    ];
    assert_eq!(section(&printed, "Snapshots"), snapshots);
    let twice = [
        "2000 cents at version 252",
        "2000 cents at version 252",
        "Refused: there are only 2000 cents",
    ];
    assert_eq!(section(&printed, "A command that is given twice"), twice);
    let together = ["251 events were new", "2000 cents after 251 moves"];
    assert_eq!(section(&printed, "All accounts together"), together);
    let tenants = [
        "North knows Eve: true",
        "South knows Eve: false",
        "South is refused: events of tenant south can not be recorded in stream eve:Account, which \
         holds events of others",
        "Events that South can read: 0",
    ];
    assert_eq!(section(&printed, "Two banks, one store"), tenants);

    let second = bank(directory.path());
    assert!(second.starts_with("Events recorded before: 253\n"), "{second}");
    assert_eq!(section(&second, "Snapshots").first(), Some(&"4500 cents at version 502"));
    let together = ["251 events were new", "4000 cents after 502 moves"];
    assert_eq!(section(&second, "All accounts together"), together);
}

#[test]
fn upcasting_reads_what_the_first_version_recorded() {
    let mut out = Vec::new();
    upcasting::tell(&MemoryStore::new(), &mut out).unwrap();
    let printed = String::from_utf8(out).unwrap();
    let expected = [
        "Lovelace, Ada, in London, speaks en",
        "Registered with schema version 1",
        "Moved with schema version 1",
        "Relocated with schema version 1",
        "Event 4 is newer than this program: true",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}
