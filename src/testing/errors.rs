//! Clauses E1 and E2: errors that are told apart by type, and a store that goes on.

use std::error::Error as _;

use super::Harness;
use super::material::*;
use crate::error::Error;
use crate::event::NewEvent;
use crate::store::{
    Commit, ExpectedVersion, FailIfMatches, Filter, OnDuplicate, Query, QueryItem, ReadOptions,
};

pub(super) fn e1_rejections_are_told_apart_and_say_what_happened(harness: &dyn Harness) {
    let store = open(harness);
    let known = event("1");
    put(&store, "a", vec![known.clone()]);
    let append = |expected, events: Vec<NewEvent>| {
        let events = events.clone();
        refused(&store, |store| store.append(&stream("a"), expected, events))
    };
    let commit = |commit: Commit| refused(&store, |store| store.commit(commit));
    let any = ExpectedVersion::Any;
    let errors = [
        append(ExpectedVersion::exact(9), events(["x"])),
        append(any, vec![event("other").id(known.event_id())]),
        append(any, vec![event("x").claims_version(9)]),
        append(any, vec![event("x").tag("t".repeat(256))]),
        append(any, vec![event("x").tag("")]),
        commit(Commit::new().condition(FailIfMatches::new(Query::all()))),
        commit(
            Commit::new()
                .append(&stream("a"), any, vec![known, event("x")])
                .on_duplicate(OnDuplicate::Reject),
        ),
    ];
    assert!(matches!(
        &errors,
        [
            Error::Conflict { .. },
            Error::EventIdTaken { .. },
            Error::VersionMismatch { .. },
            Error::Limit { .. },
            Error::InvalidName { .. },
            Error::CommitRefused { .. },
            Error::DuplicateEvent { .. },
        ]
    ));
    let conflicts = errors.each_ref().map(Error::is_conflict);
    assert_eq!(conflicts, [true, false, false, false, false, true, false]);
    assert!(errors.iter().all(|error| error.source().is_none() && !error.to_string().is_empty()));
    assert!(errors[0].to_string().contains("a:Order"), "{}", errors[0]);
}

pub(super) fn e2_names_that_break_the_rules_are_refused_in_events(harness: &dyn Harness) {
    let store = open(harness);
    for bad in ["", "\0", "a\nb", "\u{1b}[31m", "\u{7f}", "\u{9f}"] {
        for new in [NewEvent::new(bad, "x"), event("x").tag("good").tag(bad)] {
            let batch = vec![event("good"), new];
            let append = |store: &Store| store.append(&stream("a"), ExpectedVersion::Any, batch);
            let error = refused(&store, append);
            assert!(matches!(error, Error::InvalidName { .. }), "{bad:?}: {error}");
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
        }
    }
    assert_eq!(version(&store, "a"), 0);
}

pub(super) fn e2_odd_names_and_payloads_come_back_as_they_went_in(harness: &dyn Harness) {
    let store = open(harness);
    let names =
        ["a b", "a:b", "../..", "'; DROP TABLE events; --", "é", "🦀", "\u{202e}", "{}", "%s"];
    for name in names {
        put(&store, name, vec![NewEvent::new(name, name).tag(name).metadata(name, name)]);
    }
    for name in names {
        let read = store.load_stream(&stream(name), ReadOptions::new()).unwrap();
        let [read] = read.events() else { panic!("not one event: {name:?}") };
        assert_eq!((read.event_type(), read.payload()), (name, name.as_bytes()));
        assert_eq!(read.tags().collect::<Vec<_>>(), [name]);
        assert_eq!(read.metadata().unwrap().get(name).unwrap(), name);
        let by_tag = QueryItem::new().tag(name).event_type(name).into();
        assert_eq!(&collected(store.read(&by_tag, ReadOptions::new()))[0], read);
    }
}

pub(super) fn e2_names_that_no_event_has_are_refused_in_reads(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1"]));
    let filters = [
        Filter::new().event_type(""),
        Filter::new().event_type("a\nb"),
        Filter::new().tag("\0"),
        Filter::new().aggregate_type("a b"),
    ];
    for filter in filters {
        let of_store = store.read_all(ReadOptions::new().filter(filter.clone()));
        assert!(matches!(of_store, Err(Error::InvalidName { .. })), "{filter:?}");
        for id in ["a", "absent"] {
            let options = ReadOptions::new().filter(filter.clone());
            let of_stream = store.read_stream(&stream(id), options);
            assert!(matches!(of_stream, Err(Error::InvalidName { .. })), "{filter:?} in {id}");
        }
    }
    let too_long = ReadOptions::new().filter(Filter::new().tag("t".repeat(256)));
    assert!(matches!(store.read_all(too_long), Err(Error::Limit { .. })));
    for name in ["", "a b", "a\n"] {
        let of_category = store.read_category(name, ReadOptions::new());
        assert!(matches!(of_category, Err(Error::InvalidName { .. })), "{name:?}");
        let query = Query::category(name);
        assert!(matches!(store.read(&query, ReadOptions::new()), Err(Error::InvalidName { .. })));
        let commit = Commit::new().condition(FailIfMatches::new(query));
        let error = refused(&store, |store| store.commit(commit));
        assert!(matches!(error, Error::InvalidName { .. }), "{error}");
    }
    assert_eq!(payloads(&store, "a"), ["1"]);
}

pub(super) fn e2_extreme_numbers_are_taken_for_what_they_are(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2"]));
    let most = u64::MAX;
    assert_eq!(positions(&store, ReadOptions::new().from(most)), [0_u64; 0]);
    assert_eq!(positions(&store, ReadOptions::new().after(most)), [0_u64; 0]);
    assert_eq!(positions(&store, ReadOptions::new().before(0)), [0_u64; 0]);
    assert_eq!(positions(&store, ReadOptions::new().to(most).limit(most)), [1, 2]);
    assert_eq!(versions(&store, "a", ReadOptions::new().before(most).backward()), [2, 1]);
    conflicts(&store, "a", ExpectedVersion::exact(most), 2);
    let ever = FailIfMatches::new(Query::all()).after(most.into());
    let error = refused(&store, |store| store.commit(Commit::new().condition(ever)));
    assert!(matches!(error, Error::BeyondEnd { .. }), "{error}");
}
