//! What a store must hold: the store in memory, and what may or may not have become of commits that
//! were never answered.

use std::sync::Arc;

use annals::{
    Clock, ClockHand, Commit, CommitResult, EventStore, GlobalPosition, MemoryStore, ReadOptions,
    RecordedEvent, Result, Timestamp,
};

/// Commits in the order in which they were admitted.
pub(crate) struct Model {
    memory: MemoryStore,
    /// Each with the time at which it was committed and the events there are behind it.
    commits: Vec<(Commit, Timestamp, usize)>,
    pub(crate) events: Vec<RecordedEvent>,
    pub(crate) clock: Clock,
    hand: ClockHand,
}

impl Model {
    pub(crate) fn new() -> Self {
        let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000));
        let memory = MemoryStore::with(clock.clone(), annals::limits::Limits::default());
        Self { memory, commits: Vec::new(), events: Vec::new(), clock, hand }
    }

    pub(crate) fn let_pass(&self, micros: i64) {
        self.hand.set(Timestamp::from_micros(self.clock.now().as_micros() + micros));
    }

    /// Commits, and returns what a store must answer.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<CommitResult> {
        let result = self.memory.commit(commit.clone());
        if result.is_ok() {
            let from = ReadOptions::new().after(GlobalPosition::new(self.events.len() as u64));
            self.events.extend(self.memory.read_all(from).unwrap().map(Result::unwrap));
            self.commits.push((commit.clone(), self.clock.now(), self.events.len()));
        }
        result
    }

    /// Forgets every commit behind the first so many events.
    pub(crate) fn keep(&mut self, count: usize) {
        if self.events.len() == count {
            return;
        }
        let now = self.clock.now();
        self.memory = MemoryStore::with(self.clock.clone(), annals::limits::Limits::default());
        self.commits.retain(|(_, _, end)| *end <= count);
        self.events.truncate(count);
        for (commit, time, _) in &self.commits {
            self.hand.set(*time);
            self.memory.commit(commit.clone()).unwrap();
        }
        self.hand.set(now);
    }

    /// Returns what was committed behind the first so many events.
    pub(crate) fn commits_behind(&self, count: usize) -> Vec<Commit> {
        let behind = self.commits.iter().filter(|(_, _, end)| *end > count);
        behind.map(|(commit, _, _)| commit.clone()).collect()
    }

    pub(crate) fn commit_of(&self, number: usize) -> Option<Commit> {
        self.commits.get(number).map(|(commit, _, _)| commit.clone())
    }

    pub(crate) fn commit_count(&self) -> usize {
        self.commits.len()
    }

    /// Returns what must be there when the first `least` events are, and the commits behind them may be.
    pub(crate) fn expected(&self, least: usize) -> Expected {
        let behind = self.commits.iter().map(|(_, _, end)| *end).filter(|end| *end > least);
        let mut ends: Vec<usize> = [least].into_iter().chain(behind).collect();
        ends.dedup();
        Expected {
            events: Arc::new(self.events.clone()),
            ends,
            in_flight: self.commits_behind(least),
            ..Expected::default()
        }
    }
}

/// What a disk must hold at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) events: Arc<Vec<RecordedEvent>>,
    /// How many events there may be: first what was acknowledged, then one more commit each.
    pub(crate) ends: Vec<usize>,
    /// The commits that may be there or not, in order.
    pub(crate) in_flight: Vec<Commit>,
    /// Whether the store had been made.
    pub(crate) is_made: bool,
    /// Whether the device may have given bytes back that had been overwritten with zeros.
    pub(crate) has_strays: bool,
    /// How many events runs of the index cover, at least.
    pub(crate) covered: u64,
    /// Files with bytes that were cut, and what they hold.
    pub(crate) kept: Vec<(String, Vec<u8>)>,
}

impl Expected {
    pub(crate) fn least(&self) -> usize {
        self.ends[0]
    }

    /// Returns what is expected of the log from now on, with what is expected beside it.
    pub(crate) fn carried_on(&self, log: Self) -> Self {
        let Self { is_made, has_strays, covered, kept, .. } = self.clone();
        Self { is_made, has_strays, covered, kept, ..log }
    }

    /// Returns what must be there once a store has shown so many events.
    pub(crate) fn shown(&self, count: usize) -> Self {
        let place = self.ends.iter().position(|end| *end == count).unwrap();
        Self {
            ends: vec![count],
            in_flight: self.in_flight[place..].to_vec(),
            is_made: true,
            ..self.clone()
        }
    }
}
