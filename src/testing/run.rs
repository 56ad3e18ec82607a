//! Runs of the index with arbitrary bytes in them.
//!
//! The fuzz target `run` feeds [`check`] with any input: changes to the runs of a store, whose checksums
//! are made right in half of the inputs, so that what stands behind them is reached.
//!
//! What is held, besides that nothing panics:
//!
//! 1. While checksums tell of the change, every answer is the one from before.
//! 2. Whatever a run says, every event that is given is one of the log, as it was recorded.
//! 3. A run whose checksums hold and that leads past the end of the log may keep the store from being opened for
//!    writing, since the log then ends before what `END` says of it.

use crate::engine::{Engine, verify};
use crate::error::Error;
use crate::testing::bytes::Verdict;
use crate::testing::harm;
use crate::testing::small::{MemoryEngine, ask, hold, open, pick, stores, take};

/// Asks a store with the runs that an input tells, and checks what is to hold.
///
/// # Errors
///
/// What does not hold, as a sentence.
///
/// # Examples
///
/// ```
/// use annals::testing::bytes::Verdict;
/// use annals::testing::run::check;
///
/// assert_eq!(check(b""), Ok(Verdict::Accepted));
/// ```
pub fn check(input: &[u8]) -> Result<Verdict, String> {
    let mut input = input;
    let disk = stores().closed.copy();
    let runs: Vec<_> = disk.files().into_iter().filter(|path| path.starts_with("index/")).collect();
    let [flags] = take(&mut input);
    let is_sealed = flags % 2 == 1;
    let mut is_changed = false;
    while !input.is_empty() {
        let path = pick(&mut input, &runs);
        let before = disk.bytes_of(path);
        harm::overwrite(&disk, path, &mut input);
        is_changed |= before.ok() != disk.bytes_of(path).ok();
        if is_sealed {
            harm::seal(&disk, path);
        }
    }
    let _report = verify(disk.clone());
    let read_only = Engine::open_read_only(disk.clone());
    let read_only = read_only.map_err(|error| format!("it can not be read: {error}"))?;
    check_answers(&read_only, is_sealed)?;
    let engine = match open(&disk) {
        Err(Error::Damage(_)) if is_sealed => return Ok(Verdict::Refused),
        engine => engine.map_err(|error| format!("it can not be opened: {error}"))?,
    };
    check_answers(&engine, is_sealed)?;
    Ok(if is_changed && is_sealed { Verdict::Refused } else { Verdict::Accepted })
}

/// Inputs to begin with, each with a name: one for each part of a run.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let at = |flags: u8, offset: u32, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[flags, 0], offset.to_le_bytes().as_slice(), &[length], bytes].concat()
    };
    vec![
        ("unchanged", vec![0]),
        ("header", at(1, 136, &[9])),
        ("interval", at(1, 32, &[3])),
        ("locations", at(1, 4096, &[255; 16])),
        ("filter", at(1, 8192, &[0; 64])),
        ("buckets", at(1, 12288, &[62, 0, 1])),
        ("reference", at(1, 12312, &[254, 255, 255])),
        ("postings", at(1, 16384, &[255; 40])),
        ("checksums", at(0, 20490, &[1, 2, 3])),
    ]
}

fn check_answers(engine: &MemoryEngine, is_sealed: bool) -> Result<(), String> {
    let truths = &stores().answers;
    // The first question is for everything.
    let recorded = &truths[0].0;
    for ((events, error), truth) in ask(engine).iter().zip(truths) {
        match is_sealed {
            true => hold(events.iter().all(|event| recorded.contains(event)), || {
                format!("{events:?} are not what was recorded")
            })?,
            false => hold(*events == truth.0 && error.is_none(), || {
                format!("{events:?} {error:?} instead of {truth:?}")
            })?,
        }
    }
    Ok(())
}
