//! `repair` and `salvage`: what they say, what they wait for, and what is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use annals::{EventStore, FileStore, GlobalRead};

use crate::damage::{damaged, files_below};
use crate::program::{Place, events_of, lines};

/// Every file below a directory with its bytes and when it was changed, and every directory.
fn state(directory: impl Into<PathBuf>) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let directory = directory.into();
    let changed = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let files = files_below(directory.clone()).into_iter();
    let mut state: Vec<_> =
        files.map(|path| (path.clone(), fs::read(&path).unwrap(), changed(&path))).collect();
    for name in ["", "log", "index"] {
        let path = directory.join(name);
        state.push((path.clone(), Vec::new(), changed(&path)));
    }
    state.sort();
    state
}

/// The damaged line: the rest of its batch is kept.
const LOST: std::ops::Range<usize> = 1000..1001;

#[track_caller]
fn assert_holds_all_but_the_lost(store: &Path) {
    let events = events_of(store);
    assert_eq!(events.len(), 2000 - LOST.len());
    let indices = (0..2000).filter(|index| !LOST.contains(index));
    for (event, index) in events.iter().zip(indices) {
        assert_eq!(event.payload(), format!(r#"{{"n":{index}}}"#).as_bytes());
        assert_eq!(event.global_position().get(), index as u64 + 1);
        assert_eq!(event.stream_version().get(), index as u64 / 7 + 1);
    }
}

#[test]
fn a_dry_run_of_a_repair_prints_the_plan_and_changes_nothing() {
    let (place, ..) = damaged();
    let before = state(place.store());
    let ran = place.run("repair --store store --dry-run");
    assert!(ran.printed().contains("position 1001 is lost"), "{ran:?}");
    assert!(ran.printed().contains("planned: 1 position lost in 1 place"), "{ran:?}");
    assert!(state(place.store()) == before);
}

#[test]
fn a_repair_that_nobody_agreed_to_prints_the_plan_and_exits_with_3() {
    let (place, ..) = damaged();
    let before = state(place.store());
    let ran = place.run("repair --store store");
    ran.failed(3, &["nothing was changed", "--yes"]);
    assert!(ran.stdout.contains("position 1001 is lost"), "{ran:?}");
    assert!(state(place.store()) == before);
    place.run("repair --store store --yes --dry-run");
    assert!(state(place.store()) == before);
}

#[test]
fn a_repaired_store_takes_events_again_and_tells_what_is_lost() {
    let (place, file, _) = damaged();
    let log = fs::read(&file).unwrap();
    let ran = place.run("repair --store store --yes --json");
    let report: serde_json::Value = serde_json::from_str(ran.printed()).unwrap();
    assert_eq!((&report["done"], &report["lost_positions"]), (&true.into(), &1.into()));
    assert_eq!(report["given_up"][0]["first_lost"], 1001);
    assert_eq!(report["given_up"][0]["first_good_after"], 1002);
    assert!(fs::read(&file).unwrap() == log, "the log stays as it is");
    assert_holds_all_but_the_lost(&place.store());

    let verified = place.run("verify --store store");
    let verdict = verified.printed().lines().last().unwrap();
    assert!(verdict.starts_with("repaired, 1 position lost: 1999 events"), "{verdict}");
    let stats = place.run("stats --store store --json");
    let stats: serde_json::Value = serde_json::from_str(stats.printed()).unwrap();
    assert_eq!((&stats["events"], &stats["lost"]), (&1999.into(), &1.into()));

    // The lines that were lost are new again; the others are recognised.
    place.run("import events --store store").printed();
    let store = FileStore::open_read_only(place.store()).unwrap();
    let new = store.read_all(GlobalRead::new().from(2001)).unwrap().map(Result::unwrap);
    assert_eq!(new.count(), LOST.len());
    assert_eq!(store.global_position().unwrap().get(), 2001);

    assert_eq!(place.run("repair --store store").printed(), "there is nothing to repair\n");
}

#[test]
fn a_healthy_store_is_not_touched_by_a_repair() {
    let place = Place::new();
    place.file("events", lines(100));
    place.run("import events --store store").printed();
    let before = state(place.store());
    for arguments in ["", " --dry-run"] {
        let ran = place.run(&format!("repair --store store{arguments}"));
        assert_eq!(ran.printed(), "there is nothing to repair\n");
        assert!(state(place.store()) == before);
    }
    place.run("repair --store store --yes").printed();
    let names = |state: &[(PathBuf, Vec<u8>, SystemTime)]| {
        state.iter().map(|(path, bytes, _)| (path.clone(), bytes.clone())).collect::<Vec<_>>()
    };
    assert!(names(&state(place.store())) == names(&before));
}

#[test]
fn a_salvage_copies_what_verifies_and_leaves_the_store_as_it_is() {
    let (place, ..) = damaged();
    let before = state(place.store());
    let copy = place.path().join("copy");
    let dry = place.run("salvage --store store --to copy --dry-run");
    assert!(dry.printed().contains("position 1001 is lost"), "{dry:?}");
    place.run("salvage --store store --to copy").failed(3, &["nothing was changed"]);
    assert!(!copy.exists());
    place.run("salvage --store store --to copy --yes").printed();
    assert!(state(place.store()) == before);
    assert_holds_all_but_the_lost(&copy);
    place.run("import events --store copy").printed();
    assert_eq!(place.run("verify --store copy").code, Some(0));

    let full = state(copy.clone());
    place.run("salvage --store store --to copy --yes").failed(1, &["there is a store at"]);
    assert!(state(copy) == full);
}

/// A copy inside of its source was made, and so changed the source.
#[test]
fn a_salvage_into_its_source_is_refused_and_makes_nothing() {
    let (place, ..) = damaged();
    let before = state(place.store());
    for to in
        ["store", "store/inside", "store/log/deep/er", "store/new/../inside", "./store/../store/x"]
    {
        for agreement in ["--yes", "--dry-run", ""] {
            let ran = place.run(&format!("salvage --store store --to {to} {agreement}"));
            ran.failed(1, &["store"]);
            let is_told = ["lies inside the store", "there is a store at"];
            assert!(is_told.iter().any(|part| ran.stderr.contains(part)), "{to}: {ran:?}");
        }
    }
    assert!(state(place.store()) == before);
    assert!(!place.store().join("new").exists());
}

/// The advice was to choose an empty directory.
#[test]
fn a_missing_store_file_is_told_with_the_way_out() {
    let place = Place::new();
    place.file("events", lines(100));
    place.run("import events --store store").printed();
    fs::remove_file(place.store().join("STORE")).unwrap();
    for command in ["read", "stats", "verify", "import events"] {
        let ran = place.run(&format!("{command} --store store"));
        ran.failed(1, &["the file STORE is missing", "annals repair"]);
        assert!(!ran.stderr.contains("empty directory"), "{ran:?}");
    }
    let plan = place.run("repair --store store --dry-run");
    assert!(plan.printed().contains("0 positions lost in 0 places"), "{plan:?}");
    place.run("repair --store store --yes").printed();
    assert_eq!(place.events().len(), 100);
}

#[test]
fn a_store_without_its_identity_is_repaired_with_all_its_events() {
    let place = Place::new();
    place.file("events", lines(2000));
    place.run("import events --store store --batch 100").printed();
    fs::remove_file(place.store().join("STORE")).unwrap();
    place.run("repair --store store --yes").printed();
    assert_eq!(place.events().len(), 2000);
    assert_eq!(place.run("verify --store store").code, Some(0));
}

#[test]
fn an_error_for_damage_names_the_way_out() {
    let (place, ..) = damaged();
    place.run("import events --store store").failed(1, &["annals repair --dry-run"]);
}

#[test]
fn a_path_without_a_store_is_not_repaired() {
    let place = Place::new();
    place.run("repair --store nothing --yes").failed(1, &["there is no store at"]);
    place.file("notes", "no store");
    place.run("repair --store . --yes").failed(1, &["there is no store at"]);
    assert!(!place.path().join("LOCK").exists());
}
