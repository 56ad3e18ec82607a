//! The pieces of work, in the order in which they run within a round.

use clap::ValueEnum;

use crate::engines::Name;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Work {
    /// Durable appends of one event by one thread to an empty store.
    Append1,
    /// The same by eight threads, each to a stream of its own.
    Append8,
    /// The same by 64 threads.
    Append64,
    /// Durable appends of a hundred events by one thread to an empty store.
    Append100,
    /// Fills the store, a thousand events a commit, with one sync at the end.
    Bulk,
    /// Reads the store that was filled: scans, loads and questions.
    Read,
    /// Opens the store after a clean close.
    Open,
    /// As `Append1`, to the store that was filled.
    AppendFull,
    /// Appends to that store until the parent kills the process.
    Die,
    /// Opens the store after that.
    OpenKilled,
}

/// Durable appends: how many threads, how many events a commit.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub threads: u64,
    pub events_per_commit: u64,
    /// Where the lanes of the threads begin.
    pub first_lane: u64,
    /// The processor on which a lone thread is held.
    pub held_on: Option<usize>,
}

impl Load {
    /// Holds a lone thread on a processor; several run where the system puts them.
    pub fn held_on(self, processor: Option<usize>) -> Self {
        Self { held_on: processor.filter(|_| self.threads == 1), ..self }
    }
}

impl Work {
    pub fn load(self) -> Option<Load> {
        let load = |threads, events_per_commit, first_lane| {
            Some(Load { threads, events_per_commit, first_lane, held_on: None })
        };
        match self {
            Self::Append1 => load(1, 1, 0),
            Self::Append8 => load(8, 1, 0),
            Self::Append64 => load(64, 1, 0),
            Self::Append100 => load(1, 100, 0),
            Self::AppendFull => load(1, 1, 100),
            _ => None,
        }
    }

    /// Tells whether the work is done on the store of the round, and not on one of its own.
    pub fn is_on_the_filled_store(self) -> bool {
        self > Self::Append100
    }

    /// Returns what must have been done before, in the same round.
    pub fn needs(self) -> &'static [Self] {
        match self {
            Self::OpenKilled => &[Self::Bulk, Self::Die],
            _ if self.is_on_the_filled_store() => &[Self::Bulk],
            _ => &[],
        }
    }

    /// Tells whether an engine can do the work; the raw floor has no index and needs no opening.
    pub fn suits(self, engine: Name) -> bool {
        engine != Name::Raw || !matches!(self, Self::Open | Self::Die | Self::OpenKilled)
    }
}
