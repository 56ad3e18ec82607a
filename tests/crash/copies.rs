//! Copies of a store by programs that pass over files whose length and whole second they know already.
//!
//! All files are given one time after every step, so that only their lengths tell. `rsync` itself is run where it
//! is installed.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use annals::{FileStore, Options};

use crate::store::{append, fast_directory, read_from, small_segments};

/// What happens to the store in one step.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// An event of this size is appended.
    Append(usize),
    /// The store is closed and opened again.
    Reopen,
}

/// Two events to a segment, or many; closes in the middle of segments and at their beginning.
fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..4 {
        steps.extend([Step::Append(20); 3]);
        steps.push(Step::Reopen);
        steps.extend([Step::Append(25_000); 3]);
        if round % 2 == 0 {
            steps.push(Step::Reopen);
        }
    }
    steps
}

fn options() -> Options {
    small_segments()
}

/// Takes every step, shows the store's directory to `look` after each, and closes the store at the end. Returns how
/// many events there are.
fn live(path: &Path, mut look: impl FnMut()) -> u64 {
    let mut store = FileStore::open_with(path, options()).unwrap();
    let mut count = 0;
    for step in steps() {
        match step {
            Step::Append(bytes) => {
                count += 1;
                append(&store, count, vec![1; bytes]).unwrap();
            }
            Step::Reopen => {
                store.close().unwrap();
                store = FileStore::open_with(path, options()).unwrap();
            }
        }
        set_times(path);
        look();
    }
    store.close().unwrap();
    set_times(path);
    count
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Gives all files one time: everything happens within one second.
fn set_times(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for path in files(path) {
        // A file in the making may have got its name meanwhile.
        let Ok(file) = File::options().write(true).open(path) else { continue };
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    }
}

fn whole_second(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Copies the files that are absent or have another length or second, as rsync does.
fn copy_over(from: &Path, to: &Path) {
    for path in files(from) {
        let Ok(source) = fs::metadata(&path) else { continue };
        let target = to.join(path.strip_prefix(from).unwrap());
        let known = fs::metadata(&target)
            .ok()
            .map(|known| (known.len(), whole_second(known.modified().unwrap())));
        if known == Some((source.len(), whole_second(source.modified().unwrap()))) {
            continue;
        }
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let Ok(bytes) = fs::read(&path) else { continue };
        fs::write(&target, bytes).unwrap();
        let copied = File::options().write(true).open(&target).unwrap();
        copied.set_times(FileTimes::new().set_modified(source.modified().unwrap())).unwrap();
    }
}

/// Holds a copy to having every event.
fn assert_whole(copy: &Path, count: u64, what: &str) {
    let report = FileStore::verify(copy).unwrap();
    assert!(report.is_intact(), "{what}: {:?}", report.findings);
    assert_eq!(report.events, count, "{what}");
    let store = FileStore::open_with(copy, options()).unwrap();
    assert_eq!(read_from(&store, 1).0.len() as u64, count, "{what}");
}

/// Makes a copy after every step and goes on with each after the end.
fn copy_at_every_step(copy: impl Fn(&Path, &Path)) {
    let directory = fast_directory();
    let path = directory.path().join("store");
    let mut copies: Vec<PathBuf> = Vec::new();
    let count = live(&path, || {
        let target = directory.path().join(format!("copy-{}", copies.len()));
        fs::create_dir(&target).unwrap();
        copy(&path, &target);
        copies.push(target);
    });
    for (number, target) in copies.iter().enumerate() {
        copy(&path, target);
        assert_whole(target, count, &format!("begun after step {number}"));
    }
}

#[test]
fn a_copy_by_length_and_whole_seconds_is_whole_once_it_was_made_after_the_end() {
    copy_at_every_step(copy_over);
}

#[test]
fn rsync_at_any_moment_and_once_after_the_end_makes_a_whole_copy() {
    let is_there = Command::new("rsync").arg("--version").output().is_ok();
    if !is_there {
        return eprintln!("skipped: rsync_at_any_moment: rsync is not there");
    }
    copy_at_every_step(|from, to| {
        let from = format!("{}/", from.display());
        let output = Command::new("rsync").args(["-a", &from]).arg(to).output().unwrap();
        // 24: a file went away while it was being copied.
        let is_done = output.status.success() || output.status.code() == Some(24);
        assert!(is_done, "{}", String::from_utf8_lossy(&output.stderr));
    });
}
