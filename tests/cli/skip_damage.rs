//! `read --skip-damage`: every event that verifies is printed, and every other is named.

use std::collections::BTreeSet;
use std::fs;

use annals::{EventStore, ExpectedVersion, FileStore, GlobalRead, NewEvent, StreamId};

use crate::damage::{damaged, files_below};
use crate::program::{Place, Ran, lines};

/// The global positions that a run printed, in order.
fn printed(ran: &Ran) -> Vec<u64> {
    let parsed = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    parsed.map(|event: serde_json::Value| event["global_position"].as_u64().unwrap()).collect()
}

/// No store of these tests holds more events.
const EVENTS_MAX: u64 = 3000;

/// The global positions that a run named as missing.
fn missing(ran: &Ran) -> BTreeSet<u64> {
    let lines =
        ran.stderr.lines().filter_map(|line| line.strip_prefix("annals: missing: position"));
    let ranges = lines.map(|line| {
        let range = line.trim_start_matches('s').split(':').next().unwrap().trim();
        let is_open = range.strip_prefix("from ").and_then(|range| range.strip_suffix(" on"));
        match (range.split_once(" to "), is_open) {
            (Some((first, last)), _) => first.parse().unwrap()..=last.parse().unwrap(),
            (None, Some(first)) => first.parse().unwrap()..=EVENTS_MAX,
            (None, None) => range.parse().unwrap()..=range.parse::<u64>().unwrap(),
        }
    });
    ranges.flatten().collect()
}

#[track_caller]
fn assert_all_told(ran: &Ran, positions: impl Iterator<Item = u64>) {
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let printed: BTreeSet<u64> = printed(ran).into_iter().collect();
    let missing = missing(ran);
    assert!(!missing.is_empty() && printed.is_disjoint(&missing), "{}", ran.stderr);
    assert_eq!(&printed | &missing, positions.collect(), "{}", ran.stderr);
}

#[test]
fn what_is_behind_damage_is_printed_and_what_is_missing_is_named() {
    let (place, file, _) = damaged();
    let ran = place.run("read --store store --json --skip-damage");
    assert_all_told(&ran, 1..=2000);
    assert!(missing(&ran).contains(&1001), "{}", ran.stderr);
    assert!(printed(&ran).is_sorted());
    let name = file.file_name().unwrap().to_str().unwrap();
    let told = ran.stderr.lines().find(|line| line.contains("missing: position")).unwrap();
    assert!(told.contains(name) && told.contains("at offset "), "{told}");

    let backward = place.run("read --store store --json --skip-damage --backward");
    let mut reversed = printed(&backward);
    reversed.reverse();
    assert_eq!((reversed, missing(&backward)), (printed(&ran), missing(&ran)));
}

#[test]
fn without_the_option_a_read_stops_at_the_damage_and_names_the_option() {
    let (place, ..) = damaged();
    let ran = place.run("read --store store");
    ran.failed(1, &["damage in ", "--skip-damage"]);
    assert!((900..=1000).contains(&ran.stdout.lines().count()));
}

#[test]
fn every_kind_of_read_passes_over_damage() {
    let (place, ..) = damaged();
    let whole = place.run("read --store store --json --skip-damage");
    let (whole, gone) = (printed(&whole), missing(&whole));
    let read = |arguments: &str| {
        place.run(&format!("read --store store --json --skip-damage {arguments}"))
    };
    let order = |position: &u64| (position - 1) % 7;
    let of_stream: Vec<u64> = whole.iter().copied().filter(|it| order(it) == 6).collect();
    // The damaged event is number 1000, of stream 1000 % 7 = 6.
    let ran = read("--stream order-6:Order");
    assert_eq!((ran.code, printed(&ran)), (Some(1), of_stream), "{}", ran.stderr);
    let of_type = |is_placed: bool| -> Vec<u64> {
        whole.iter().copied().filter(|position| (position % 2 == 1) == is_placed).collect()
    };
    let ran = read("--event-type Placed");
    assert_eq!((ran.code, printed(&ran)), (Some(1), of_type(true)), "{}", ran.stderr);
    let ran = read("--category Order --from 990 --to 1110");
    let within: BTreeSet<u64> = (990..=1110).collect();
    let expected: Vec<u64> = whole.iter().copied().filter(|it| within.contains(it)).collect();
    assert_eq!((ran.code, printed(&ran)), (Some(1), expected), "{}", ran.stderr);
    assert_eq!(missing(&ran), gone);
    let ran = read("--from 990 --limit 20");
    assert_eq!(printed(&ran).len(), 20);
    // What no damage concerns is read as of a sound store.
    let ran = read("--to 900");
    assert_eq!((ran.code, ran.stderr.as_str(), printed(&ran).len()), (Some(0), "", 900));
}

/// Damage in many places, of many kinds, with the index and without: nothing is passed over in silence.
#[test]
fn wherever_damage_lies_every_position_is_printed_or_named() {
    let place = Place::new();
    place.file("events", lines(3000));
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for round in 0..12 {
        let _ = fs::remove_dir_all(place.store());
        place.run("import events --store store --batch 30").printed();
        let log = files_below(place.store().join("log"));
        let mut segments: Vec<_> =
            log.into_iter().filter(|it| it.to_str().unwrap().ends_with(".seg")).collect();
        segments.sort();
        let file = &segments[0];
        let mut bytes = fs::read(file).unwrap();
        for _ in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            let at = 4096 + usize::try_from(random >> 33).unwrap() % (used - 8192);
            bytes[at] ^= 1 << (random & 7);
        }
        fs::write(file, &bytes).unwrap();
        if round % 2 == 1 {
            fs::remove_dir_all(place.store().join("index")).unwrap();
        }
        // A whole page, with the beginnings of commits in it whose other events still verify.
        let page = 4096 * (2 + usize::try_from(random >> 60).unwrap());
        bytes[page..page + 4096].fill(0);
        fs::write(file, &bytes).unwrap();
        let ran = place.run("read --store store --json --skip-damage");
        assert_all_told(&ran, 1..=3000);
        let backward = place.run("read --store store --json --skip-damage --backward");
        let mut reversed = printed(&backward);
        reversed.reverse();
        assert_eq!(reversed, printed(&ran), "round {round}: {}", ran.stderr);
        let alone = gaps_that_verify(&place, &missing(&ran));
        assert_eq!(alone, [0; 0], "round {round}: each of these can be read by itself");
    }
}

/// Those of some positions that the library can read, asked for one by one.
fn gaps_that_verify(place: &Place, positions: &BTreeSet<u64>) -> Vec<u64> {
    let store = FileStore::open_read_only(place.store()).unwrap();
    let verifies = |position: &u64| {
        let options = GlobalRead::new().from(*position).to(*position).backward();
        store.read_all(options).unwrap().next().is_some_and(|event| event.is_ok())
    };
    positions.iter().copied().filter(verifies).collect()
}

#[test]
fn a_store_whose_last_event_is_damaged_is_read_up_to_there() {
    let place = Place::new();
    let stream = StreamId::new("Task", "x").unwrap();
    let store = FileStore::open(place.store()).unwrap();
    for payload in ["first", "second", "unmistakable"] {
        store.append(&stream, ExpectedVersion::Any, vec![NewEvent::new("Done", payload)]).unwrap();
    }
    store.close().unwrap();
    for file in files_below(place.store()) {
        let mut bytes = fs::read(&file).unwrap();
        if let Some(at) = bytes.windows(12).position(|bytes| bytes == b"unmistakable") {
            bytes[at] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
    }
    let ran = place.run("read --store store --json --skip-damage");
    assert_all_told(&ran, 1..=3);
    assert_eq!(printed(&ran), [1, 2]);
}

#[test]
fn a_store_whose_last_segments_are_missing_is_read_up_to_there_and_named_as_cut() {
    let place = Place::new();
    place.file("events", lines(3000));
    place.run("import events --store store --batch 30").printed();
    let log = files_below(place.store().join("log"));
    let mut segments: Vec<_> =
        log.into_iter().filter(|it| it.to_str().unwrap().ends_with(".seg")).collect();
    segments.sort();
    assert!(segments.len() > 1, "{segments:?}");
    segments.drain(1..).for_each(|segment| fs::remove_file(segment).unwrap());
    let ran = place.run("read --store store --json --skip-damage");
    assert_all_told(&ran, 1..=EVENTS_MAX);
    let without = place.run("read --store store --json");
    assert_eq!((without.code, printed(&without)), (Some(1), printed(&ran)), "{}", without.stderr);
}

/// A device that gives nothing back from some call on, also while the read is being prepared.
#[cfg(target_os = "linux")]
#[test]
fn a_device_that_fails_at_any_call_is_told_and_hides_nothing() {
    let place = Place::new();
    place.file("events", lines(500));
    place.run("import events --store store").printed();
    let tried = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: a_device_that_fails_at_any_call_is_told_and_hides_nothing");
        return;
    }
    let mut reached = 0;
    for (call, selection) in (4..40).step_by(3).zip(["", "--stream order-3:Order"].iter().cycle()) {
        let mut command = std::process::Command::new("strace");
        let inject = format!("inject=pread64:error=EIO:when={call}+");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=pread64", "-e", &inject]);
        command.arg(crate::program::PROGRAM).current_dir(place.path());
        command.args("read --store store --json --skip-damage".split(' '));
        command.args(selection.split_whitespace());
        let ran = Ran::from(command.output().unwrap());
        assert!(matches!(ran.code, Some(0 | 1)), "call {call}: {ran:?}");
        let wanted = |position: &u64| selection.is_empty() || (position - 1) % 7 == 3;
        let told: BTreeSet<u64> = printed(&ran).into_iter().chain(missing(&ran)).collect();
        let is_opened = !ran.stderr.contains("annals: can not read");
        assert!(!is_opened || (1..=500).filter(wanted).all(|it| told.contains(&it)), "{ran:?}");
        reached += usize::from(!missing(&ran).is_empty());
    }
    assert!(reached > 0, "no call of a read was reached");
}
