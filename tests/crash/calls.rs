//! Counts the calls to the system that a thousand single appends make.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::child;

/// Calls that touch names or the metadata of files.
const METADATA: &[&str] = &[
    "fallocate",
    "fsync",
    "ftruncate",
    "fstat",
    "mkdirat",
    "newfstatat",
    "openat",
    "rename",
    "renameat",
    "renameat2",
    "statx",
    "sync_file_range",
    "unlinkat",
];

/// Returns how often a child that appends makes each call, or `None` where nobody can count.
fn calls_of(store: &Path, appends: u64) -> Option<BTreeMap<String, u64>> {
    let counted = store.with_extension("calls");
    let child = child::with_count(child::of_this_program("single appends", store), appends);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&counted).arg(child.get_program()).args(child.get_args());
    strace.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = strace.output().ok()?;
    if !output.status.success() {
        return None;
    }
    let table = std::fs::read_to_string(counted).unwrap();
    // Share, seconds, microseconds a call, calls, errors if there were any, name.
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        Some(((*words.last()?).to_owned(), words.get(3)?.parse().ok()?))
    };
    Some(table.lines().filter_map(row).collect())
}

#[test]
fn a_single_append_is_one_write_and_one_sync_and_no_call_for_metadata() {
    const APPENDS: u64 = 1000;
    let directory = tempfile::tempdir().unwrap();
    let counts = |appends: u64| calls_of(&directory.path().join(appends.to_string()), appends);
    let (Some(few), Some(many)) = (counts(1), counts(1 + APPENDS)) else {
        return eprintln!("skipped: a_single_append_is_one_write: strace is not there or may not");
    };
    let more = |name: &str| {
        let count = |calls: &BTreeMap<String, u64>| calls.get(name).copied().unwrap_or_default();
        count(&many).saturating_sub(count(&few))
    };
    // A pause of the machine brings a mark, and half a segment the preparation of the next.
    let about = APPENDS..APPENDS + 60;
    assert!(about.contains(&more("pwrite64")), "{} writes", more("pwrite64"));
    assert!(about.contains(&more("fdatasync")), "{} syncs", more("fdatasync"));
    let metadata: Vec<_> = METADATA.iter().map(|name| (name, more(name))).collect();
    let sum: u64 = metadata.iter().map(|(_, count)| count).sum();
    assert!(sum < 40, "{metadata:?}");
}
