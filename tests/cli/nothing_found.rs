//! Names that match nothing are told on standard error, with exit code 4.

use annals::{EventStore, ExpectedVersion, FileStore, NewEvent, StreamId, TenantId};

use crate::program::Place;

/// A place whose store holds building permits, a payment with a tag, and a tenant.
fn filled() -> Place {
    let place = Place::new();
    let store = FileStore::open(place.store()).unwrap();
    let append = |category: &str, id: &str, event: NewEvent| {
        let stream = StreamId::new(category, id).unwrap();
        store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
    };
    append("BuildingPermit", "case-891", NewEvent::new("Confirmed", "{}"));
    append("BuildingPermit", "urn:case:7", NewEvent::new("Requested", "{}"));
    let tenant = TenantId::new("acme").unwrap();
    append("Payment", "p-1", NewEvent::new("Paid", "5").tag("customer:7").tenant(tenant));
    store.close().unwrap();
    place
}

#[track_caller]
fn assert_told(place: &Place, arguments: &str, parts: &[&str]) {
    for form in ["", "--json "] {
        let ran = place.run(&format!("read --store store {form}{arguments}"));
        ran.failed(4, parts);
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
}

#[test]
fn a_stream_that_is_not_there_is_told_with_the_one_that_was_meant() {
    let place = filled();
    for (asked, meant) in [
        ("BuildingPermit:case-891", "case-891:BuildingPermit"),
        ("BuildingPermit:urn:case:7", "urn:case:7:BuildingPermit"),
        ("case-891:Payment", "case-891:BuildingPermit"),
        ("case-891:Buildingpermit", "case-891:BuildingPermit"),
        ("case-819:BuildingPermit", "case-891:BuildingPermit"),
        ("CASE-891:BuildingPermit", "case-891:BuildingPermit"),
    ] {
        let expected = format!("no stream {asked}; did you mean {meant}?");
        assert_told(&place, &format!("--stream {asked}"), &[&expected]);
    }
    let ran = place.run("read --store store --stream nothing-like-it:Invoice");
    ran.failed(4, &["no stream nothing-like-it:Invoice"]);
    assert!(!ran.stderr.contains("did you mean"), "{ran:?}");
}

#[test]
fn every_kind_of_name_that_is_not_there_is_told() {
    let place = filled();
    for (arguments, expected) in [
        ("--category Buildingpermit", "no category Buildingpermit; did you mean BuildingPermit?"),
        ("--event-type confirmed", "no event type confirmed; did you mean Confirmed?"),
        ("--event-type Confirmd", "no event type Confirmd; did you mean Confirmed?"),
        ("--tenant acne", "no event of tenant acne; did you mean acme?"),
        ("--tenant nope", "no event of tenant nope"),
        ("--tag customer:8", "no event with tag customer:8; did you mean customer:7?"),
        (
            "--correlation 00000000-0000-0000-0000-000000000009",
            "no event with correlation id 00000000-0000-0000-0000-000000000009",
        ),
        ("--category Payment --event-type Confirmed", "nothing matches all that was asked for"),
        ("--recorded-to 1999-01-01T00:00:00Z", "nothing matches all that was asked for"),
    ] {
        assert_told(&place, arguments, &[expected]);
    }
    // Each of several is told.
    let both = ["no category Nope", "no event type Never"];
    assert_told(&place, "--category Nope --event-type Never", &both);
}

#[test]
fn ranges_in_which_nothing_can_lie_are_told() {
    let place = filled();
    for (arguments, expected) in [
        ("--from 10 --to 5", "nothing lies within --from 10 --to 5"),
        ("--after 3 --before 4", "nothing lies within --after 3 --before 4"),
        ("--after 18446744073709551615", "nothing lies within --after 18446744073709551615"),
        ("--from 100", "the store ends at position 3, before --from 100"),
        ("--after 3", "the store ends at position 3, before --after 3"),
        (
            "--stream case-891:BuildingPermit --from 2",
            "stream case-891:BuildingPermit ends at version 1, before --from 2",
        ),
    ] {
        assert_told(&place, arguments, &[expected]);
    }
}

#[test]
fn one_of_several_event_types_that_is_not_there_is_told_beside_what_is_found() {
    let place = filled();
    let ran = place.run("read --store store --event-type Paid --event-type Confirmd");
    ran.failed(0, &["no event type Confirmd; did you mean Confirmed?"]);
    assert_eq!(ran.stdout.lines().count(), 1);
}

#[test]
fn nothing_that_was_not_looked_for_is_no_failure() {
    let place = filled();
    assert_eq!(place.run("read --store store --limit 0").printed(), "");
    FileStore::open(place.path().join("empty")).unwrap().close().unwrap();
    let ran = place.run("read --store empty");
    ran.failed(0, &["the store holds no events"]);
    place.run("read --store empty --category Order").failed(4, &["the store holds no events"]);
}

#[test]
fn a_stream_whose_type_cannot_be_one_is_turned_round() {
    let place = filled();
    let mut command = place.command("read --store store --stream");
    let ran = crate::program::Ran::from(command.arg("BuildingPermit:case 891").output().unwrap());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("did you mean case 891:BuildingPermit?"), "{ran:?}");
}
