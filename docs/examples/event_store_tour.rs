//! A tour of an event store in nine sections, after the event-store tutorial of eventsource-py.
//!
//! Run it with `cargo run --release --example event_store_tour [DIRECTORY]`. The events are kept on
//! disk, in `annals-data/event_store_tour` when no directory is given: run it again and its tasks
//! follow those of the run before. `event_store_tour.txt` beside this file is what it prints on an
//! empty directory; a test compares the two.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::env;
use std::error::Error as StdError;
use std::io::{self, Write};
use std::path::PathBuf;

use annals::{Error, EventStore, ExpectedVersion, FileStore, NewEvent, ReadOptions, StreamId};
use serde_json::json;
use uuid::Uuid;

type Outcome = Result<(), Box<dyn StdError>>;

/// Takes the tour on the store in the directory that is given, or in the usual one.
fn main() -> Outcome {
    let usual = || PathBuf::from("annals-data/event_store_tour");
    let directory = env::args_os().nth(1).map_or_else(usual, PathBuf::from);
    let store = FileStore::open(directory)?;
    tour(&store, &mut io::stdout().lock())?;
    store.close()?;
    Ok(())
}

/// Takes the tour; every section leaves to the next what it has recorded.
pub(crate) fn tour(store: &dyn EventStore, out: &mut dyn Write) -> Outcome {
    let task = StreamId::of("Task", Uuid::now_v7())?;
    let second_task = StreamId::of("Task", Uuid::now_v7())?;

    title(out, "Tutorial 4: Event Stores")?;
    append(store, &task, out)?;
    read(store, &task, out)?;
    append_another(store, &task, out)?;
    conflict(store, &task, out)?;
    read_one_by_one(store, &task, out)?;
    read_everything(store, &second_task, out)?;
    read_backward(store, out)?;
    read_one_type(store, out)?;
    look_at_the_store(store, out)?;
    writeln!(out)?;
    title(out, "Tutorial complete!")
}

fn append(store: &dyn EventStore, task: &StreamId, out: &mut dyn Write) -> Outcome {
    section(out, "1. Appending events")?;
    let created = NewEvent::json("TaskCreated", &json!({ "title": "Learn event stores" }))?;
    let result = store.append(task, ExpectedVersion::NoStream, vec![created])?;
    // There is no flag to look at: an append that did not succeed has left with the `?` above.
    writeln!(out, "   Success: True")?;
    writeln!(out, "   New version: {}", result.new_version)?;
    writeln!(out, "   Global position: {}", result.global_position)?;
    Ok(())
}

fn read(store: &dyn EventStore, task: &StreamId, out: &mut dyn Write) -> Outcome {
    section(out, "2. Reading events")?;
    let stream = store.load_stream(task, ReadOptions::new())?;
    writeln!(out, "   Aggregate ID: {}", stream.aggregate_id())?;
    writeln!(out, "   Aggregate type: {}", stream.aggregate_type())?;
    writeln!(out, "   Version: {}", stream.version())?;
    writeln!(out, "   Events:")?;
    for event in stream.events() {
        writeln!(out, "     - v{}: {}", event.stream_version(), event.event_type())?;
    }
    Ok(())
}

fn append_another(store: &dyn EventStore, task: &StreamId, out: &mut dyn Write) -> Outcome {
    section(out, "3. Appending another event")?;
    let completed = NewEvent::new("TaskCompleted", "");
    let result = store.append(task, ExpectedVersion::exact(1), vec![completed])?;
    writeln!(out, "   New version: {}", result.new_version)?;
    Ok(())
}

fn conflict(store: &dyn EventStore, task: &StreamId, out: &mut dyn Write) -> Outcome {
    section(out, "4. Optimistic locking (conflict detection)")?;
    let assignee = json!({ "new_assignee": Uuid::now_v7().to_string() });
    let reassigned = NewEvent::json("TaskReassigned", &assignee)?;
    // The task is at version 2: whoever still believes in version 1 has missed an event.
    match store.append(task, ExpectedVersion::exact(1), vec![reassigned]) {
        Err(Error::Conflict { expected: ExpectedVersion::Exact(expected), actual, .. }) => {
            writeln!(out, "   Conflict detected!")?;
            writeln!(out, "   Expected version: {expected}")?;
            writeln!(out, "   Actual version: {actual}")?;
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err("an append at a stale version was accepted".into()),
    }
}

fn read_one_by_one(store: &dyn EventStore, task: &StreamId, out: &mut dyn Write) -> Outcome {
    section(out, "5. Streaming events with read_stream()")?;
    writeln!(out, "   Stream ID: {task}")?;
    writeln!(out, "   Events:")?;
    for event in store.read_stream(task, ReadOptions::new())? {
        let event = event?;
        writeln!(out, "     - Position {}: {}", event.stream_version(), event.event_type())?;
    }
    Ok(())
}

fn read_everything(store: &dyn EventStore, task: &StreamId, out: &mut dyn Write) -> Outcome {
    section(out, "6. Reading all events with read_all()")?;
    let created = NewEvent::json("TaskCreated", &json!({ "title": "Second task" }))?;
    store.append(task, ExpectedVersion::NoStream, vec![created])?;
    writeln!(out, "   All events in global order:")?;
    for event in store.read_all(ReadOptions::new())? {
        let event = event?;
        let (position, aggregate_type) = (event.global_position(), event.aggregate_type());
        writeln!(out, "     - Global pos {position}: {aggregate_type}/{}", event.event_type())?;
    }
    Ok(())
}

fn read_backward(store: &dyn EventStore, out: &mut dyn Write) -> Outcome {
    section(out, "7. Reading with ReadOptions (backward, limited)")?;
    writeln!(out, "   Last 2 events (newest first):")?;
    for event in store.read_all(ReadOptions::new().backward().limit(2))? {
        let event = event?;
        writeln!(out, "     - Global pos {}: {}", event.global_position(), event.event_type())?;
    }
    Ok(())
}

fn read_one_type(store: &dyn EventStore, out: &mut dyn Write) -> Outcome {
    section(out, "8. Get events by aggregate type")?;
    let events = store.read_category("Task", ReadOptions::new())?;
    let events = events.collect::<annals::Result<Vec<_>>>()?;
    writeln!(out, "   Total Task events: {}", events.len())?;
    for event in &events {
        writeln!(out, "     - {} for task {}", event.event_type(), event.aggregate_id())?;
    }
    Ok(())
}

fn look_at_the_store(store: &dyn EventStore, out: &mut dyn Write) -> Outcome {
    section(out, "9. Event store metadata")?;
    let mut events = 0_u64;
    let mut aggregates = BTreeSet::new();
    for event in store.read_all(ReadOptions::new())? {
        events += 1;
        aggregates.insert(event?.stream()?);
    }
    writeln!(out, "   Total events: {events}")?;
    writeln!(out, "   Total aggregates: {}", aggregates.len())?;
    // Positions have no gaps, so the last one is also the count of events.
    writeln!(out, "   Current global position: {}", store.global_position()?)?;
    Ok(())
}

fn title(out: &mut dyn Write, text: &str) -> Outcome {
    let line = "=".repeat(60);
    writeln!(out, "{line}\n{text}\n{line}")?;
    Ok(())
}

fn section(out: &mut dyn Write, heading: &str) -> Outcome {
    writeln!(out, "\n{heading}\n{}", "-".repeat(60))?;
    Ok(())
}
