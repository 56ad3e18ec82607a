//! What the kinds of read give of a damaged store: an error where something is lost, and all the
//! rest by asking from behind it (CONTRACT R8).

use super::*;
use crate::store::{Filter, Query};

/// Returns a store that was closed after single commits to two streams in turn, `one` first, a
/// second apart, and in which the frame of a position is damaged.
fn two_streams_damaged_at(position: u64, count: u64) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (clock, hand) = Clock::manual(Timestamp::from_micros(0));
    let engine = Engine::open(disk.clone(), &EngineOptions { clock, ..options() }).unwrap();
    for number in 1..=count {
        hand.set(Timestamp::from_micros(1_000_000 * i64::try_from(number).unwrap()));
        let name = if number % 2 == 1 { "one" } else { "two" };
        let events = vec![event(number, 8)];
        append_to(&engine, &stream(name), ExpectedVersion::Any, events).unwrap();
    }
    engine.close().unwrap();
    let frame = frame_of(&disk, position);
    flip(&disk, &frame.path, frame.middle());
    disk
}

fn versions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.stream_version().get()).collect()
}

fn is_damage(error: &Option<Error>) -> bool {
    matches!(error, Some(Error::Damage(_)))
}

#[test]
fn a_stream_with_a_lost_event_ends_with_an_error_there_in_both_directions() {
    // Stream `one` has the positions 1, 3, 5, 7, 9 as its versions 1 to 5; version 3 is lost.
    let engine = open_read_only(&two_streams_damaged_at(5, 10));
    let (events, error) = read_stream(&engine, &StreamRead::new());
    assert_eq!(versions(&events), [1, 2]);
    assert!(is_damage(&error));
    let (events, error) = read_stream(&engine, &StreamRead::new().backward());
    assert_eq!(versions(&events), [5, 4]);
    assert!(is_damage(&error));
}

#[test]
fn what_is_before_and_behind_a_lost_event_of_a_stream_can_be_asked_for() {
    let engine = open_read_only(&two_streams_damaged_at(5, 10));
    let given = |options: StreamRead| {
        let (events, error) = read_stream(&engine, &options);
        (versions(&events), is_damage(&error))
    };
    assert_eq!(given(StreamRead::new().from(4)), (vec![4, 5], false));
    assert_eq!(given(StreamRead::new().from(3)), (vec![], true));
    assert_eq!(given(StreamRead::new().from(5)), (vec![5], false));
    assert_eq!(given(StreamRead::new().to(2)), (vec![1, 2], false));
    assert_eq!(given(StreamRead::new().from(4).backward()), (vec![5, 4], false));
    assert_eq!(given(StreamRead::new().to(2).backward()), (vec![2, 1], false));
    assert_eq!(given(StreamRead::new().to(3).backward()), (vec![], true));
}

#[test]
fn a_stream_without_a_lost_event_is_read_whole() {
    let engine = open_read_only(&two_streams_damaged_at(6, 10));
    let (events, error) = read_stream(&engine, &StreamRead::new());
    assert_eq!(versions(&events), [1, 2, 3, 4, 5]);
    assert!(error.is_none());
}

#[test]
fn a_query_meets_what_is_lost_since_nobody_knows_what_it_matched() {
    let engine = open_read_only(&two_streams_damaged_at(5, 10));
    let query = Query::category("Test");
    let given = |options: GlobalRead| {
        let (events, error) = split(engine.reader().read(&query, &options));
        (positions(&events), is_damage(&error))
    };
    assert_eq!(given(GlobalRead::new()), (vec![1, 2, 3, 4], true));
    assert_eq!(given(GlobalRead::new().from(6)), (vec![6, 7, 8, 9, 10], false));
    assert_eq!(given(GlobalRead::new().backward()), (vec![10, 9, 8, 7, 6], true));
    assert_eq!(given(GlobalRead::new().to(4).backward()), (vec![4, 3, 2, 1], false));
}

#[test]
fn a_bound_in_time_never_hides_what_is_lost() {
    let engine = open_read_only(&two_streams_damaged_at(5, 10));
    let second = |number: i64| Timestamp::from_micros(1_000_000 * number);
    let given = |options: GlobalRead| {
        let (events, error) = split(engine.reader().read(&Query::all(), &options));
        (positions(&events), is_damage(&error))
    };
    let to_eighth = Filter::new().recorded_to(second(8));
    assert_eq!(given(GlobalRead::new().filter(to_eighth.clone())), (vec![1, 2, 3, 4], true));
    assert_eq!(given(GlobalRead::new().from(6).filter(to_eighth)), (vec![6, 7, 8], false));
    let from_third = Filter::new().recorded_from(second(3));
    assert_eq!(given(GlobalRead::new().filter(from_third)), (vec![3, 4], true));
    let from_eighth = Filter::new().recorded_from(second(8));
    assert_eq!(given(GlobalRead::new().from(6).filter(from_eighth)), (vec![8, 9, 10], false));
}

#[test]
fn a_damaged_mark_takes_no_event_with_it() {
    let disk = MemoryDisk::new();
    for round in 0..2 {
        let engine = open(&disk);
        append_all(&engine, 3 * round + 1..=3 * round + 3, 8);
        engine.close().unwrap();
    }
    let mark = frames(&disk).into_iter().find(|frame| frame.kind != FrameKind::Commit).unwrap();
    for offset in mark.offset..mark.end() {
        let disk = disk.copy();
        flip(&disk, &mark.path, offset);
        let damage = damage_of(try_open(&disk));
        assert_eq!((damage.offset, damage.first_lost), (mark.offset, None));
        assert_holds(&open_read_only(&disk), 6);
    }
}

#[test]
fn damage_done_while_a_store_is_open_is_an_error_at_that_event() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=3, 8);
    let frame = frame_of(&disk, 2);
    flip(&disk, &frame.path, frame.end() - 4);
    let (events, error) = read_from(&engine, 1);
    assert_eq!(positions(&events), [1]);
    assert_eq!(damage_of(error.map_or(Ok(()), Err)).file.to_str().unwrap(), frame.path);
    assert_eq!(positions(&read_from(&engine, 3).0), [3]);
}

#[test]
fn a_segment_cut_short_while_a_store_is_open_is_damage_at_the_event() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=3, 8);
    let frame = frame_of(&disk, 2);
    edit(&disk, &frame.path, |bytes| bytes.truncate(usize::try_from(frame.end() - 4).unwrap()));
    let damage = damage_of(engine.reader().event_at(GlobalPosition::new(2)));
    assert_eq!(damage.file.to_str().unwrap(), frame.path);
    assert_eq!(damage.reason, "event: it is cut short");
    assert_eq!(positions(&read_from(&engine, 1).0), [1]);
}

#[test]
fn what_was_located_together_with_a_damaged_event_is_given_up_to_it() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=100, 8);
    let whole: Vec<u64> = (1..=100).collect();
    assert_eq!(versions(&read_stream(&engine, &StreamRead::new()).0), whole);
    let frame = frame_of(&disk, 50);
    flip(&disk, &frame.path, frame.end() - 4);
    let (events, error) = read_stream(&engine, &StreamRead::new());
    assert_eq!((versions(&events), is_damage(&error)), ((1..=49).collect(), true));
    let (events, error) = read_stream(&engine, &StreamRead::new().backward());
    assert_eq!((versions(&events), is_damage(&error)), ((51..=100).rev().collect(), true));
    let query = Query::category("Test");
    let (events, error) = split(engine.reader().read(&query, &GlobalRead::new()));
    assert_eq!((positions(&events), is_damage(&error)), ((1..=49).collect(), true));
    let (events, error) = split(engine.reader().read(&query, &GlobalRead::new().from(51)));
    assert_eq!((positions(&events), error.is_none()), ((51..=100).collect(), true));
}

#[test]
fn a_limit_reads_no_event_behind_it() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=100, 8);
    // An event takes two: its place and itself.
    for (limit, reads_max) in [(1, 2), (3, 6)] {
        let before = disk.calls(Operation::Read);
        assert_eq!(read_stream(&engine, &StreamRead::new().limit(limit)).0.len() as u64, limit);
        assert!(disk.calls(Operation::Read) - before <= reads_max);
    }
}
