//! One run: what is written into it, and what it then says.

use proptest::prelude::*;

use super::*;
use crate::format::{
    BlockBuilder, FILTER_BLOCK_BYTES, LIST_COUNT_BYTES, RUN_PAGE_BYTES, RunHeader, decode_block,
    filter_may_hold, range_of,
};
use crate::index::merge::{Activity, Pace, Pacer, merge};
use crate::index::run_writer::{Plan, RunWriter};
use std::sync::atomic::AtomicBool;

#[test]
fn lists_of_every_length_are_read_as_they_were_written() {
    // One posting stands inline, up to 32 in a short list, more in blocks.
    let lengths = [1, 2, 31, 32, 33, 34, 244, 245, 246, 1000, 20_000];
    for gap in [1, 100, 300] {
        let lists = (0..).zip(lengths).filter(|(_, length)| length * gap < 50_000);
        let list = |length: u32| (0..length).map(|number| number * gap).collect::<Vec<_>>();
        let contents = Contents::of(lists.map(|(number, length)| (spread(number), list(length))));
        contents.assert_in(&contents.write(&MemoryDisk::new()));
    }
}

#[test]
fn a_block_keeps_postings_that_are_any_distance_apart() {
    for distance in [1, 127, 128, 16_383, 16_384, 1 << 21, 1 << 28, u32::MAX / 2] {
        let wanted: Vec<u32> = (0..=u32::MAX / distance).take(300).map(|i| i * distance).collect();
        let mut block = BlockBuilder::new(wanted[0], 0);
        let taken = 1 + wanted[1..].iter().take_while(|one| block.push(**one)).count();
        assert_eq!(decode_block(&block.finish()).unwrap(), wanted[..taken]);
        assert!(taken == wanted.len() || taken > 40);
    }
}

#[test]
fn hashes_at_the_edges_of_buckets_are_found() {
    // 600 terms lie in 12 buckets.
    let buckets = 600_u64.div_ceil(52);
    let start_of =
        |bucket: u64| u64::try_from((u128::from(bucket) << 64).div_ceil(buckets.into())).unwrap();
    let edges = (1..buckets).flat_map(|bucket| [start_of(bucket) - 1, start_of(bucket)]);
    let mut hashes: Vec<u64> = edges.chain([0, 1, u64::MAX - 1, u64::MAX]).collect();
    assert!((1..buckets).all(|one| range_of(start_of(one) - 1, buckets) == one - 1));
    assert!((1..buckets).all(|one| range_of(start_of(one), buckets) == one));
    hashes.extend((0..600 - hashes.len() as u64).map(spread));
    let contents = Contents::of((0..).zip(hashes).map(|(number, hash)| (hash, vec![number])));
    let run = contents.write(&MemoryDisk::new());
    assert_eq!(run.header().bucket_count, buckets);
    contents.assert_in(&run);
}

/// Returns single postings whose hashes lie in a range of `of`, evenly.
fn in_range(range: u64, of: u64, count: u64) -> impl Iterator<Item = u64> {
    let width = u64::MAX / of;
    (0..count).map(move |number| width * range + width / 4 + number * (width / 2 / count))
}

fn single(hashes: impl IntoIterator<Item = u64>) -> Contents {
    Contents::of((0..).zip(hashes).map(|(number, hash)| (hash, vec![number])))
}

#[test]
fn what_a_bucket_can_not_hold_is_found_in_the_next_ones() {
    // 312 terms lie in 6 buckets of 63, with 4 spare ones behind.
    for counts in [
        [312, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 312],
        [200, 100, 0, 12, 0, 0],
        [63, 63, 63, 63, 60, 0],
        [64, 0, 0, 64, 64, 120],
        [0, 126, 1, 1, 1, 183],
    ] {
        let hashes = (0..).zip(counts).flat_map(|(range, count)| in_range(range, 6, count));
        let contents = single(hashes);
        let run = contents.write(&MemoryDisk::new());
        assert_eq!(run.header().bucket_count, 6);
        contents.assert_in(&run);
        let absent = contents.lists.keys().map(|hash| hash + 1);
        for hash in absent.filter(|hash| !contents.lists.contains_key(hash)) {
            assert!(run.find(TermHash::new(hash)).unwrap().is_none());
        }
    }
}

#[test]
fn a_run_whose_buckets_overflow_is_refused_and_leaves_no_file() {
    let disk = MemoryDisk::new();
    let contents = single(in_range(11, 12, 600));
    assert!(write_table(&disk, STORE, &contents.table()).is_err());
    assert_eq!(disk.files(), Vec::<String>::new());
}

#[test]
fn the_filter_misses_no_term_and_takes_about_one_in_a_hundred_for_one() {
    let contents = single((0..20_000).map(spread));
    let disk = MemoryDisk::new();
    let header = *contents.write(&disk).header();
    let bytes = disk.bytes_of(&disk.files()[0]).unwrap();
    let filter = &bytes[usize::try_from(header.filter_offset).unwrap()..];
    let may_hold = |number: &u64| {
        let hash = spread(*number);
        let block = usize::try_from(range_of(hash, header.filter_block_count)).unwrap();
        filter_may_hold(&filter[block * FILTER_BLOCK_BYTES..][..FILTER_BLOCK_BYTES], hash)
    };
    assert!((0..20_000).all(|number| may_hold(&number)));
    let wrong = (20_000..60_000).filter(may_hold).count();
    assert!((200..800).contains(&wrong), "{wrong} of 40,000");
}

#[test]
fn locations_take_eight_bytes_once_four_do_not_reach() {
    let farthest = 64 + 8 * u64::from(u32::MAX);
    for (last, width) in [(farthest - 64, 4), (farthest, 8), (u64::MAX / 2 / 64 * 64, 8)] {
        let contents =
            Contents { locations: vec![64, 128, last], ..Contents::of([(1, vec![0, 1, 2])]) };
        let run = contents.write(&MemoryDisk::new());
        assert_eq!(run.header().location_width, width);
        contents.assert_in(&run);
    }
}

#[test]
fn a_run_of_events_without_terms_is_a_run() {
    let disk = MemoryDisk::new();
    let plan = Plan {
        store_id: STORE,
        first_position: position(5),
        last_position: position(6),
        base: Location::new(320),
        resume: resume_before(7),
        key_count: 0,
        id_times: unknown_ids(),
    };
    let mut writer = RunWriter::create(&disk, &plan).unwrap();
    for location in [320, 384] {
        writer.push_location(Location::new(location)).unwrap();
    }
    writer.finish().unwrap();
    let run = Run::open(&disk, STORE, (position(5), position(6))).unwrap();
    run.check_all().unwrap();
    assert_eq!(run.locate(position(6)).unwrap(), Location::new(384));
    assert!(run.find(TermHash::new(9)).unwrap().is_none());
}

#[test]
fn a_short_list_that_does_not_end_as_its_reference_says_is_refused() {
    let contents = Contents::of([(9, vec![3, 5, 8])]);
    let disk = MemoryDisk::new();
    let header = *contents.write(&disk).header();
    let path = disk.files()[0].clone();
    let mut bytes = disk.bytes_of(&path).unwrap();
    let last = usize::try_from(header.postings_offset).unwrap() + LIST_COUNT_BYTES + 2 * 4;
    assert_eq!(bytes[last..][..4], 8_u32.to_le_bytes());
    bytes[last] = 7;
    disk.set_bytes(&path, with_checksums(bytes, header));
    let run = contents.open(&disk);
    let list = run.find(TermHash::new(9)).unwrap().unwrap();
    assert_eq!(list.clone().last_to(&run, 9).unwrap(), Some(8), "that is not looked at yet");
    assert!(list.clone().last_to(&run, 6).is_err());
    assert!(list.clone().first_from(&run, 4).is_err());
    assert!(list.clone().count(&run).is_err());
    assert!(list.clone().at_rank(&run, 0).is_err());
}

/// A list that went back once made the read of its stream go on for ever.
#[test]
fn a_list_that_does_not_ascend_is_refused() {
    const BLOCK_HEADER_BYTES: usize = 10;
    let every_third: Vec<u32> = (0..200).map(|number| number * 3).collect();
    for (postings, place, byte) in [
        // The second posting of a short list: 4, or 6 behind 5.
        (vec![4, 5, 6], LIST_COUNT_BYTES + 4, 4),
        (vec![4, 5, 6], LIST_COUNT_BYTES + 4, 6),
        // The distance of the second posting of a block.
        (every_third, LIST_COUNT_BYTES + BLOCK_HEADER_BYTES, 0),
    ] {
        let contents = Contents::of([(9, postings)]);
        let disk = MemoryDisk::new();
        let header = *contents.write(&disk).header();
        let path = disk.files()[0].clone();
        let mut bytes = disk.bytes_of(&path).unwrap();
        let place = usize::try_from(header.postings_offset).unwrap() + place;
        assert!(bytes[place] == 5 || bytes[place] == 3);
        bytes[place] = byte;
        disk.set_bytes(&path, with_checksums(bytes, header));
        let run = contents.open(&disk);
        let list = run.find(TermHash::new(9)).unwrap().unwrap();
        assert!(list.clone().first_from(&run, 1).is_err());
        assert!(list.clone().last_to(&run, 5).is_err());
        assert!(list.clone().all(&run).any(|posting| posting.is_err()));
    }
}

/// Makes the checksums of a run that was changed right again.
fn with_checksums(mut bytes: Vec<u8>, mut header: RunHeader) -> Vec<u8> {
    let start = usize::try_from(header.checksums_offset).unwrap();
    let (pages, _) = bytes[RUN_PAGE_BYTES..start].as_chunks::<RUN_PAGE_BYTES>();
    let checksums = pages.iter().flat_map(|page| crc32fast::hash(page).to_le_bytes());
    let checksums: Vec<u8> = [0; 4].into_iter().chain(checksums).collect();
    header.checksums_crc = crc32fast::hash(&checksums);
    bytes[start..].copy_from_slice(&checksums);
    bytes[..RUN_PAGE_BYTES].copy_from_slice(&header.encode());
    bytes
}

#[test]
fn a_byte_that_is_not_as_written_is_seen_before_it_is_believed() {
    let contents = Contents::of((0..200).map(|number| (spread(number), vec![0, 5, 7])));
    let disk = MemoryDisk::new();
    let length = disk_bytes(&disk, &contents).len();
    for offset in (0..length).step_by(61) {
        let disk = MemoryDisk::new();
        contents.write(&disk);
        let path = disk.files()[0].clone();
        let mut bytes = disk.bytes_of(&path).unwrap();
        bytes[offset] ^= 4;
        disk.set_bytes(&path, bytes);
        let run = Run::open(&disk, STORE, (position(1), position(contents.last())));
        let is_seen = run.map_or(true, |run| run.check_all().is_err());
        assert!(is_seen, "offset {offset} of page {}", offset / RUN_PAGE_BYTES);
    }
}

fn disk_bytes(disk: &MemoryDisk, contents: &Contents) -> Vec<u8> {
    contents.write(disk);
    disk.bytes_of(&disk.files()[0]).unwrap()
}

fn pacer(is_stopped: &AtomicBool) -> Pacer<'_> {
    Pacer::new(Pace::Full, is_stopped, &|| Activity { newest: GlobalPosition::ZERO, runs: 0 })
}

/// Writes the parts of a part between cuts, merges them, and returns the file.
fn merged(contents: &Contents, cuts: &[usize]) -> (MemoryDisk, Vec<u8>) {
    let disk = MemoryDisk::new();
    let ends = cuts.iter().copied().chain([contents.locations.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let runs = starts.zip(ends).map(|(start, end)| contents.slice(start, end).write(&disk));
    let runs: Vec<_> = runs.collect();
    let inputs: Vec<_> = runs.iter().collect();
    let (first, last) = merge(&disk, STORE, &inputs, &mut pacer(&AtomicBool::new(false))).unwrap();
    let name = crate::index::run::name(first, last);
    let bytes = disk.bytes_of(&name).unwrap();
    (disk, bytes)
}

#[test]
fn a_merge_of_lists_of_many_blocks_is_the_run_written_at_once() {
    let every = |step: u32, count: u32| (0..count).map(|number| number * step).collect::<Vec<_>>();
    let contents = Contents::of([
        (spread(1), every(1, 30_000)),
        (spread(2), every(3, 9000)),
        (spread(3), every(900, 33)),
        (spread(4), vec![29_999]),
        (spread(5), vec![0, 29_999]),
    ]);
    let (disk, bytes) = merged(&contents, &[1, 10_000, 10_032, 29_999]);
    assert!(bytes == disk_bytes(&MemoryDisk::new(), &contents));
    contents.assert_in(&contents.open(&disk));
}

#[test]
fn a_merge_that_is_stopped_leaves_no_file_of_its_own() {
    let contents = Contents::of([(spread(1), (0..100).collect())]);
    let disk = MemoryDisk::new();
    let runs = [contents.slice(0, 50).write(&disk), contents.slice(50, 100).write(&disk)];
    let before = files(&disk);
    let inputs: Vec<_> = runs.iter().collect();
    assert!(merge(&disk, STORE, &inputs, &mut pacer(&AtomicBool::new(true))).is_err());
    assert_eq!(files(&disk), before);
}

/// Lists over at most `events` events, of a few hashes.
fn any_lists(events: u32) -> impl Strategy<Value = Contents> {
    let list = prop::collection::btree_set(0..events, 1..events.min(400) as usize);
    let lists = prop::collection::btree_map(0_u64..40, list, 1..20);
    lists.prop_map(move |lists| {
        let lists =
            lists.into_iter().map(|(hash, list)| (spread(hash), list.into_iter().collect()));
        let mut contents = Contents::of(lists);
        contents.locations = (1..=u64::from(events)).map(|number| number * 64).collect();
        contents
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_list_answers_as_a_vec_does(
        list in prop::collection::btree_set(0_u32..20_000, 1..800),
        asked in prop::collection::vec(0_u32..20_100, 60),
    ) {
        let list: Vec<u32> = list.into_iter().collect();
        let run = Contents::of([(9, list.clone())]).write(&MemoryDisk::new());
        let unread = run.find(TermHash::new(9)).unwrap().unwrap();
        let mut own = unread.clone();
        let near = list.iter().step_by(7).flat_map(|one| [one.saturating_sub(1), *one, one + 1]);
        for posting in asked.iter().copied().chain(near) {
            let from = list.partition_point(|one| *one < posting);
            prop_assert_eq!(own.first_from(&run, posting).unwrap(), list.get(from).copied());
            let first = unread.clone().first_from(&run, posting).unwrap();
            prop_assert_eq!(first, list.get(from).copied());
            let to = list.partition_point(|one| *one <= posting);
            let last = to.checked_sub(1).map(|last| list[last]);
            prop_assert_eq!(own.last_to(&run, posting).unwrap(), last);
            prop_assert_eq!(unread.clone().last_to(&run, posting).unwrap(), last);
        }
        for rank in 0..list.len() + 3 {
            let found = own.at_rank(&run, u32::try_from(rank).unwrap()).unwrap();
            prop_assert_eq!(found, list.get(rank).copied());
        }
    }

    #[test]
    fn a_merge_of_any_runs_is_the_run_written_at_once(
        contents in any_lists(500),
        cuts in prop::collection::btree_set(1_usize..500, 1..6),
    ) {
        let cuts: Vec<usize> = cuts.into_iter().collect();
        let (_, bytes) = merged(&contents, &cuts);
        prop_assert!(bytes == disk_bytes(&MemoryDisk::new(), &contents));
    }
}
