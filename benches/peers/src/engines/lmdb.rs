//! LMDB: the three tables of `rows`, by heed.
//!
//! - A commit is one write transaction with the default flags; LMDB lets one run at a time and offers
//!   no group commit. It syncs the data with `fdatasync` and then writes the page that names the new
//!   tree through a file opened with `O_DSYNC`: a second sync that no call to the system shows.
//! - A bulk load opens with `MDB_NOSYNC` and syncs once at the end.
//! - The version of a stream is the last key of its range in `streams`; the next position follows the
//!   last key of `events`. Rows are put with `MDB_APPEND`, since positions only grow.

use std::ops::Bound::Included;
use std::path::Path;

use heed::byteorder::BigEndian;
use heed::types::{Bytes, U64};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, RwTxn};
use uuid::Uuid;

use super::rows::{self, Put, Tables};
use super::{Engine, Purpose, Refused, Seen};
use crate::workload::{Append, Stream};

pub(super) const SETTINGS: &str = "default flags (bulk load: MDB_NOSYNC, one sync at the end)";

/// Address space only: the file grows with what is written.
const MAP_BYTES: usize = 64 << 30;

type Position = U64<BigEndian>;

pub(super) struct Lmdb {
    env: Env,
    tables: Databases,
}

#[derive(Clone, Copy)]
struct Databases {
    events: Database<'static, Position, Bytes>,
    streams: Database<'static, Bytes, Position>,
    ids: Database<'static, Bytes, Position>,
}

impl Lmdb {
    pub(super) fn open(directory: &Path, purpose: Purpose) -> Self {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES).max_dbs(3);
        if purpose == Purpose::BulkLoad {
            // SAFETY: a crash may leave a broken file; the run ends then, and nobody opens it again.
            unsafe { options.flags(EnvFlags::NO_SYNC) };
        }
        // SAFETY: the file is in a directory of this run, and no other process has it open.
        let env = unsafe { options.open(directory) }.unwrap();
        let transaction = env.write_txn().unwrap();
        let tables = env.create_databases_and_commit(transaction, |creator, transaction| {
            let events = creator.create_database(transaction, Some("events"))?;
            let streams = creator.create_database(transaction, Some("streams"))?;
            let ids = creator.create_database(transaction, Some("ids"))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((events, streams, ids)))
        });
        let (events, streams, ids) = tables.unwrap().unwrap_commit();
        Self { env, tables: Databases { events, streams, ids } }
    }
}

impl Databases {
    fn version(self, transaction: &RoTxn<'_>, stream: &[u8]) -> u64 {
        let (first, last) = rows::stream_range(stream);
        let range = (Included(first.as_slice()), Included(last.as_slice()));
        let found = self.streams.rev_range(transaction, &range).unwrap().next();
        found.map_or(0, |found| rows::version_of(found.unwrap().0))
    }
}

impl Engine for Lmdb {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        let transaction = self.env.write_txn().unwrap();
        let last = self.tables.events.last(&transaction).unwrap();
        let last = last.map_or(0, |(position, _)| position);
        let mut writing = Writing { tables: self.tables, transaction };
        rows::append(&mut writing, &commit, last)?;
        writing.transaction.commit().unwrap();
        Ok(())
    }

    fn sync(&self) {
        self.env.force_sync().unwrap();
    }

    fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>)) {
        let transaction = self.env.read_txn().unwrap();
        let key = rows::stream_key(stream);
        for found in self.tables.streams.prefix_iter(&transaction, &key).unwrap() {
            let position = found.unwrap().1;
            let row = self.tables.events.get(&transaction, &position).unwrap().unwrap();
            visit(&rows::decode(position, row));
        }
    }

    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
        let transaction = self.env.read_txn().unwrap();
        for found in self.tables.events.iter(&transaction).unwrap() {
            let (position, row) = found.unwrap();
            visit(&rows::decode(position, row));
        }
    }

    fn stream_version(&self, stream: Stream) -> u64 {
        let transaction = self.env.read_txn().unwrap();
        self.tables.version(&transaction, &rows::stream_key(stream))
    }

    fn event_exists(&self, id: Uuid) -> bool {
        let transaction = self.env.read_txn().unwrap();
        self.tables.ids.get(&transaction, id.as_bytes()).unwrap().is_some()
    }

    fn close(self: Box<Self>) {
        self.env.prepare_for_closing().wait();
    }
}

/// A transaction that is dropped without a commit leaves nothing.
struct Writing<'e> {
    tables: Databases,
    transaction: RwTxn<'e>,
}

impl Tables for Writing<'_> {
    const SEES_ITS_OWN: bool = true;

    fn version(&mut self, stream: &[u8]) -> u64 {
        self.tables.version(&self.transaction, stream)
    }

    fn has_id(&mut self, id: &[u8; 16]) -> bool {
        self.tables.ids.get(&self.transaction, id).unwrap().is_some()
    }

    fn put(&mut self, put: &Put<'_>) {
        let transaction = &mut self.transaction;
        let events = self.tables.events;
        events.put_with_flags(transaction, PutFlags::APPEND, &put.position, put.row).unwrap();
        self.tables.streams.put(transaction, &put.stream_key(), &put.position).unwrap();
        self.tables.ids.put(transaction, put.id, &put.position).unwrap();
    }
}
