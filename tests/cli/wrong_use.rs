//! What is not understood ends with exit code 2, what can not be done with 1, each with a message.

use std::fs;

use crate::program::{Place, line};

#[test]
fn wrong_arguments_end_with_exit_code_2_and_a_message() {
    let place = Place::new();
    let cases = [
        ("", "Usage"),
        ("frobnicate", "unrecognized subcommand"),
        ("import", "<FILE>"),
        ("import a b", "unexpected argument"),
        ("import events --batch 0", "--batch"),
        ("import events --batch 65536", "--batch"),
        ("read --stream no-colon", "no colon"),
        ("read --stream a:Order --category Order", "cannot be used with"),
        ("read --from 1 --after 1", "cannot be used with"),
        ("read --to 1 --before 1", "cannot be used with"),
        ("read --limit=-1", "--limit"),
        ("read --from x", "--from"),
        ("read --recorded-from 2024-01-01T00:00:00", "RFC 3339"),
        ("read --correlation x", "--correlation"),
        ("stats --quiet", "--quiet"),
        ("verify extra", "extra"),
    ];
    for (arguments, part) in cases {
        let ran = place.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains(part) && ran.stdout.is_empty(), "{arguments}: {ran:?}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn names_that_no_event_can_have_are_wrong_use() {
    let place = Place::new();
    place.run_with("import - --store store", line(0).as_bytes()).printed();
    place.run("read --store store --category Or/der").failed(2, &["invalid aggregate type"]);
    let mut command = place.command("read --store store");
    let ran = command.args(["--event-type", ""]).output().unwrap();
    crate::program::Ran::from(ran).failed(2, &["invalid event type"]);
}

#[test]
fn help_and_version_succeed() {
    let place = Place::new();
    for arguments in ["--help", "--version", "help import", "read -h", "stats --help"] {
        assert!(!place.run(arguments).printed().is_empty());
    }
}

#[test]
fn a_store_that_is_not_there_is_named_and_not_made() {
    let place = Place::new();
    for command in ["read", "stats", "verify"] {
        let ran = place.run(&format!("{command} --store absent"));
        ran.failed(1, &["there is no store at absent"]);
        assert!(ran.stdout.is_empty());
    }
    assert!(!place.path().join("absent").exists());
}

#[test]
fn a_path_that_is_a_file_is_no_store() {
    let place = Place::new();
    place.file("events", line(0));
    place.file("file", "content");
    for command in ["import events", "read", "stats", "verify"] {
        place.run(&format!("{command} --store file")).failed(1, &["file is not a directory"]);
    }
    assert_eq!(fs::read(place.path().join("file")).unwrap(), b"content");
}

#[test]
fn a_directory_with_other_files_is_no_store_and_is_left_alone() {
    let place = Place::new();
    place.file("events", line(0));
    fs::create_dir(place.path().join("photos")).unwrap();
    place.file("photos/beach.jpg", "content");
    for command in ["import events", "read", "stats", "verify"] {
        place.run(&format!("{command} --store photos")).failed(1, &["photos", "no store"]);
    }
    assert_eq!(fs::read_dir(place.path().join("photos")).unwrap().count(), 1);
}

/// An import into a place where none can be made said that there was no store.
#[cfg(unix)]
#[test]
fn a_path_that_leads_nowhere_is_told_as_what_it_is() {
    let place = Place::new();
    place.file("events", line(0));
    std::os::unix::fs::symlink(place.path().join("nothing"), place.path().join("link")).unwrap();
    for command in ["import events", "read", "stats", "verify", "repair"] {
        let ran = place.run(&format!("{command} --store link"));
        ran.failed(1, &["link", "a symbolic link to where nothing is"]);
        let ran = place.run(&format!("{command} --store events/below"));
        ran.failed(1, &["events is not a directory"]);
    }
    if std::path::Path::new("/proc/self").exists() {
        place.run("import events --store /proc/x").failed(1, &["can not make /proc/x"]);
    }
    assert!(!place.path().join("nothing").exists());
}

/// Every help names the exit codes or shows what to type.
#[test]
fn each_help_ends_with_examples() {
    let place = Place::new();
    assert!(place.run("--help").printed().contains("4  nothing was found"));
    for command in ["", "read", "repair", "salvage", "stats", "verify"] {
        let ran = place.run(&format!("{command} --help"));
        let (_, examples) = ran.printed().split_once("Examples:\n").unwrap();
        let count = examples.lines().filter(|line| line.starts_with("  annals ")).count();
        assert!(
            (1..=3).contains(&count) && count == examples.lines().count(),
            "{command}: {ran:?}"
        );
    }
}
