//! RocksDB: the four column families of `rows`, `heads` among them, as for fjall.
//!
//! - A commit is one write batch with `sync`, made under a mutex that holds the last position: checks
//!   and write belong together, so the group commit of RocksDB never has two writers to join. A bulk
//!   load writes without `sync` and syncs the WAL once at the end.

use std::path::Path;
use std::sync::Mutex;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, DB, IteratorMode, Options, WriteBatch, WriteOptions,
};
use uuid::Uuid;

use super::rows::{self, Put, Tables};
use super::{Engine, Purpose, Refused, Seen};
use crate::workload::{Append, Stream};

pub(super) const SETTINGS: &str =
    "sync=true (bulk load: WAL synced at the end), 512 MiB block cache, 10-bit Bloom filters";

const FAMILIES: [&str; 4] = ["events", "streams", "ids", "heads"];
const CACHE_BYTES: usize = 512 << 20;

pub(super) struct Rocksdb {
    database: DB,
    purpose: Purpose,
    last: Mutex<u64>,
}

impl Rocksdb {
    pub(super) fn open(directory: &Path, purpose: Purpose) -> Self {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_block_based_table_factory(&blocks);
        let families = FAMILIES.map(|name| (name, options.clone()));
        let database = DB::open_cf_with_opts(&options, directory, families).unwrap();
        let events = database.cf_handle("events").unwrap();
        let last = database.iterator_cf(events, IteratorMode::End).next();
        let last = last.map_or(0, |found| rows::number(&found.unwrap().0));
        Self { database, purpose, last: Mutex::new(last) }
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.database.cf_handle(name).unwrap()
    }

    fn version(&self, stream: &[u8]) -> u64 {
        let found = self.database.get_pinned_cf(self.family("heads"), stream).unwrap();
        found.map_or(0, |version| rows::number(&version))
    }

    fn has_id(&self, id: &[u8; 16]) -> bool {
        self.database.get_pinned_cf(self.family("ids"), id).unwrap().is_some()
    }
}

impl Engine for Rocksdb {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        let mut last = self.last.lock().unwrap();
        let mut tables = Writing { engine: self, batch: WriteBatch::default() };
        let appended = rows::append(&mut tables, &commit, *last)?;
        let mut options = WriteOptions::default();
        options.set_sync(self.purpose == Purpose::Work);
        self.database.write_opt(tables.batch, &options).unwrap();
        *last = appended;
        Ok(())
    }

    fn sync(&self) {
        self.database.flush_wal(true).unwrap();
    }

    fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>)) {
        let (first, last) = rows::stream_range(&rows::stream_key(stream));
        let from = IteratorMode::From(&first, rocksdb::Direction::Forward);
        let events = self.family("events");
        for found in self.database.iterator_cf(self.family("streams"), from) {
            let (key, position) = found.unwrap();
            if *key > *last {
                return;
            }
            let row = self.database.get_pinned_cf(events, &position).unwrap().unwrap();
            visit(&rows::decode(rows::number(&position), &row));
        }
    }

    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
        let mut cursor = self.database.raw_iterator_cf(self.family("events"));
        cursor.seek_to_first();
        while let Some((position, row)) = cursor.item() {
            visit(&rows::decode(rows::number(position), row));
            cursor.next();
        }
    }

    fn stream_version(&self, stream: Stream) -> u64 {
        self.version(&rows::stream_key(stream))
    }

    fn event_exists(&self, id: Uuid) -> bool {
        self.has_id(id.as_bytes())
    }

    fn close(self: Box<Self>) {
        self.database.flush_wal(true).unwrap();
    }
}

struct Writing<'e> {
    engine: &'e Rocksdb,
    batch: WriteBatch,
}

impl Tables for Writing<'_> {
    const SEES_ITS_OWN: bool = false;

    fn version(&mut self, stream: &[u8]) -> u64 {
        self.engine.version(stream)
    }

    fn has_id(&mut self, id: &[u8; 16]) -> bool {
        self.engine.has_id(id)
    }

    fn put(&mut self, put: &Put<'_>) {
        let position = put.position.to_be_bytes();
        self.batch.put_cf(self.engine.family("events"), position, put.row);
        self.batch.put_cf(self.engine.family("streams"), put.stream_key(), position);
        self.batch.put_cf(self.engine.family("ids"), put.id, position);
        let version = put.version.to_be_bytes();
        self.batch.put_cf(self.engine.family("heads"), put.stream, version);
    }
}
