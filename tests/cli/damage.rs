//! `verify` and `read` of a store whose bytes have changed.

use std::fs;
use std::path::PathBuf;

use crate::program::{Place, lines};

/// A place whose store was closed cleanly and then had a byte of a payload changed.
///
/// Returns the file with that byte and where in it the payload begins.
pub(crate) fn damaged() -> (Place, PathBuf, usize) {
    let place = Place::new();
    place.file("events", lines(2000));
    place.run("import events --store store --batch 100").printed();
    let payload = br#"{"n":1000}"#;
    for file in files_below(place.store()) {
        let mut bytes = fs::read(&file).unwrap();
        if let Some(at) = bytes.windows(payload.len()).position(|bytes| bytes == payload) {
            bytes[at + 5] ^= 1;
            fs::write(&file, bytes).unwrap();
            return (place, file, at);
        }
    }
    panic!("no file of the store holds the payload");
}

pub(crate) fn files_below(directory: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(path) } else { vec![path] }).collect()
}

#[test]
fn verify_names_file_offset_and_positions_of_damage_and_exits_with_1() {
    let (place, file, _) = damaged();
    let ran = place.run("verify --store store");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let name = file.file_name().unwrap().to_str().unwrap();
    let finding = ran.stdout.lines().find(|line| line.starts_with("damage: ")).unwrap();
    assert!(finding.contains(name) && finding.contains("at offset "), "{finding}");
    assert!(finding.contains("position 1001 is lost"), "{finding}");
    assert!(ran.stdout.lines().last().unwrap().starts_with("damaged: "), "{ran:?}");

    let ran = place.run("verify --store store --json");
    assert_eq!(ran.code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["intact"], false);
    let finding = &report["findings"][0];
    assert_eq!(finding["severity"], "damage");
    let lost =
        finding["first_lost"].as_u64().unwrap()..finding["first_good_after"].as_u64().unwrap();
    assert!(lost.contains(&1001), "{finding}");
}

#[test]
fn read_prints_what_is_before_the_damage_and_then_fails() {
    let (place, ..) = damaged();
    let ran = place.run("read --store store");
    ran.failed(1, &["damage in ", "at offset "]);
    let printed = ran.stdout.lines().count();
    assert!((900..=1000).contains(&printed), "{printed}");
    for (index, line) in ran.stdout.lines().enumerate() {
        assert!(line.ends_with(&format!("{{\"n\":{index}}}")), "{line}");
    }
    let behind = place.run("read --store store --from 1101");
    assert_eq!(behind.printed().lines().count(), 900);
}

#[test]
fn import_into_a_damaged_store_is_refused_and_changes_nothing() {
    let (place, file, _) = damaged();
    let before = fs::read(&file).unwrap();
    place.run("import events --store store").failed(1, &["damage in ", "at offset "]);
    assert!(fs::read(&file).unwrap() == before);
}

/// A place of a file that cannot be given back ended the program with SIGBUS, as long as it looked through maps.
#[cfg(unix)]
#[test]
fn files_cut_short_under_a_command_end_it_with_an_error_and_no_signal() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    for arguments in ["", "--skip-damage", "--stream order-3:Order", "--backward"] {
        let place = Place::new();
        place.file("events", lines(20_000));
        place.run("import events --store store").printed();
        let mut command = place.command("read --store store");
        command.args(arguments.split_whitespace());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        // The pipe is full by now, and most of the store still to be read.
        output.read_line(&mut line).unwrap();
        for file in files_below(place.store()) {
            let is_read = file.extension().is_some_and(|it| it == "seg" || it == "run");
            let file = is_read.then(|| fs::File::options().write(true).open(&file).unwrap());
            file.iter().for_each(|file| file.set_len(4096).unwrap());
        }
        output.read_to_string(&mut line).unwrap();
        let ran = crate::program::Ran::from(child.wait_with_output().unwrap());
        ran.failed(1, &["annals: "]);
    }
}
