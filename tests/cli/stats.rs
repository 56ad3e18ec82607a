//! `stats` and `verify` of a sound store.

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
    place.run_with("import - --store store", b"").printed();
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
