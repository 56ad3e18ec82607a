//! The exit code is the verdict, whoever reads the output: also when nobody does.

use std::process::Stdio;

use crate::damage::damaged;
use crate::program::{Place, Ran, lines};

/// Runs the program with its output going into a pipe that nobody reads.
fn run_unread(place: &Place, arguments: &str) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.command(arguments);
    command.stdin(Stdio::null()).stdout(writer).output().unwrap().into()
}

#[track_caller]
fn assert_verdicts(place: &Place, verdicts: &[(&str, i32)]) {
    for (arguments, code) in verdicts {
        let read = place.run(arguments);
        assert_eq!(read.code, Some(*code), "{arguments}: {read:?}");
        let unread = run_unread(place, arguments);
        assert_eq!(unread.code, Some(*code), "{arguments}: {unread:?}");
        assert!(!unread.stderr.contains("panicked"), "{arguments}: {unread:?}");
        assert_eq!(unread.stderr, read.stderr, "{arguments}");
    }
}

/// A damaged store was exit code 0 into a closed pipe, and so was a repair that nobody had agreed to.
#[test]
fn a_damaged_store_is_told_by_the_exit_code_into_a_closed_pipe() {
    let (place, ..) = damaged();
    assert_verdicts(
        &place,
        &[
            ("verify --store store", 1),
            ("verify --store store --json", 1),
            ("stats --store store", 1),
            ("stats --store store --json", 1),
            ("read --store store", 1),
            ("read --store store --json", 1),
            ("read --store store --backward", 1),
            ("read --store store --category Order", 1),
            ("read --store store --skip-damage", 1),
            ("read --store store --skip-damage --json", 1),
            ("import events --store store", 1),
            ("repair --store store", 3),
            ("repair --store store --json", 3),
            ("repair --store store --dry-run", 0),
            ("salvage --store store --to copy", 3),
            ("salvage --store store --to copy --dry-run", 0),
            ("salvage --store store --to store/inside --yes", 1),
        ],
    );
}

#[test]
fn a_sound_store_is_told_by_the_exit_code_into_a_closed_pipe() {
    let place = Place::new();
    place.file("events", lines(2000));
    place.run("import events --store store").printed();
    assert_verdicts(
        &place,
        &[
            ("verify --store store", 0),
            ("stats --store store", 0),
            ("read --store store", 0),
            ("read --store store --json", 0),
            ("read --store store --stream absent:Order", 4),
            ("read --store absent", 1),
            ("read --frobnicate", 2),
            ("import events --store store", 0),
            ("repair --store store", 0),
            ("salvage --store store --to copy", 3),
            ("--help", 0),
        ],
    );
}

/// A pipe that `head` closes after it has its lines.
#[test]
fn a_reader_that_has_enough_is_no_failure_and_hides_no_damage_that_opening_found() {
    let (place, file, _) = damaged();
    // Without its index the store is read when it is opened, and so is the damage.
    std::fs::remove_dir_all(place.store().join("index")).unwrap();
    assert!(file.exists());
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = place.command("read --store store");
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(reader));
    assert!(lines.next().unwrap().unwrap().contains("Placed"));
    drop(lines);
    let ran = Ran::from(child.wait_with_output().unwrap());
    ran.failed(1, &["damage"]);
}
