//! The engines, and the whole job that each of them does.
//!
//! An append checks the expected version of its stream and that no event id is taken, gives out
//! contiguous global positions and stream versions, and is durable when it returns. What an engine
//! does not offer by itself is built on it here, in the way that suits it best; the head of each
//! file says how.

use std::path::Path;

use clap::ValueEnum;
use uuid::Uuid;

use crate::workload::{Append, Stream};

mod annals;
mod fjall;
mod lmdb;
mod raw;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod rows;
mod sqlite;
mod tephra;

/// An engine by name, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Name {
    Raw,
    Annals,
    Sqlite,
    Redb,
    Fjall,
    Lmdb,
    Tephra,
    #[cfg(feature = "rocksdb")]
    Rocksdb,
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Every append is durable when it returns, and questions are answered.
    Work,
    /// Appends need not be durable before `sync`, if the engine can do that.
    BulkLoad,
}

/// Whether the time of recording never decreases along the positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Ordered,
    Unordered,
}

/// Why an append was refused; nothing was written.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// A stream is not at the expected version.
    Version,
    /// An event id is taken.
    EventId,
}

/// An event as an engine hands it out.
#[derive(Debug)]
pub struct Seen<'a> {
    pub position: u64,
    pub version: u64,
    /// In microseconds since 1970, as the next.
    pub recorded_at: i64,
    pub occurred_at: i64,
    pub id: Uuid,
    pub aggregate_type: &'a str,
    pub aggregate_id: Uuid,
    pub event_type: &'a str,
    pub payload: &'a [u8],
}

pub trait Engine: Sync {
    /// Appends to one or several streams, all or nothing.
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused>;

    /// Makes durable what was appended in a bulk load.
    fn sync(&self);

    /// Hands out the events of a stream in order.
    fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>));

    /// Hands out all events in global order.
    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>));

    /// Returns 0 when there is no such stream.
    fn stream_version(&self, stream: Stream) -> u64;

    fn event_exists(&self, id: Uuid) -> bool;

    fn close(self: Box<Self>);
}

impl Name {
    /// Opens a store in a directory of its own, which exists, and makes it when it is not there.
    pub fn open(self, directory: &Path, purpose: Purpose) -> Box<dyn Engine> {
        match self {
            Self::Raw => Box::new(raw::Raw::open(directory, purpose)),
            Self::Annals => Box::new(annals::Annals::open(directory, purpose)),
            Self::Sqlite => Box::new(sqlite::Sqlite::open(directory, purpose)),
            Self::Redb => Box::new(redb::Redb::open(directory, purpose)),
            Self::Fjall => Box::new(fjall::Fjall::open(directory, purpose)),
            Self::Lmdb => Box::new(lmdb::Lmdb::open(directory, purpose)),
            Self::Tephra => Box::new(tephra::Tephra::open(directory)),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => Box::new(rocksdb::Rocksdb::open(directory, purpose)),
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Annals => "annals",
            Self::Sqlite => "SQLite",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
            Self::Lmdb => "LMDB",
            Self::Tephra => "Tephra",
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => "RocksDB",
        }
    }

    pub fn times(self) -> Times {
        match self {
            Self::Tephra => Times::Unordered,
            _ => Times::Ordered,
        }
    }

    /// The package whose version in the lock file counts; none for the raw floor.
    pub fn package(self) -> Option<&'static str> {
        match self {
            Self::Raw => None,
            Self::Annals => Some("annals"),
            Self::Sqlite => Some("rusqlite"),
            Self::Redb => Some("redb"),
            Self::Fjall => Some("fjall"),
            Self::Lmdb => Some("heed"),
            Self::Tephra => Some("tephra"),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => Some("rocksdb"),
        }
    }

    pub fn settings(self) -> &'static str {
        match self {
            Self::Raw => raw::SETTINGS,
            Self::Annals => annals::SETTINGS,
            Self::Sqlite => sqlite::SETTINGS,
            Self::Redb => redb::SETTINGS,
            Self::Fjall => fjall::SETTINGS,
            Self::Lmdb => lmdb::SETTINGS,
            Self::Tephra => tephra::SETTINGS,
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => rocksdb::SETTINGS,
        }
    }
}
