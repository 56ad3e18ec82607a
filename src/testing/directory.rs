//! Directories of arbitrary files, opened, read and appended to.
//!
//! The fuzz target `directory` feeds [`check`] with any input: which store is taken, then changes to its
//! files. Frames with checksums that hold can be among them, and checksums can be made right, so that
//! what stands behind the first check is reached.
//!
//! What is held, besides that nothing panics:
//!
//! 1. Verifying and opening for reading change nothing.
//! 2. Positions are given once, and ascending.
//! 3. A store that takes an append has the event under the next position, and after it was closed it
//!    can be opened again and still has it.

use crate::engine::{Engine, verify};
use crate::event::{NewEvent, RecordedEvent};
use crate::io::MemoryDisk;
use crate::store::{Commit, ExpectedVersion, GlobalRead, Query};
use crate::testing::bytes::Verdict;
use crate::testing::harm;
use crate::testing::small::{MemoryEngine, ask, event_id, given, hold, open, stores, stream};

/// The number of the event that is appended.
const APPENDED: u64 = 1000;

/// Opens the directory that an input tells, and checks what is to hold.
///
/// # Errors
///
/// What does not hold, as a sentence.
///
/// # Examples
///
/// ```
/// use annals::testing::bytes::Verdict;
/// use annals::testing::directory::check;
///
/// assert_eq!(check(b""), Ok(Verdict::Accepted));
/// ```
pub fn check(input: &[u8]) -> Result<Verdict, String> {
    let (kind, changes) = input.split_first().unwrap_or((&0, &[]));
    let disk = match kind % 3 {
        0 => MemoryDisk::new(),
        1 => stores().closed.copy(),
        _ => stores().killed.copy(),
    };
    harm::apply(&disk, changes);
    check_reading(&disk)?;
    let Ok(engine) = open(&disk) else { return Ok(Verdict::Refused) };
    check_given(&engine)?;
    check_appending(&disk, &engine)
}

/// Inputs to begin with, each with a name: one for each kind of change.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let store = &stores().closed;
    let files = harm::files(store, "");
    let number =
        |path: &str| u8::try_from(files.iter().position(|file| file == path).unwrap()).unwrap();
    let first = number("log/0000000000000001.seg");
    let last = number("log/0000000000000003.seg");
    let run =
        files.iter().position(|file| store.bytes_of(file).is_ok() && file.starts_with("index"));
    let run = u8::try_from(run.unwrap()).unwrap();
    let input = |kind: u8, parts: &[&[u8]]| [&[kind], parts.concat().as_slice()].concat();
    let frame =
        [&[5, last, 0, 8, 19, 0, 0, 64, 0, 0][..], &1_000_000_i64.to_le_bytes(), &[2, 0, 0, 0, 0]]
            .concat();
    vec![
        ("nothing", input(0, &[])),
        ("closed", input(1, &[])),
        ("killed", input(2, &[])),
        ("overwritten", input(1, &[&[0, first, 40, 16, 0, 0, 3, 7, 8, 9]])),
        ("cut-short", input(2, &[&[1, last, 0, 17, 0, 0]])),
        ("replaced", input(1, &[&[2, number("STORE"), 5, 0, 1, 2, 3, 4, 5]])),
        ("removed", input(1, &[&[3, run], &[3, number("LOCK")]])),
        ("copied", input(2, &[&[4, last, first]])),
        ("forged-frame", input(2, &[&frame])),
        ("sealed-run", input(1, &[&[0, run, 200, 32, 0, 0, 2, 1, 1], &[6, run]])),
        ("sealed-header", input(1, &[&[0, first, 56, 0, 0, 0, 4, 0, 0, 0, 1], &[6, first]])),
    ]
}

fn contents(disk: &MemoryDisk) -> Vec<(String, Option<Vec<u8>>)> {
    disk.files().into_iter().map(|path| (path.clone(), disk.bytes_of(&path).ok())).collect()
}

fn check_reading(disk: &MemoryDisk) -> Result<(), String> {
    let before = contents(disk);
    let _report = verify(disk.clone());
    if let Ok(engine) = Engine::open_read_only(disk.clone()) {
        check_given(&engine)?;
    }
    hold(contents(disk) == before, || "reading changes files".to_owned())
}

/// Asks everything; whatever is given can be looked at, and comes in order.
fn check_given(engine: &MemoryEngine) -> Result<(), String> {
    for (events, _error) in ask(engine) {
        events.iter().for_each(look_at);
        let positions: Vec<_> = events.iter().map(RecordedEvent::global_position).collect();
        let is_ordered = positions.is_sorted_by(|one, next| one < next)
            || positions.is_sorted_by(|one, next| one > next);
        hold(is_ordered, || format!("positions come as {positions:?}"))?;
        let durable = engine.reader().durable();
        hold(positions.iter().all(|one| *one <= durable), || format!("{positions:?} > {durable}"))?;
    }
    Ok(())
}

/// Reads every part of an event.
fn look_at(event: &RecordedEvent) {
    let _texts = (event.stream(), event.event_type(), event.tags().count(), event.metadata());
    let _ids = (event.tenant(), event.actor(), event.correlation_id(), event.causation_id());
    let _rest = (event.payload().len(), event.occurred_at(), event.recorded_at());
}

fn check_appending(disk: &MemoryDisk, engine: &MemoryEngine) -> Result<Verdict, String> {
    let before = engine.reader().durable();
    let new = NewEvent::new("Appended", "by the fuzzer").id(event_id(APPENDED));
    let commit = Commit::new().append(&stream(APPENDED), ExpectedVersion::Any, vec![new]);
    let Ok(result) = engine.commit(commit) else { return Ok(Verdict::Refused) };
    let position = result.appends[0].global_position;
    hold(position == before.next(), || format!("{position} follows {before}"))?;
    check_appended(engine)?;
    engine.close().map_err(|error| format!("it can not be closed: {error}"))?;
    let again = open(disk).map_err(|error| format!("it can not be opened again: {error}"))?;
    hold(again.reader().durable() == position, || "the appended event is gone".to_owned())?;
    check_appended(&again).map(|()| Verdict::Accepted)
}

fn check_appended(engine: &MemoryEngine) -> Result<(), String> {
    let last = engine.reader().durable();
    let (events, error) = given(engine.reader().read(&Query::all(), &GlobalRead::new().from(last)));
    let ids: Vec<_> = events.iter().map(RecordedEvent::event_id).collect();
    hold(ids == [event_id(APPENDED)], || format!("{ids:?} stand at {last}: {error:?}"))?;
    let found = engine.reader().event(event_id(APPENDED));
    let is_found = matches!(&found, Ok(Some(event)) if event.global_position() == last);
    hold(is_found, || format!("by its id it is {found:?}"))
}
