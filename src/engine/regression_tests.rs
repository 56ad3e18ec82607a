//! What once broke: each test shows a defect that reading the engine with fresh eyes has found.

use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;

use crate::clock::{Clock, ClockHand};
use crate::engine::{Durability, Engine, EngineOptions, Severity, Workers};
use crate::error::{Error, Result};
use crate::event::NewEvent;
use crate::format::{Location, PackedFrame, SEGMENT_HEADER_BYTES, SegmentHeader, Stamp};
use crate::io::{Crash, Failure, SimulatedDisk};
use crate::io::{MemoryDisk, Operation};
use crate::limits::{Limits, SEGMENT_BYTES_MIN};
use crate::position::{GlobalPosition, StreamVersion};
use crate::segment;
use crate::store::{Commit, ExpectedVersion};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

const HEADER: usize = SEGMENT_HEADER_BYTES;

fn options(segment_bytes: u64) -> (EngineOptions, ClockHand) {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(5));
    let limits = Limits::default();
    (
        EngineOptions {
            segment_bytes,
            limits,
            clock,
            memtable_events: 65_536,
            workers: Workers::Threads,
            durability: Durability::Synced,
        },
        hand,
    )
}

fn open(disk: &MemoryDisk, segment_bytes: u64) -> Result<Engine<MemoryDisk>> {
    Engine::open(disk.clone(), &options(segment_bytes).0)
}

fn task() -> StreamId {
    StreamId::new("Task", "task-1").unwrap()
}

fn append(engine: &Engine<MemoryDisk>, payload: impl Into<Vec<u8>>) {
    let events = vec![NewEvent::new("Noted", payload.into())];
    engine.commit(Commit::new().append(&task(), ExpectedVersion::Any, events)).unwrap();
}

/// Makes a store with one event a payload, and closes it.
fn store_of(payloads: &[&str]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = open(&disk, SEGMENT_BYTES_MIN).unwrap();
    payloads.iter().for_each(|payload| append(&engine, *payload));
    engine.close().unwrap();
    disk
}

fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

fn segment_file(number: u64) -> String {
    format!("log/{}", segment::name(number))
}

/// Changes one byte where `text` stands in the first segment.
fn damage_at(disk: &MemoryDisk, text: &str) {
    let mut bytes = disk.bytes_of(&segment_file(1)).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    disk.set_bytes(&segment_file(1), bytes);
}

fn header_of(disk: &MemoryDisk, number: u64) -> SegmentHeader {
    SegmentHeader::decode(&disk.bytes_of(&segment_file(number)).unwrap()[..HEADER]).unwrap()
}

/// Writes a frame of one event as no writer would, with checksums that hold.
fn forge(disk: &MemoryDisk, offset: u64, first_position: u64, epoch: u32, durable_upto: u64) {
    let header = header_of(disk, 1);
    let mut frame = PackedFrame::new();
    frame.push(&task(), &NewEvent::new("Forged", "x")).unwrap();
    frame.place(GlobalPosition::new(first_position), [StreamVersion::FIRST]).unwrap();
    frame
        .stamp(&Stamp {
            signing: header.signing,
            location: header.base.plus(offset),
            durable_upto: Location::new(durable_upto),
            recorded_at: Timestamp::from_micros(5),
            epoch,
        })
        .unwrap();
    let mut bytes = disk.bytes_of(&segment_file(1)).unwrap();
    let offset = usize::try_from(offset).unwrap();
    bytes[offset..offset + frame.length()].copy_from_slice(frame.as_bytes());
    disk.set_bytes(&segment_file(1), bytes);
}

fn damages(disk: &MemoryDisk) -> Vec<String> {
    let engine = Engine::open_read_only(disk.clone()).unwrap();
    let damages = engine.findings().iter().filter(|one| one.severity == Severity::Damage);
    damages.map(ToString::to_string).collect()
}

/// A run of zeros in a payload once hid the frames behind it, and they were written over.
#[test]
fn a_damaged_frame_full_of_zeros_does_not_hide_the_commits_behind_it() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, 64 << 20).unwrap();
    append(&engine, vec![7; 6 << 20]);
    append(&engine, vec![0; 5 << 20]);
    append(&engine, "acknowledged");
    let last = engine.reader().log().segments().last().unwrap().header().number;
    engine.close().unwrap();
    let mut bytes = disk.bytes_of(&segment_file(last)).unwrap();
    bytes[HEADER] ^= 1;
    disk.set_bytes(&segment_file(last), bytes);
    assert!(matches!(open(&disk, 64 << 20), Err(Error::Damage(_))));
}

/// What a crash leaves of one commit may begin with more zeros than opening passes over, and then stays
/// in the log. An opening after it once had the same epoch, so that it could come back to life.
#[test]
fn an_opening_never_has_the_epoch_of_a_commit_that_was_torn() {
    let disk = store_of(&["acknowledged"]);
    let durable = disk.bytes_of(&segment_file(1)).unwrap();
    let known = disk.bytes_of("log/END").unwrap();
    let epoch_of_a_commit = |disk: &MemoryDisk| {
        let engine = open(disk, SEGMENT_BYTES_MIN).unwrap();
        append(&engine, "torn");
        let segment = engine.reader().log().segments().first().map(Arc::clone).unwrap();
        let location = engine.reader().locate(engine.reader().durable()).unwrap();
        let place = segment.event_place(location).unwrap();
        let frame = segment.offset(location) - u64::from(place.frame_distance);
        let header = segment.frame_header(segment.location(frame)).unwrap();
        (header.epoch, usize::try_from(frame).unwrap())
    };
    let (torn, frame) = epoch_of_a_commit(&disk);
    // Everything from the commit on is lost; what was synced before it is not.
    let mut bytes = disk.bytes_of(&segment_file(1)).unwrap();
    bytes[frame..durable.len()].copy_from_slice(&durable[frame..]);
    disk.set_bytes(&segment_file(1), bytes);
    disk.set_bytes("log/END", known);
    let (next, _) = epoch_of_a_commit(&disk);
    assert!(next > torn, "{next} follows {torn}");
}

/// The index once made room for every position that was passed over.
#[test]
fn positions_that_jump_far_ahead_take_no_memory() {
    let disk = store_of(&[]);
    let offset = HEADER as u64;
    let mut bytes = disk.bytes_of(&segment_file(1)).unwrap();
    bytes[HEADER] = 1;
    disk.set_bytes(&segment_file(1), bytes);
    forge(&disk, offset + 4096, 1 << 60, 9, offset + 8);
    assert_eq!(damages(&disk).len(), 1);
    assert!(matches!(open(&disk, SEGMENT_BYTES_MIN), Err(Error::Damage(_))));
}

/// The next epoch once started again at 0, and nothing that was then written was found again.
#[test]
fn an_epoch_that_has_no_next_one_is_refused() {
    let disk = store_of(&[]);
    forge(&disk, HEADER as u64, 1, u32::MAX, HEADER as u64);
    assert!(matches!(open(&disk, SEGMENT_BYTES_MIN), Err(Error::Damage(_))));
}

/// Verifying once read zeros up to any end that a header claimed.
#[test]
fn a_segment_header_with_an_impossible_size_is_damage() {
    let disk = store_of(&[]);
    let header = SegmentHeader { size: 1 << 60, ..header_of(&disk, 1) };
    disk.set_bytes(&segment_file(1), header.encode());
    let report = crate::engine::verify(disk).unwrap();
    assert!(!report.is_intact());
}

/// A watermark once went into the group of a commit, of which it shows nothing, and counted for it.
#[test]
fn a_commit_that_shares_its_group_with_a_watermark_still_gets_one_behind_it() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, SEGMENT_BYTES_MIN).unwrap();
    let queue = &engine.writer.as_ref().unwrap().queue;
    thread::scope(|scope| {
        let paused = queue.pause();
        scope.spawn(|| append(&engine, "in flight"));
        wait_until(|| queue.newest().get() == 1 && queue.gathering().0 == 0);
        scope.spawn(|| append(&engine, "gathering"));
        wait_until(|| queue.gathering().0 == 1);
        let mark = scope.spawn(|| queue.mark());
        wait_until(|| queue.gathering().0 == 2 || mark.is_finished());
        drop(paused);
    });
    engine.close().unwrap();
    damage_at(&disk, "gathering");
    assert!(matches!(open(&disk, SEGMENT_BYTES_MIN), Err(Error::Damage(_))));
}

/// A commit as large as a group was once let in only when it came first, which may be never.
#[test]
fn a_large_commit_joins_a_group_that_small_ones_have_begun() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, SEGMENT_BYTES_MIN).unwrap();
    let queue = &engine.writer.as_ref().unwrap().queue;
    let gathered = thread::scope(|scope| {
        let paused = queue.pause();
        scope.spawn(|| append(&engine, "in flight"));
        wait_until(|| queue.newest().get() == 1 && queue.gathering().0 == 0);
        scope.spawn(|| append(&engine, "small"));
        wait_until(|| queue.gathering().0 == 1);
        scope.spawn(|| append(&engine, vec![7; 16 << 20]));
        wait_until(|| queue.gathering() != (1, 0));
        let gathered = queue.gathering();
        drop(paused);
        gathered
    });
    assert_eq!(gathered, (2, 0));
}

/// Recovery once trusted the cache to be dropped, which a page that somebody has mapped is not.
#[test]
fn a_commit_whose_sync_failed_is_written_again_before_it_is_believed() {
    let disk = MemoryDisk::new();
    let engine = open(&disk, SEGMENT_BYTES_MIN).unwrap();
    append(&engine, "durable");
    disk.fail(Operation::Sync, 1, ErrorKind::Other);
    let events = vec![NewEvent::new("Noted", "in the cache")];
    let failed = engine.commit(Commit::new().append(&task(), ExpectedVersion::Any, events));
    assert!(matches!(failed, Err(Error::OutcomeUnknown { .. })));
    drop(engine);
    disk.fail(Operation::Write, 1, ErrorKind::Other);
    assert!(matches!(open(&disk, SEGMENT_BYTES_MIN), Err(Error::Io { .. })));
    let engine = open(&disk, SEGMENT_BYTES_MIN).unwrap();
    assert_eq!(engine.reader().durable().get(), 2);
}

/// Recovery once read what it wrote again after it had dropped the cache once more. A page that was held
/// there by a map, and was let go meanwhile, then came from the disk, which never had it.
#[test]
fn a_commit_whose_page_leaves_the_cache_during_an_opening_is_written_again_all_the_same() {
    let options = EngineOptions { workers: Workers::Caller, ..options(SEGMENT_BYTES_MIN).0 };
    let append = |engine: &Engine<SimulatedDisk>| {
        let events = vec![NewEvent::new("Noted", "text")];
        engine.commit(Commit::new().append(&task(), ExpectedVersion::Any, events))
    };
    let disk = SimulatedDisk::new();
    let engine = Engine::open(disk.clone(), &options).unwrap();
    append(&engine).unwrap();
    // The write, and then the sync.
    disk.fail(Failure { after: 2, calls: 1, kind: ErrorKind::Other, is_partial: false });
    assert!(matches!(append(&engine), Err(Error::OutcomeUnknown { .. })));
    let unsynced = disk.now();
    let mut shown = Vec::new();
    for evictions in 0..4 {
        let disk = unsynced.killed();
        disk.hold_cache(evictions);
        let engine = Engine::open(disk.clone(), &options).unwrap();
        let durable = engine.reader().durable();
        shown.push(durable.get());
        let engine = Engine::open(disk.now().crashed(Crash::Nothing), &options).unwrap();
        assert_eq!(engine.reader().durable(), durable, "held for {evictions} evictions");
        assert!(engine.reader().event_at(durable).is_ok());
    }
    assert_eq!(shown, [1, 2, 2, 2], "as long as it is held the commit is there");
}

/// The runs of lost events are made again up to the last of them. That walk stopped where the footer of
/// the damaged segment put the next position, and forgot the damage: the store was opened for writing,
/// and the events were gone without a word.
#[test]
fn the_end_of_a_sealed_segment_is_missed_also_where_no_run_is_left_to_cover_it() {
    let disk = MemoryDisk::new();
    let small =
        EngineOptions { memtable_events: 1, workers: Workers::Caller, ..options(64 << 10).0 };
    let engine = Engine::open(disk.clone(), &small).unwrap();
    (0..20).for_each(|_| append(&engine, [7; 10_000]));
    engine.close().unwrap();
    let mut bytes = disk.bytes_of(&segment_file(2)).unwrap();
    let footer = bytes.len() - 64;
    bytes[40_000..footer].fill(0);
    disk.set_bytes(&segment_file(2), bytes);
    let Err(Error::Damage(damage)) = Engine::open(disk.clone(), &small).map(drop) else {
        panic!("the damage is not found");
    };
    let lost = (damage.first_lost, damage.first_good_after);
    assert_eq!(lost, (Some(GlobalPosition::new(10)), Some(GlobalPosition::new(13))));
    let engine = Engine::open_read_only(disk).unwrap();
    assert_eq!(engine.findings().len(), 1);
    assert!(matches!(engine.reader().event_at(GlobalPosition::new(11)), Err(Error::Damage(_))));
    assert!(engine.reader().event_at(GlobalPosition::new(13)).is_ok());
}
