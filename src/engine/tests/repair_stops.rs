//! Repairs and salvages that stop anywhere, are refused, or have a device that reads no more.

use super::repair::{
    assert_goes_on_without, but, clock, contents, indexed_store, positions_in, store, with_holes,
};
use super::*;
use crate::engine::{plan, repair, salvage};

/// Returns stores that are damaged in every way that a repair has a step for.
fn damaged_stores() -> Vec<(MemoryDisk, Vec<u64>)> {
    let middle = indexed_store();
    let frame = frame_of(&middle, 9);
    flip(&middle, &frame.path, frame.middle());
    flip(&middle, "STORE", 20);
    flip(&middle, &segment_path(1), 50);
    let end = indexed_store();
    let lost = positions_in(&end, 4);
    for segment in [4, 5] {
        if end.files().contains(&segment_path(segment)) {
            remove(&end, &segment_path(segment));
        }
    }
    let again = with_holes();
    flip(&again, "LOST", 50);
    vec![(middle, but(&[9])), (end, but(&lost)), (again, but(&[5, 12]))]
}

#[test]
fn a_repair_that_stopped_anywhere_is_done_again() {
    for (damaged, expected) in damaged_stores() {
        for nth in 1.. {
            let disk = damaged.copy();
            disk.stop_at(nth);
            let stopped = repair(&disk, &clock());
            let was_met = !disk.is_to_fail();
            disk.mend();
            // A store that was being repaired opens with everything, or it says that it is damaged.
            if let Ok(engine) = try_open(&disk.copy()) {
                assert_eq!(original_positions(&engine), expected, "call {nth}");
            }
            repair(&disk, &clock()).unwrap();
            assert_eq!(original_positions(&open(&disk)), expected, "call {nth}");
            if !was_met {
                stopped.unwrap();
                break;
            }
        }
    }
}

#[test]
fn a_header_of_which_a_part_was_written_anew_is_written_anew_again() {
    let whole = store();
    for (segment, written) in (1..=4).flat_map(|it| (0..4096).step_by(37).map(move |at| (it, at))) {
        let disk = whole.copy();
        edit(&disk, &segment_path(segment), |bytes| bytes[written..4096].fill(0x77));
        assert_eq!(repair(&disk, &clock()).unwrap().given_up, [], "{segment}, {written}");
        assert_eq!(original_positions(&open(&disk)), but(&[]), "{segment}, {written}");
    }
}

fn original_positions(engine: &MemoryEngine) -> Vec<u64> {
    let (events, error) = read_from(engine, 1);
    assert!(error.is_none(), "{error:?}");
    positions(&events)
}

#[test]
fn a_store_of_which_nothing_verifies_is_not_repaired() {
    let disk = closed_after(&[8]);
    edit(&disk, &segment_path(1), |bytes| bytes.fill(7));
    let before = contents(&disk);
    damage_of(repair(&disk, &clock()));
    assert!(contents(&disk) == before);
}

#[test]
fn a_store_that_is_open_for_writing_is_not_repaired() {
    let disk = store();
    let engine = open(&disk);
    assert!(matches!(repair(&disk, &clock()), Err(Error::Locked { .. })));
    engine.close().unwrap();
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let disk = MemoryDisk::new();
    assert!(matches!(repair(&disk, &clock()), Err(Error::Missing { .. })));
    disk.set_bytes("notes.txt", vec![1]);
    assert!(matches!(repair(&disk, &clock()), Err(Error::Missing { .. })));
    assert_eq!(disk.files(), ["notes.txt"]);
}

#[test]
fn a_salvaged_store_is_the_repaired_one_and_nothing_changes_where_it_came_from() {
    for (damaged, expected) in damaged_stores() {
        let before = contents(&damaged);
        let copy = MemoryDisk::new();
        let report = salvage(&damaged, &copy, &clock()).unwrap();
        assert!(contents(&damaged) == before);
        assert_eq!(report.given_up, plan(&damaged, &clock()).unwrap().report.given_up);
        assert_goes_on_without(&copy, &expected);
    }
    let healthy = store();
    let copy = MemoryDisk::new();
    assert_eq!(salvage(&healthy, &copy, &clock()).unwrap().given_up, []);
    assert_goes_on_without(&copy, &but(&[]));
}

#[test]
fn what_the_device_can_not_read_is_salvaged_around() {
    for position in [1, 6, 7, 13, 18] {
        let disk = store();
        let frame = frame_of(&disk, position);
        disk.lose(&frame.path, frame.middle()..frame.middle() + 1);
        disk.lose(&segment_path(1), 0..512);
        disk.lose("STORE", 0..128);
        let copy = MemoryDisk::new();
        salvage(&disk, &copy, &clock()).unwrap();
        assert_goes_on_without(&copy, &but(&[position]));
    }
}

#[test]
fn a_salvage_that_stopped_anywhere_is_no_store() {
    let (damaged, expected) = damaged_stores().remove(0);
    for nth in 1.. {
        let copy = MemoryDisk::new();
        copy.stop_at(nth);
        let stopped = salvage(&damaged, &copy, &clock());
        let was_met = !copy.is_to_fail();
        copy.mend();
        if !was_met {
            stopped.unwrap();
            return assert_goes_on_without(&copy, &expected);
        }
        let is_marked = copy.files().contains(&"SALVAGE".to_owned());
        let is_empty = copy.files().iter().all(|path| path == "LOCK");
        if is_marked {
            assert!(matches!(try_open(&copy).map(drop), Err(Error::NotAStore { .. })));
            assert!(matches!(repair(&copy, &clock()), Err(Error::NotAStore { .. })));
            let read_only = Engine::open_read_only(copy.clone()).map(drop);
            assert!(matches!(read_only, Err(Error::NotAStore { .. })));
        } else if !is_empty {
            assert_eq!(original_positions(&open(&copy)), expected, "call {nth}");
        }
    }
}

#[test]
fn a_store_is_salvaged_to_an_empty_place_only() {
    let full = store();
    let before = contents(&full);
    assert!(matches!(salvage(&store(), &full, &clock()), Err(Error::StoreExists { .. })));
    assert!(contents(&full) == before);
}
