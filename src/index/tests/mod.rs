//! Attacks the index on a disk in memory: one run as written and as merged (`run`), runs as a set of
//! files (`runs`), and the whole index against a plain model (`model`).

#![forbid(unsafe_code)]

mod model;
mod run;
mod runs;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::format::{IdTime, IdTimes, Location, Resume};
use crate::index::memtable::{Entry, Memtable};
use crate::index::merge::write_table;
use crate::index::run::Run;
use crate::index::term::{EventTerms, TermHash};
use crate::io::{Disk, MemoryDisk};
use crate::position::GlobalPosition;
use crate::timestamp::Timestamp;

type MemoryRun = Run<<MemoryDisk as Disk>::File>;

const STORE: Uuid = Uuid::from_u128(7);

/// The times of ids that tell none.
fn unknown_ids() -> IdTimes {
    let mut times = IdTimes::default();
    times.add(IdTime::Unknown);
    times
}

fn position(number: u64) -> GlobalPosition {
    GlobalPosition::new(number)
}

/// Where the log would go on before a position, with one frame an event.
fn resume_before(next: u64) -> Resume {
    Resume {
        end: Location::new(next * 64),
        segment: 1,
        epoch: 1,
        recorded_at: Timestamp::from_micros(0),
        next_position: position(next),
        last_frame: Location::new((next - 1) * 64),
        last_frame_crc: u32::try_from(next).unwrap(),
        frame_count: 0,
        event_count: next - 1,
        first_position: position(1),
        frames_crc: 0,
    }
}

/// What a part of an index is to say.
#[derive(Debug, Clone)]
struct Contents {
    first: u64,
    locations: Vec<u64>,
    /// The postings of each hash, counted from the first position.
    lists: BTreeMap<u64, Vec<u32>>,
}

impl Contents {
    /// Returns a part from position 1 on, long enough for its lists.
    fn of(lists: impl IntoIterator<Item = (u64, Vec<u32>)>) -> Self {
        let lists: BTreeMap<_, _> = lists.into_iter().collect();
        let last = lists.values().filter_map(|list| list.last()).max().unwrap();
        let locations = (1..=u64::from(*last) + 1).map(|number| number * 64).collect();
        Self { first: 1, locations, lists }
    }

    fn last(&self) -> u64 {
        self.first + self.locations.len() as u64 - 1
    }

    /// Returns the part of this part over a range of its events.
    fn slice(&self, start: usize, end: usize) -> Self {
        let within = |posting: &u32| (start..end).contains(&(*posting as usize));
        let from = u32::try_from(start).unwrap();
        let lists = self.lists.iter().map(|(hash, list)| {
            let own = list.iter().filter(|one| within(one)).map(|one| one - from);
            (*hash, own.collect::<Vec<_>>())
        });
        Self {
            first: self.first + start as u64,
            locations: self.locations[start..end].to_vec(),
            lists: lists.filter(|(_, list)| !list.is_empty()).collect(),
        }
    }

    fn table(&self) -> Memtable {
        let mut terms = vec![Vec::new(); self.locations.len()];
        for (hash, list) in &self.lists {
            list.iter().for_each(|one| terms[*one as usize].push(TermHash::new(*hash)));
        }
        let table = Memtable::default();
        let entries = (self.first..).zip(&self.locations).zip(&terms);
        let entries = entries.map(|((number, location), terms)| Entry {
            position: position(number),
            location: Location::new(*location),
            terms: EventTerms { hashes: terms, id_time: IdTime::Unknown },
        });
        let end = Location::new(self.locations.last().unwrap() + 64);
        table.add(entries, Resume { end, ..resume_before(self.last() + 1) }).unwrap();
        table
    }

    fn write(&self, disk: &MemoryDisk) -> MemoryRun {
        write_table(disk, STORE, &self.table()).unwrap();
        self.open(disk)
    }

    fn open(&self, disk: &MemoryDisk) -> MemoryRun {
        Run::open(disk, STORE, (position(self.first), position(self.last()))).unwrap()
    }

    /// Asserts that a run says the same, each of its lists from end to end.
    fn assert_in(&self, run: &MemoryRun) {
        for (number, location) in (self.first..).zip(&self.locations) {
            assert_eq!(run.locate(position(number)).unwrap(), Location::new(*location));
        }
        let hashes: Vec<u64> = run.terms().map(|term| term.unwrap().0).collect();
        assert_eq!(hashes, self.lists.keys().copied().collect::<Vec<_>>());
        for (hash, list) in &self.lists {
            assert_eq!(postings_of(run, *hash), *list, "hash {hash:x}");
        }
    }
}

/// Returns the postings of a hash as the run gives them one by one.
fn postings_of(run: &MemoryRun, hash: u64) -> Vec<u32> {
    let Some(mut list) = run.find(TermHash::new(hash)).unwrap() else { return Vec::new() };
    let mut given = Vec::new();
    let mut from = 0;
    while let Some(posting) = list.first_from(run, from).unwrap() {
        given.push(posting);
        from = posting + 1;
    }
    assert_eq!(given.len(), list.count(run).unwrap() as usize);
    given
}

/// Returns a number that is spread over all 64 bits.
fn spread(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn files(disk: &MemoryDisk) -> BTreeSet<String> {
    disk.files().into_iter().collect()
}
