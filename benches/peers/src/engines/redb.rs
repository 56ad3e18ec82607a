//! redb: the three tables of `rows`, in one file.
//!
//! - A commit is one write transaction with `Durability::Immediate`; redb lets one run at a time and
//!   offers no group commit. A bulk load has `Durability::None` and one empty commit at the end.
//! - The version of a stream is the last key of its range in `streams`; the next position follows the
//!   last key of `events`.

use std::path::Path;

use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition,
};
use uuid::Uuid;

use super::rows::{self, Put, Tables};
use super::{Engine, Purpose, Refused, Seen};
use crate::workload::{Append, Stream};

pub(super) const SETTINGS: &str =
    "Durability::Immediate (bulk load: None, Immediate at the end), defaults otherwise";

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const STREAMS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("streams");
const IDS: TableDefinition<'_, &[u8; 16], u64> = TableDefinition::new("ids");

pub(super) struct Redb {
    database: Database,
    purpose: Purpose,
}

impl Redb {
    pub(super) fn open(directory: &Path, purpose: Purpose) -> Self {
        let path = directory.join("events.redb");
        let is_new = !path.exists();
        let database = Database::create(path).unwrap();
        if is_new {
            let transaction = database.begin_write().unwrap();
            transaction.open_table(EVENTS).unwrap();
            transaction.open_table(STREAMS).unwrap();
            transaction.open_table(IDS).unwrap();
            transaction.commit().unwrap();
        }
        Self { database, purpose }
    }

    fn events(&self) -> ReadOnlyTable<u64, &'static [u8]> {
        self.database.begin_read().unwrap().open_table(EVENTS).unwrap()
    }
}

impl Engine for Redb {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        let mut transaction = self.database.begin_write().unwrap();
        let durability = match self.purpose {
            Purpose::Work => Durability::Immediate,
            Purpose::BulkLoad => Durability::None,
        };
        transaction.set_durability(durability).unwrap();
        let appended = {
            let mut tables = Writing {
                events: transaction.open_table(EVENTS).unwrap(),
                streams: transaction.open_table(STREAMS).unwrap(),
                ids: transaction.open_table(IDS).unwrap(),
            };
            let last = tables.events.last().unwrap().map_or(0, |(position, _)| position.value());
            rows::append(&mut tables, &commit, last)
        };
        match appended {
            Ok(_) => transaction.commit().unwrap(),
            Err(_) => transaction.abort().unwrap(),
        }
        appended.map(|_| ())
    }

    fn sync(&self) {
        // Every transaction that is written without another word is durable when it is committed.
        self.database.begin_write().unwrap().commit().unwrap();
    }

    fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>)) {
        let transaction = self.database.begin_read().unwrap();
        let streams = transaction.open_table(STREAMS).unwrap();
        let events = transaction.open_table(EVENTS).unwrap();
        let (first, last) = rows::stream_range(&rows::stream_key(stream));
        for found in streams.range(&first[..]..=&last[..]).unwrap() {
            let position = found.unwrap().1.value();
            let row = events.get(position).unwrap().unwrap();
            visit(&rows::decode(position, row.value()));
        }
    }

    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
        for found in self.events().range::<u64>(..).unwrap() {
            let (position, row) = found.unwrap();
            visit(&rows::decode(position.value(), row.value()));
        }
    }

    fn stream_version(&self, stream: Stream) -> u64 {
        let transaction = self.database.begin_read().unwrap();
        let streams = transaction.open_table(STREAMS).unwrap();
        last_version(&streams, &rows::stream_key(stream))
    }

    fn event_exists(&self, id: Uuid) -> bool {
        let transaction = self.database.begin_read().unwrap();
        transaction.open_table(IDS).unwrap().get(id.as_bytes()).unwrap().is_some()
    }

    fn close(self: Box<Self>) {
        self.database.close().unwrap();
    }
}

fn last_version(streams: &impl ReadableTable<&'static [u8], u64>, stream: &[u8]) -> u64 {
    let (first, last) = rows::stream_range(stream);
    let found = streams.range(&first[..]..=&last[..]).unwrap().next_back();
    found.map_or(0, |found| rows::version_of(found.unwrap().0.value()))
}

struct Writing<'t> {
    events: Table<'t, u64, &'static [u8]>,
    streams: Table<'t, &'static [u8], u64>,
    ids: Table<'t, &'static [u8; 16], u64>,
}

impl Tables for Writing<'_> {
    const SEES_ITS_OWN: bool = true;

    fn version(&mut self, stream: &[u8]) -> u64 {
        last_version(&self.streams, stream)
    }

    fn has_id(&mut self, id: &[u8; 16]) -> bool {
        self.ids.get(id).unwrap().is_some()
    }

    fn put(&mut self, put: &Put<'_>) {
        self.events.insert(put.position, put.row).unwrap();
        self.streams.insert(&put.stream_key()[..], put.position).unwrap();
        self.ids.insert(put.id, put.position).unwrap();
    }
}
