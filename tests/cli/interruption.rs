//! An import that is killed loses nothing and doubles nothing: run again, it completes.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread;

use annals::{EventStore, FileStore};

use crate::program::{Place, assert_are_lines, line, lines};

const LINES: usize = 20_000;
/// Lines that the killed import never gets, so that it can not end before it is killed.
const WITHHELD: usize = 2_000;
const KILL: i32 = 9;

/// Starts an import that is given all lines but those withheld, and whose input stays open.
fn start_import(place: &Place) -> (Child, thread::JoinHandle<std::process::ChildStdin>) {
    let mut command = place.command("import - --store store --batch 50");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = thread::spawn(move || {
        // The pipe breaks when the import is killed.
        (0..LINES - WITHHELD).take_while(|index| write!(stdin, "{}", line(*index)).is_ok()).count();
        stdin
    });
    (child, feeder)
}

/// Returns how many events are recorded by now, as a reader beside the import sees it.
fn recorded(place: &Place) -> u64 {
    match FileStore::open_read_only(place.store()) {
        Ok(store) => store.global_position().unwrap().get(),
        Err(_) => 0,
    }
}

#[test]
fn an_import_that_is_killed_completes_when_it_is_run_again() {
    for progress in [1, 3_000] {
        let place = Place::new();
        let (mut child, feeder) = start_import(&place);
        while recorded(&place) < progress {
            assert_eq!(child.try_wait().unwrap(), None, "the import ended by itself");
            thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(KILL));
        drop(feeder.join().unwrap());

        let events = place.events();
        let before = events.len();
        assert!(before as u64 >= progress && before <= LINES - WITHHELD, "{before}");
        assert_are_lines(&events, before);

        place.file("events", lines(LINES));
        let ran = place.run("import events --store store");
        let appended = LINES - before;
        assert_eq!(
            ran.printed(),
            format!("{LINES} events read, {appended} appended, {before} recognised\n")
        );
        assert_are_lines(&place.events(), LINES);
        assert!(place.run("verify --store store").printed().contains("intact: 20000 events"));
    }
}
