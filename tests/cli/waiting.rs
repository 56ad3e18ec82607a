//! An input that waits: its lines are recorded all the same, and a signal that ends it loses none.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use annals::{EventStore, FileStore};

use crate::program::{Place, assert_are_lines, gzip, line, lines};

/// How long to wait for what must happen, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lines of a file whose import takes long, a commit for every two.
const LINES: usize = 20_000;

/// Bytes that wait in a pipe at most: what else was written has been read.
const PIPE_BYTES: usize = 64 << 10;

fn start(place: &Place, arguments: &str) -> (Child, ChildStdin) {
    let mut command = place.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

/// Returns how many events are recorded by now.
fn recorded(place: &Place) -> u64 {
    match FileStore::open_read_only(place.store()) {
        Ok(store) => store.global_position().unwrap().get(),
        Err(_) => 0,
    }
}

/// Waits until so many events are recorded.
#[track_caller]
fn wait_for(place: &Place, count: u64) {
    let start = Instant::now();
    while recorded(place) < count {
        assert!(start.elapsed() < PATIENCE, "{} of {count} are recorded", recorded(place));
        thread::yield_now();
    }
}

fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("kill");
    let status = kill.args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits for the end and returns exit code, standard output and standard error.
fn end(mut child: Child) -> (Option<i32>, String, String) {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code(), stdout, stderr)
}

#[test]
fn a_line_is_recorded_while_the_pipe_waits_for_the_next() {
    let place = Place::new();
    let (child, mut stdin) = start(&place, "import - --store store");
    for (count, part) in [(1, line(0)), (3, lines(3)[line(0).len()..].to_owned())] {
        stdin.write_all(part.as_bytes()).unwrap();
        wait_for(&place, count);
    }
    // A line that comes in parts is one line.
    let last = line(3);
    let (front, back) = last.split_at(20);
    for part in [front, back] {
        stdin.write_all(part.as_bytes()).unwrap();
    }
    wait_for(&place, 4);
    drop(stdin);
    let (code, stdout, _) = end(child);
    assert_eq!((code, stdout.as_str()), (Some(0), "4 events read, 4 appended, 0 recognised\n"));
    assert_are_lines(&place.events(), 4);
}

#[test]
fn a_packed_line_is_recorded_while_the_pipe_waits_for_the_next() {
    let place = Place::new();
    let (child, mut stdin) = start(&place, "import - --store store");
    for index in 0..3 {
        stdin.write_all(&gzip(line(index).as_bytes())).unwrap();
        wait_for(&place, index as u64 + 1);
    }
    drop(stdin);
    assert_eq!(end(child).0, Some(0));
    assert_are_lines(&place.events(), 3);
}

#[test]
fn what_was_read_is_recorded_and_counted_when_a_signal_ends_the_import() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let place = Place::new();
        let (child, mut stdin) = start(&place, "import - --store store --batch 65535");
        let written = lines(5_000);
        stdin.write_all(written.as_bytes()).unwrap();
        stdin.write_all(&line(5_000).as_bytes()[..10]).unwrap();
        signal(&child, name);
        let (status, stdout, stderr) = end(child);
        drop(stdin);
        assert_eq!(status, Some(code), "{stderr}");
        assert!(stderr.contains("interrupted"), "{stderr}");
        let events = place.events();
        assert_are_lines(&events, events.len());
        let count = events.len();
        assert_eq!(stdout, format!("{count} events read, {count} appended, 0 recognised\n"));
        let read = written.len().saturating_sub(PIPE_BYTES);
        assert!(count + 1 >= written[..read].lines().count(), "{count} of 5000");
        assert!(place.run("verify --store store").printed().contains("intact"));
    }
}

#[test]
fn a_signal_to_an_import_that_took_nothing_leaves_no_store_behind() {
    let place = Place::new();
    // A second input, so that it is certain that the program has come to wait for the first.
    let (child, stdin) = start(&place, "import - --store a/store");
    let (other, mut other_stdin) = start(&place, "import - --store store");
    other_stdin.write_all(line(0).as_bytes()).unwrap();
    wait_for(&place, 1);
    signal(&child, "TERM");
    let (code, stdout, _) = end(child);
    // Before it has said that it takes signals, the system ends it.
    assert!(code.is_none() || code == Some(143), "{code:?}");
    assert!(code.is_none() || stdout == "0 events read, 0 appended, 0 recognised\n", "{stdout}");
    assert!(!place.path().join("a").exists());
    drop((stdin, other_stdin));
    assert_eq!(end(other).0, Some(0));
}

#[test]
fn a_signal_ends_the_import_of_a_file_between_two_commits() {
    let place = Place::new();
    place.file("events", lines(LINES));
    let mut command = place.command("import events --store store --batch 2");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&place, 2);
    signal(&child, "TERM");
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(143), "{stdout}{stderr}");
    let count = place.events().len();
    assert!(count < LINES && stdout.starts_with(&format!("{count} events read")), "{stdout}");
    assert_are_lines(&place.events(), count);
    let ran = place.run("import events --store store --batch 5000");
    let appended = LINES - count;
    let expected = format!("{LINES} events read, {appended} appended, {count} recognised\n");
    assert_eq!(ran.printed(), expected);
}
