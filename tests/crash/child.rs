//! The work of child processes: this program, started again with one of its tests and a task.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use annals::{
    Error, EventStore, ExpectedVersion, FileStore, NewEvent, Options, ReadOptions, Reading,
};

use crate::store::{small_segments, stream};
use crate::{kills, lives};

const TASK: &str = "ANNALS_CRASH_TASK";
const STORE: &str = "ANNALS_CRASH_STORE";
const COUNT: &str = "ANNALS_CRASH_COUNT";

/// Stands before every line that a child has to say, apart from what the test runner prints.
const SAYS: &str = "child: ";

/// Returns a command that starts this program as a child with a task.
pub(crate) fn command(program: &Path, task: &str, store: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "child::the_work_of_a_child_process", "--nocapture"]);
    command.env(TASK, task).env(STORE, store);
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    command
}

pub(crate) fn of_this_program(task: &str, store: &Path) -> Command {
    command(&std::env::current_exe().unwrap(), task, store)
}

pub(crate) fn with_count(mut command: Command, count: u64) -> Command {
    command.env(COUNT, count.to_string());
    command
}

/// Returns what a child said with a line of its output.
pub(crate) fn said(line: &str) -> Option<&str> {
    // The test runner does not end its own line before the test begins.
    line.split_once(SAYS).map(|(_, said)| said)
}

/// Runs a child to its end, and returns what it said.
pub(crate) fn run(mut command: Command) -> Vec<String> {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(said).map(str::to_owned).collect()
}

/// Says a line to the parent.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{SAYS}{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
fn the_work_of_a_child_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let store = PathBuf::from(std::env::var_os(STORE).unwrap());
    match task.as_str() {
        "commit" => kills::commit_until_killed(&store),
        "live" => lives::live(&store, Reading::Mapped),
        "live with positioned reads" => lives::live(&store, Reading::Positioned),
        "open" => say(&kind(FileStore::open(&store).map(drop))),
        "open read-only" => say(&kind(FileStore::open_read_only(&store).map(drop))),
        "single appends" => single_appends(&store, std::env::var(COUNT).unwrap().parse().unwrap()),
        "read what is cut short" => read_what_is_cut_short(&store),
        "read beside" => {
            let reader = FileStore::open_read_only(&store).unwrap();
            say(&reader.global_position().unwrap().to_string());
        }
        other => panic!("unknown task {other}"),
    }
}

fn single_appends(path: &Path, count: u64) {
    let store = FileStore::open(path).unwrap();
    for _ in 0..count {
        let events = vec![NewEvent::new("Happened", vec![7; 50])];
        store.append(&stream("one"), ExpectedVersion::Any, events).unwrap();
    }
    store.close().unwrap();
}

/// Reads without maps while the first segment is cut short behind its first events.
fn read_what_is_cut_short(path: &Path) {
    let options = Options::new().reading(Reading::Positioned);
    let store = FileStore::open_read_only_with(path, options).unwrap();
    let mut events = store.read_all(ReadOptions::new()).unwrap();
    events.next().unwrap().unwrap();
    let segment = path.join("log/0000000000000001.seg");
    OpenOptions::new().write(true).open(segment).unwrap().set_len(8192).unwrap();
    for error in [
        events.find_map(Result::err),
        store.load_stream(&stream("even"), ReadOptions::new()).err(),
        store.read_category("Test", ReadOptions::new()).unwrap().find_map(Result::err),
    ] {
        say(&kind(error.map_or(Ok(()), Err)));
    }
    let report = FileStore::verify(path).unwrap();
    say(if report.is_intact() { "intact" } else { "not intact" });
}

/// Returns which error a result is, in one word.
fn kind(result: Result<(), Error>) -> String {
    match result {
        Ok(()) => "opened".to_owned(),
        Err(Error::Locked { .. }) => "locked".to_owned(),
        Err(Error::Io { source, .. }) => format!("io {:?}", source.kind()),
        Err(Error::Damage(_)) => "damage".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// A store with small segments that another process has open: the options it is opened with.
pub(crate) fn open(path: &Path) -> FileStore {
    FileStore::open_with(path, small_segments()).unwrap()
}
