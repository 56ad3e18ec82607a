//! The domain of the tests: a bank account; and stores that get in its way.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use annals::{
    Aggregate, Commit, CommitResult, DomainEvent, Error, EventId, EventStore, Events, FileStore,
    GlobalPosition, GlobalRead, MemoryStore, PoisonCause, Query, RecordedEvent, Result,
    Snapshotted, StreamId, StreamRead, StreamVersion,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
    Closed,
}

impl DomainEvent for AccountEvent {
    const AGGREGATE_TYPE: &'static str = "Account";
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rejection {
    NotOpen,
    OpenAlready,
    NotEnough,
    NotEmpty,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) owner: Option<String>,
    pub(crate) cents: u64,
    pub(crate) moves: Vec<i64>,
}

type Decision = std::result::Result<AccountEvent, Rejection>;

impl Account {
    pub(crate) fn open(&self, owner: &str) -> Decision {
        match self.owner {
            Some(_) => Err(Rejection::OpenAlready),
            None => Ok(AccountEvent::Opened { owner: owner.to_owned() }),
        }
    }

    pub(crate) fn deposit(&self, cents: u64) -> Decision {
        self.check_open()?;
        Ok(AccountEvent::Deposited { cents })
    }

    pub(crate) fn withdraw(&self, cents: u64) -> Decision {
        self.check_open()?;
        match cents > self.cents {
            true => Err(Rejection::NotEnough),
            false => Ok(AccountEvent::Withdrawn { cents }),
        }
    }

    /// Gives two events, or none for an account that is not open.
    pub(crate) fn empty_and_close(&self) -> std::result::Result<Vec<AccountEvent>, Rejection> {
        match self.owner {
            Some(_) => {
                Ok(vec![AccountEvent::Withdrawn { cents: self.cents }, AccountEvent::Closed])
            }
            None => Ok(Vec::new()),
        }
    }

    pub(crate) fn close(&self) -> Decision {
        self.check_open()?;
        if self.cents == 0 { Ok(AccountEvent::Closed) } else { Err(Rejection::NotEmpty) }
    }

    fn check_open(&self) -> std::result::Result<(), Rejection> {
        self.owner.as_ref().map(|_| ()).ok_or(Rejection::NotOpen)
    }
}

impl Aggregate for Account {
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner = Some(owner.clone()),
            AccountEvent::Deposited { cents } => {
                self.cents += cents;
                self.moves.push(i64::try_from(*cents).unwrap());
            }
            AccountEvent::Withdrawn { cents } => {
                self.cents -= cents;
                self.moves.push(-i64::try_from(*cents).unwrap());
            }
            AccountEvent::Closed => self.owner = None,
        }
    }
}

impl Snapshotted for Account {
    const SNAPSHOT_VERSION: u32 = 1;
}

/// Calls a test with an empty store of every kind.
pub(crate) fn on_every_backend(test: impl Fn(Arc<dyn EventStore>)) {
    test(Arc::new(MemoryStore::new()));
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(FileStore::open(directory.path().join("store")).unwrap()));
}

/// A store in which something happens right before and right after commits.
pub(crate) struct Watched<S> {
    pub(crate) store: S,
    /// How many commits are preceded by what `meddle` does.
    pub(crate) meddling: AtomicU32,
    pub(crate) meddle: Box<dyn Fn(&S) + Send + Sync>,
    /// How many look-ups of event ids are preceded, and how many followed, by what `meddle` does.
    pub(crate) looks_before: AtomicU32,
    pub(crate) looks_after: AtomicU32,
    /// How many commits are recorded and answered as if nobody knew.
    pub(crate) forgetting: AtomicU32,
    /// How far the store says that it is durable, if it lags behind.
    pub(crate) durable: Mutex<Option<GlobalPosition>>,
    /// The versions from which streams were read.
    pub(crate) reads: Mutex<Vec<StreamRead>>,
}

impl<S: EventStore> Watched<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            meddling: AtomicU32::new(0),
            meddle: Box::new(|_| ()),
            looks_before: AtomicU32::new(0),
            looks_after: AtomicU32::new(0),
            forgetting: AtomicU32::new(0),
            durable: Mutex::default(),
            reads: Mutex::default(),
        }
    }

    /// Does something before each of the next `count` commits.
    pub(crate) fn meddled(
        store: S,
        count: u32,
        meddle: impl Fn(&S) + Send + Sync + 'static,
    ) -> Self {
        let meddling = AtomicU32::new(count);
        Self { meddling, meddle: Box::new(meddle), ..Self::new(store) }
    }

    /// Loses the answer to each of the next `count` commits.
    pub(crate) fn forget(&self, count: u32) {
        self.forgetting.store(count, Ordering::SeqCst);
    }
}

fn take_one(count: &AtomicU32) -> bool {
    let less = |left: u32| left.checked_sub(1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
}

impl<S: EventStore> EventStore for Watched<S> {
    fn commit(&self, commit: Commit) -> Result<CommitResult> {
        if take_one(&self.meddling) {
            (self.meddle)(&self.store);
        }
        let result = self.store.commit(commit)?;
        if take_one(&self.forgetting) {
            let cause = PoisonCause {
                operation: "sync",
                path: PathBuf::from("log"),
                source: std::io::Error::other("the test says so"),
            };
            return Err(Error::OutcomeUnknown { cause: Arc::new(cause) });
        }
        Ok(result)
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> Result<Events> {
        self.reads.lock().unwrap().push(options.clone());
        self.store.read_stream(stream, options)
    }

    fn read(&self, query: &Query, options: GlobalRead) -> Result<Events> {
        self.store.read(query, options)
    }

    fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion> {
        self.store.stream_version(stream)
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        if take_one(&self.looks_before) {
            (self.meddle)(&self.store);
        }
        let found = self.store.event(event_id);
        if take_one(&self.looks_after) {
            (self.meddle)(&self.store);
        }
        found
    }

    fn global_position(&self) -> Result<GlobalPosition> {
        let durable = *self.durable.lock().unwrap();
        durable.map_or_else(|| self.store.global_position(), Ok)
    }
}
