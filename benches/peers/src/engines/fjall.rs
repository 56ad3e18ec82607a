//! fjall: the four keyspaces of `rows`, `heads` among them, since a log-structured tree answers for
//! one key much better than for the last key of a range.
//!
//! - A commit is one batch with `PersistMode::SyncData`, made under a mutex that holds the last
//!   position: checks and write belong together. fjall offers no group commit. A bulk load leaves its
//!   batches in the buffers of the system and persists once at the end.

use std::path::Path;
use std::sync::Mutex;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use uuid::Uuid;

use super::rows::{self, Put, Tables};
use super::{Engine, Purpose, Refused, Seen};
use crate::workload::{Append, Stream};

pub(super) const SETTINGS: &str =
    "PersistMode::SyncData (bulk load: once at the end), 512 MiB block cache";

const CACHE_BYTES: u64 = 512 << 20;

pub(super) struct Fjall {
    database: Database,
    purpose: Purpose,
    keyspaces: Keyspaces,
    last: Mutex<u64>,
}

struct Keyspaces {
    events: Keyspace,
    streams: Keyspace,
    ids: Keyspace,
    heads: Keyspace,
}

impl Fjall {
    pub(super) fn open(directory: &Path, purpose: Purpose) -> Self {
        let database = Database::builder(directory).cache_size(CACHE_BYTES).open().unwrap();
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        let keyspaces = Keyspaces {
            events: keyspace("events"),
            streams: keyspace("streams"),
            ids: keyspace("ids"),
            heads: keyspace("heads"),
        };
        let last = keyspaces.events.last_key_value();
        let last = last.map_or(0, |found| rows::number(&found.key().unwrap()));
        Self { database, purpose, keyspaces, last: Mutex::new(last) }
    }
}

impl Keyspaces {
    fn version(&self, stream: &[u8]) -> u64 {
        self.heads.get(stream).unwrap().map_or(0, |version| rows::number(&version))
    }
}

impl Engine for Fjall {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        let mut last = self.last.lock().unwrap();
        let durability = match self.purpose {
            Purpose::Work => Some(PersistMode::SyncData),
            Purpose::BulkLoad => Some(PersistMode::Buffer),
        };
        let batch = self.database.batch().durability(durability);
        let mut tables = Writing { keyspaces: &self.keyspaces, batch };
        let appended = rows::append(&mut tables, &commit, *last)?;
        tables.batch.commit().unwrap();
        *last = appended;
        Ok(())
    }

    fn sync(&self) {
        self.database.persist(PersistMode::SyncData).unwrap();
    }

    fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>)) {
        for found in self.keyspaces.streams.prefix(rows::stream_key(stream)) {
            let position = found.value().unwrap();
            let row = self.keyspaces.events.get(&position).unwrap().unwrap();
            visit(&rows::decode(rows::number(&position), &row));
        }
    }

    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
        for found in self.keyspaces.events.iter() {
            let (position, row) = found.into_inner().unwrap();
            visit(&rows::decode(rows::number(&position), &row));
        }
    }

    fn stream_version(&self, stream: Stream) -> u64 {
        self.keyspaces.version(&rows::stream_key(stream))
    }

    fn event_exists(&self, id: Uuid) -> bool {
        self.keyspaces.ids.contains_key(id.as_bytes()).unwrap()
    }

    fn close(self: Box<Self>) {
        self.database.persist(PersistMode::SyncAll).unwrap();
    }
}

struct Writing<'a> {
    keyspaces: &'a Keyspaces,
    batch: OwnedWriteBatch,
}

impl Tables for Writing<'_> {
    const SEES_ITS_OWN: bool = false;

    fn version(&mut self, stream: &[u8]) -> u64 {
        self.keyspaces.version(stream)
    }

    fn has_id(&mut self, id: &[u8; 16]) -> bool {
        self.keyspaces.ids.contains_key(id).unwrap()
    }

    fn put(&mut self, put: &Put<'_>) {
        let position = put.position.to_be_bytes();
        self.batch.insert(&self.keyspaces.events, position, put.row);
        self.batch.insert(&self.keyspaces.streams, put.stream_key(), position);
        self.batch.insert(&self.keyspaces.ids, *put.id, position);
        self.batch.insert(&self.keyspaces.heads, put.stream, put.version.to_be_bytes());
    }
}
