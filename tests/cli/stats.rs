//! `stats` and `verify`, of a sound store and of a damaged one.

use std::fs;

use annals::FileStore;

use crate::damage::{damaged, files_below};
use crate::program::{Place, lines};

fn filled() -> Place {
    let place = Place::new();
    place.file("events", lines(28));
    place.run("import events --store store").printed();
    place
}

#[test]
fn stats_counts_events_streams_categories_and_types() {
    let place = filled();
    let ran = place.run("stats --store store --json");
    let stats: serde_json::Value = serde_json::from_str(ran.printed()).unwrap();
    assert_eq!((&stats["events"], &stats["streams"]), (&28.into(), &7.into()));
    assert_eq!(
        stats["categories"],
        serde_json::json!({
            "Order": { "streams": 7, "events": 28, "event_types": { "Paid": 14, "Placed": 14 } }
        })
    );
    assert_eq!(stats["first_recorded_at"], stats["last_recorded_at"]);
    assert!(stats["first_recorded_at"].as_str().unwrap().ends_with('Z'));
    assert!(stats["disk_bytes"].as_u64() >= stats["log_bytes"].as_u64());
    assert!(stats["log_bytes"].as_u64() > Some(28));
    assert_eq!((&stats["records"], &stats["record_bytes"]), (&0.into(), &0.into()));
    assert_eq!(stats["store_id"].as_str().unwrap().len(), 36);
    assert!(stats["segments"].as_u64() >= Some(1) && stats["format_version"].is_u64());

    let text = place.run("stats --store store");
    assert!(text.printed().contains("Order: 28 events in 7 streams"), "{text:?}");
}

#[test]
fn stats_of_an_empty_store_are_zero() {
    let place = Place::new();
    FileStore::open(place.store()).unwrap().close().unwrap();
    let ran = place.run("stats --store store --json");
    let stats: serde_json::Value = serde_json::from_str(ran.printed()).unwrap();
    assert_eq!((&stats["events"], &stats["streams"]), (&0.into(), &0.into()));
    assert!(stats["first_recorded_at"].is_null());
    place.run("stats --store store").printed();
}

#[test]
fn verify_finds_a_sound_store_intact() {
    let place = filled();
    let ran = place.run("verify --store store");
    assert!(ran.printed().starts_with("intact: 28 events in "), "{ran:?}");
    let ran = place.run("verify --store store --json");
    let report: serde_json::Value = serde_json::from_str(ran.printed()).unwrap();
    assert_eq!((&report["intact"], &report["events"]), (&true.into(), &28.into()));
    assert_eq!(report["findings"], serde_json::json!([]));
}

/// `stats` told of half of the disk, and of fewer segments than `verify`.
#[cfg(unix)]
#[test]
fn stats_measures_every_file_of_the_store() {
    use std::os::unix::fs::MetadataExt;

    let place = Place::new();
    place.file("events", lines(20_000));
    place.run("import events --store store").printed();
    fs::create_dir(place.store().join("cut")).unwrap();
    fs::write(place.store().join("cut/kept.bin"), vec![7; 100_000]).unwrap();
    let ran = place.run("stats --store store --json");
    let stats: serde_json::Value = serde_json::from_str(ran.printed()).unwrap();
    let taken = |directory| -> u64 {
        files_below(directory).iter().map(|file| fs::metadata(file).unwrap().blocks() * 512).sum()
    };
    assert_eq!(stats["disk_bytes"].as_u64().unwrap(), taken(place.store().join("log")));
    assert_eq!(stats["total_bytes"].as_u64().unwrap(), taken(place.store()));
    let ran = place.run("verify --store store --json");
    let report: serde_json::Value = serde_json::from_str(ran.printed()).unwrap();
    assert_eq!(stats["segments"], report["segments"]);
    let text = place.run("stats --store store");
    assert!(text.printed().contains("total bytes"), "{text:?}");
}

/// Of a damaged store `stats` printed nothing.
#[test]
fn stats_of_a_damaged_store_counts_what_verifies_and_exits_with_1() {
    let (place, file, _) = damaged();
    let ran = place.run("stats --store store --json");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let stats: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(stats["intact"], false);
    let (events, missing) = (stats["events"].as_u64().unwrap(), stats["missing"].as_u64().unwrap());
    assert!(missing >= 1 && events + missing == 2000, "{stats}");
    assert_eq!(stats["categories"]["Order"]["events"].as_u64(), Some(events));
    assert!(stats["total_bytes"].as_u64() >= stats["disk_bytes"].as_u64());
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(stats["findings"][0]["file"].as_str().unwrap().ends_with(name), "{stats}");

    let ran = place.run("stats --store store");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("disk bytes") && ran.stdout.contains("damage: "), "{ran:?}");
}

/// What can be known of a store whose own file is gone or no longer verifies is how large it is.
#[test]
fn stats_of_a_store_that_does_not_open_tells_its_sizes_and_exits_with_1() {
    type Harm = fn(&std::path::Path);
    let harms: [Harm; 3] = [
        |file| fs::remove_file(file).unwrap(),
        |file| fs::write(file, [7; 128]).unwrap(),
        |file| fs::write(file, "").unwrap(),
    ];
    for harm in harms {
        let place = filled();
        harm(&place.store().join("STORE"));
        let ran = place.run("stats --store store --json");
        ran.failed(1, &["STORE"]);
        let stats: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(stats["intact"], false);
        assert!(stats["segments"].as_u64() >= Some(1) && stats["total_bytes"].as_u64() > Some(0));
        let ran = place.run("stats --store store");
        ran.failed(1, &["STORE"]);
        assert!(ran.stdout.contains("total bytes") && ran.stdout.contains("a repair: "), "{ran:?}");
    }
}
