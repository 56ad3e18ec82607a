//! SQLite: one table of events, one connection that writes behind a mutex.
//!
//! - `events`: the global position is the row id; the event id is unique, and so is the triple of
//!   aggregate id, aggregate type and version, whose index answers for the version of a stream and
//!   leads a load through it.
//! - An append is one `BEGIN IMMEDIATE` transaction: read the version, insert, commit. A taken event
//!   id is refused by its unique index. Positions are contiguous since the table has one writer, no
//!   row is removed, and a transaction that is rolled back burns none.
//! - WAL and `synchronous=FULL`: a commit syncs the WAL. A bulk load has `synchronous=NORMAL`, which
//!   syncs at checkpoints only, and ends with one checkpoint.
//! - All statements are prepared once. SQLite offers no group commit, so threads take turns.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};
use uuid::Uuid;

use super::{Engine, Purpose, Refused, Seen, rows};
use crate::workload::{Append, Stream};

pub(super) const SETTINGS: &str = "WAL, synchronous=FULL (bulk load: NORMAL, one checkpoint at the \
    end), 64 MiB page cache, 2 GiB mmap_size";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL,
        occurred_at INTEGER NOT NULL,
        event_id BLOB NOT NULL UNIQUE,
        aggregate_type TEXT NOT NULL,
        aggregate_id BLOB NOT NULL,
        event_type TEXT NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (aggregate_id, aggregate_type, version)
    ) STRICT";
const INSERT: &str = "INSERT INTO events (version, recorded_at, occurred_at, event_id, \
    aggregate_type, aggregate_id, event_type, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const VERSION: &str = "SELECT version FROM events WHERE aggregate_id = ? AND aggregate_type = ? ORDER BY version \
     DESC LIMIT 1";
const EXISTS: &str = "SELECT 1 FROM events WHERE event_id = ?";
const LOAD: &str = "SELECT * FROM events WHERE aggregate_id = ? AND aggregate_type = ? ORDER BY \
     version";
const SCAN: &str = "SELECT * FROM events ORDER BY position";

pub(super) struct Sqlite(Mutex<Connection>);

impl Sqlite {
    pub(super) fn open(directory: &Path, purpose: Purpose) -> Self {
        let connection = Connection::open(directory.join("events.sqlite")).unwrap();
        let synchronous = match purpose {
            Purpose::Work => "FULL",
            Purpose::BulkLoad => "NORMAL",
        };
        let pragmas = format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
             PRAGMA cache_size = -65536; PRAGMA mmap_size = 2147483648;"
        );
        connection.execute_batch(&pragmas).unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        Self(Mutex::new(connection))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap()
    }
}

impl Engine for Sqlite {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        let mut connection = self.connection();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let recorded_at = rows::now();
        for append in &commit {
            let stream = append.stream;
            let mut version = version(&transaction, stream);
            if version != append.expected {
                return Err(Refused::Version);
            }
            let mut insert = transaction.prepare_cached(INSERT).unwrap();
            for event in &append.events {
                version += 1;
                let inserted = insert.execute(params![
                    version as i64,
                    recorded_at,
                    event.occurred_at,
                    event.id.as_bytes(),
                    stream.aggregate_type,
                    stream.aggregate_id.as_bytes(),
                    event.event_type,
                    event.payload,
                ]);
                match inserted.map_err(|error| error.sqlite_error_code()) {
                    Ok(_) => {}
                    Err(Some(ErrorCode::ConstraintViolation)) => return Err(Refused::EventId),
                    Err(code) => panic!("the insert failed: {code:?}"),
                }
            }
        }
        transaction.commit().unwrap();
        Ok(())
    }

    fn sync(&self) {
        let connection = self.connection();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }

    fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>)) {
        let connection = self.connection();
        let mut load = connection.prepare_cached(LOAD).unwrap();
        let name = params![stream.aggregate_id.as_bytes(), stream.aggregate_type];
        let mut found = load.query(name).unwrap();
        while let Some(row) = found.next().unwrap() {
            visit(&seen(row));
        }
    }

    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
        let connection = self.connection();
        let mut scan = connection.prepare_cached(SCAN).unwrap();
        let mut found = scan.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            visit(&seen(row));
        }
    }

    fn stream_version(&self, stream: Stream) -> u64 {
        version(&self.connection(), stream)
    }

    fn event_exists(&self, id: Uuid) -> bool {
        let connection = self.connection();
        let mut exists = connection.prepare_cached(EXISTS).unwrap();
        exists.exists([id.as_bytes()]).unwrap()
    }

    fn close(self: Box<Self>) {
        self.0.into_inner().unwrap().close().unwrap();
    }
}

fn version(connection: &Connection, stream: Stream) -> u64 {
    let mut version = connection.prepare_cached(VERSION).unwrap();
    let name = params![stream.aggregate_id.as_bytes(), stream.aggregate_type];
    let found: Option<i64> = version.query_row(name, |row| row.get(0)).optional().unwrap();
    found.unwrap_or(0) as u64
}

fn seen<'a>(row: &'a Row<'_>) -> Seen<'a> {
    let number = |column: usize| row.get_ref(column).unwrap().as_i64().unwrap();
    let text = |column: usize| row.get_ref(column).unwrap().as_str().unwrap();
    let bytes = |column: usize| row.get_ref(column).unwrap().as_blob().unwrap();
    Seen {
        position: number(0) as u64,
        version: number(1) as u64,
        recorded_at: number(2),
        occurred_at: number(3),
        id: Uuid::from_slice(bytes(4)).unwrap(),
        aggregate_type: text(5),
        aggregate_id: Uuid::from_slice(bytes(6)).unwrap(),
        event_type: text(7),
        payload: bytes(8),
    }
}
