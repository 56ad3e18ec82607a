//! A store on a [simulated disk](SimulatedDisk), run by hand: everything that happens to it follows
//! from what it is asked to do, so that what a crash brings to light can be replayed.
//!
//! Owns nothing of its own: it opens the engine that every store has on the disk that no store should
//! need, without threads, and hands out what a test of crashes must see.

use crate::chance;
use crate::clock::Clock;
use crate::engine::{Engine, EngineOptions, Workers, verify};
use crate::error::Result;
use crate::event::{EventId, RecordedEvent};
use crate::limits::Limits;
use crate::position::{GlobalPosition, StreamVersion};
use crate::record::{Record, RecordKind};
use crate::store::{
    Claim, Claims, Commit, CommitResult, EventStore, EventStream, Events, GlobalRead, Query,
    RecordStore, StreamRead, Watch, Watcher,
};
use crate::stream::StreamId;

#[cfg(annals_bugs)]
pub use crate::bugs::{Bug, put_in};
pub use crate::engine::{Finding, Severity, VerifyReport, Work};
pub use crate::io::{Call, Crash, Failure, Moment, SimulatedDisk};

/// How a store on a simulated disk is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of a segment: any multiple of 4,096 from 8,192 on.
    pub segment_bytes: u64,
    /// Events that the index keeps in memory before it writes them as a run.
    pub memtable_events: usize,
    /// The clock, which also tells how fast segments fill.
    pub clock: Clock,
}

/// A store on a simulated disk.
pub struct SimulatedStore {
    engine: Engine<SimulatedDisk>,
    claims: Claims,
}

/// Lets everything that is drawn by chance on this thread follow from a seed from now on.
pub fn replay_from(seed: u64) {
    chance::replay_from(seed);
}

impl SimulatedStore {
    /// Opens a store for writing, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// As [`FileStore::open`](crate::FileStore::open).
    pub fn open(disk: &SimulatedDisk, settings: &Settings) -> Result<Self> {
        let options = EngineOptions {
            segment_bytes: settings.segment_bytes,
            limits: Limits::default(),
            clock: settings.clock.clone(),
            memtable_events: settings.memtable_events,
            workers: Workers::Caller,
        };
        Engine::open(disk.clone(), &options).map(Self::over)
    }

    /// Opens a store for reading.
    ///
    /// # Errors
    ///
    /// As [`FileStore::open_read_only`](crate::FileStore::open_read_only).
    pub fn open_read_only(disk: &SimulatedDisk) -> Result<Self> {
        Engine::open_read_only(disk.clone()).map(Self::over)
    }

    fn over(engine: Engine<SimulatedDisk>) -> Self {
        Self { engine, claims: Claims::default() }
    }

    /// Checks every byte of a store.
    ///
    /// # Errors
    ///
    /// As [`FileStore::verify`](crate::FileStore::verify).
    pub fn verify(disk: &SimulatedDisk) -> Result<VerifyReport> {
        verify(disk.clone())
    }

    /// Returns what opening came upon.
    pub fn findings(&self) -> &[Finding] {
        self.engine.findings()
    }

    /// Does work that a thread of the store would do, if it is due, and tells whether it was.
    pub fn work(&self, work: Work) -> bool {
        self.engine.work(work)
    }

    /// Commits several at once: they are written as one group.
    pub fn commit_together(&self, commits: &[Commit]) -> Vec<Result<CommitResult>> {
        self.engine.commit_together(commits)
    }

    /// Returns the location at which the durable part of the log ends; a multiple of 4,096 is one of
    /// its segment too.
    pub fn log_end(&self) -> u64 {
        self.engine.reader().durable_end().get()
    }

    /// Closes the store.
    ///
    /// # Errors
    ///
    /// As [`FileStore::close`](crate::FileStore::close).
    pub fn close(self) -> Result<()> {
        self.engine.close()
    }
}

impl EventStore for SimulatedStore {
    fn commit(&self, commit: Commit) -> Result<CommitResult> {
        self.engine.commit(commit)
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> Result<Events> {
        self.engine.reader().read_stream(stream, &options)
    }

    fn read(&self, query: &Query, options: GlobalRead) -> Result<Events> {
        self.engine.reader().read(query, &options)
    }

    fn load_stream(&self, stream: &StreamId, options: StreamRead) -> Result<EventStream> {
        self.engine.reader().load_stream(stream, options)
    }

    fn event_exists(&self, event_id: EventId) -> Result<bool> {
        self.engine.reader().event_exists(event_id)
    }

    fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion> {
        self.engine.reader().version(stream)
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        self.engine.reader().event(event_id)
    }

    fn global_position(&self) -> Result<GlobalPosition> {
        Ok(self.engine.reader().durable())
    }

    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        self.engine.reader().watch(position, watcher)
    }
}

impl RecordStore for SimulatedStore {
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> Result<()> {
        self.engine.sidecar().write(kind, name, content)
    }

    fn read_record(&self, kind: RecordKind, name: &str) -> Result<Record> {
        self.engine.sidecar().read(kind, name)
    }

    fn remove_record(&self, kind: RecordKind, name: &str) -> Result<()> {
        self.engine.sidecar().remove(kind, name)
    }

    fn claim(&self, kind: RecordKind, name: &str) -> Result<Claim> {
        self.claims.claim(kind, name)
    }
}
