//! What a scan gives where its windows begin and end, and how far a read looks ahead.

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::engine::ahead::Ahead;

/// Sizes of payloads about those of windows: the first is of 4 KiB, the longest of 256 KiB.
const SIZES: [usize; 14] =
    [8, 3900, 8, 4096, 40, 12_000, 100, 100, 70_000, 8, 262_144, 300_000, 8, 200_000];

/// A store with the sizes in one commit, in commits of their own, and as many small events in one.
fn store() -> (MemoryEngine, Vec<usize>) {
    let options = EngineOptions { segment_bytes: 4 << 20, ..options() };
    let engine = Engine::open(MemoryDisk::new(), &options).unwrap();
    let small = [50; 6000];
    let groups: Vec<&[usize]> =
        [&SIZES[..]].into_iter().chain(SIZES.chunks(1)).chain([&small[..]]).collect();
    let mut number = 0;
    let mut sizes = Vec::new();
    for group in groups {
        let events = group.iter().map(|size| {
            number += 1;
            event(number, *size)
        });
        append_to(&engine, &stream("one"), ExpectedVersion::Any, events.collect()).unwrap();
        sizes.extend_from_slice(group);
    }
    (engine, sizes)
}

#[test]
fn a_scan_gives_every_event_whole_wherever_it_begins() {
    let (engine, sizes) = store();
    let starts = (1..=2 * SIZES.len() + 2).chain([sizes.len() / 2, sizes.len()]);
    for start in starts {
        let (events, error) = read_from(&engine, start as u64);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(events.len(), sizes.len() + 1 - start);
        for (number, (event, size)) in (start..).zip(events.iter().zip(&sizes[start - 1..])) {
            let wanted = super::event(number as u64, *size);
            assert_eq!(event.global_position().get(), number as u64);
            assert_eq!(event.event_id(), event_id(number as u64));
            assert!(event.payload() == wanted.payload.as_ref(), "the payload of {number}");
        }
    }
}

#[test]
fn a_scan_meets_damage_at_its_event_in_any_window() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let events = (1..=40).map(|number| event(number, 1000)).collect();
    append_to(&engine, &stream("one"), ExpectedVersion::Any, events).unwrap();
    let frame = frames(&disk).into_iter().find(|frame| frame.events == 40).unwrap();
    for lost in [1, 3, 4, 5, 11, 12, 13, 40] {
        let offset = frame.offset + frame.length * (2 * lost - 1) / 80;
        flip(&disk, &frame.path, offset);
        let (events, error) = read_from(&engine, 1);
        assert_eq!(events.len() as u64, lost - 1);
        let damage = damage_of(Err::<(), _>(error.unwrap()));
        assert_eq!(damage.first_lost.map(GlobalPosition::get), Some(lost));
        let (events, error) = read_from(&engine, lost + 1);
        assert_eq!((events.len() as u64, error.is_none()), (40 - lost, true));
        flip(&disk, &frame.path, offset);
    }
}

#[test]
fn positions_are_taken_as_far_as_they_are_likely_to_be_asked_for() {
    let engine = open(&MemoryDisk::new());
    append_all(&engine, 1..=200, 8);
    let taken = Cell::new(0);
    let positions = (1..=200).inspect(|position| taken.set(*position));
    let positions = positions.map(|position| Ok(GlobalPosition::new(position)));
    let mut ahead = Ahead::new(Arc::clone(engine.reader()), positions, 3);
    let mut given = 0;
    // Three, then twice as many each time: nothing of the next before all of this has been given.
    for likely in [3, 9, 21] {
        while given < likely {
            given += 1;
            assert_eq!(ahead.next().unwrap().unwrap().global_position().get(), given);
            assert_eq!(taken.get(), likely, "as the {given}th is given");
        }
    }
    let rest: Vec<_> = ahead.map(|event| event.unwrap().global_position().get()).collect();
    assert_eq!((rest, taken.get()), ((22..=200).collect(), 200));
}
