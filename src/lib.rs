//! annals is an embedded event store: durable streams of events in one directory, no server.
//!
//! Events go to an append-only log. Each belongs to a stream, the pair of an aggregate type and an
//! aggregate id, and stands in one global order over all streams. A commit is synced to the device
//! before it is acknowledged, and opening a store recovers from any crash.
//!
//! It is not a server, not replicated and not a message queue; it keeps what happened, and the program
//! makes state of it.
//!
//! # A first example
//!
//! ```
//! use annals::{EventStore, ExpectedVersion, FileStore, NewEvent, ReadOptions, StreamId};
//!
//! # fn main() -> annals::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let directory = directory.path().join("first");
//! let store = FileStore::open(directory)?;
//! let plan = StreamId::new("TrainingPlan", "plan-001")?;
//! let scheduled = NewEvent::new("WorkoutScheduled", "monday");
//! store.append(&plan, ExpectedVersion::NoStream, vec![scheduled])?;
//! for event in store.read_stream(&plan, ReadOptions::new())? {
//!     println!("{:?}", event?);
//! }
//! store.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - When [`append`](EventStore::append) or [`commit`](EventStore::commit) returns `Ok`, its events
//!   survive the end of the process, a crash of the system and loss of power, on any device that
//!   honours flushes.
//! - A commit is recorded whole or not at all, also across several streams.
//! - Nobody reads an event that a crash can still remove.
//! - Global positions and stream versions are 1, 2, 3 ... without gaps, and none is given out twice.
//! - [`Damage`] is reported with file and offset; it is never returned as data and never taken for
//!   the end of the log.
//! - After a failed write or sync the store takes no more writes until it is opened again, and a retry
//!   with the same events is safe.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `json`: payloads as JSON, `Codec::json`, `NewEvent::json` and `RecordedEvent::decode_json`.
//! - `cli`: the program `annals`.
//! - `testing`: the conformance suite, to hold a store that wraps one of these to the contract.
//!
//! # Where to read next
//!
//! [`EventStore`] is the contract, [`FileStore`] the store on disk and [`MemoryStore`] the one for
//! tests. [`NewEvent`] and [`RecordedEvent`] are an event before and after it is recorded, [`Commit`]
//! appends to several streams at once, [`ReadOptions`] says what is read, and [`Error`] what to do when
//! something fails. On the store stand typed events ([`DomainEvent`], [`Codec`], [`Upcasters`]),
//! aggregates ([`Aggregate`], [`Repository`], [`Root`]) and [`Snapshot`]s; a [`Subscription`] follows the store, and a
//! [`Projection`] makes state of its events. The folder `docs` of the repository has the contract clause by
//! clause, the architecture, the format on disk, and runnable examples.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod backend;
mod bugs;
mod chance;
mod clock;
mod codec;
mod domain;
mod encoding;
mod engine;
mod error;
mod escaped;
mod event;
mod few;
mod field;
mod format;
mod index;
mod io;
pub mod limits;
mod position;
mod projection;
mod record;
mod segment;
mod sidecar;
mod store;
mod stream;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
mod timestamp;

pub use backend::file::{FileStore, Options, Reading, Stats, Submitted};
pub use backend::memory::MemoryStore;
pub use clock::{Clock, ClockHand};
pub use codec::{Codec, DomainEvent, Registry, Upcasters};
pub use domain::{
    Aggregate, CommandError, Context, IntoEvents, MemorySnapshots, Outcome, Repository, Root,
    Scenario, Snapshot, SnapshotPolicy, SnapshotStore, Snapshotted, StoredSnapshots, TenantStore,
};
pub use engine::{Durability, Finding, RepairReport, RepairStep, Severity, VerifyReport};
pub use error::{Damage, DecodeFailure, Difference, Error, PoisonCause, Result};
pub use escaped::Escaped;
pub use event::{ContentType, EventId, Metadata, NewEvent, RecordedEvent};
pub use position::{GlobalPosition, StreamVersion};
pub use projection::{
    DeadLetter, Handled, OnFailure, OnHistoryChange, Progress, Projection, ProjectionOptions,
    ProjectionRunner, ProjectionView, Rebuild, Redriven, Retries,
};
pub use record::{Record, RecordKind, RecordList, Unusable, UnusableRecord};
pub use store::{
    AppendResult, Bound, CheckFailure, Claim, Claims, Commit, CommitResult, Direction, EventStore,
    EventStream, Events, ExpectedVersion, FailIfMatches, Filter, GlobalRead, OnDuplicate, Query,
    QueryItem, ReadOptions, RecordStore, StreamRead, Watch, Watcher,
};
pub use stream::{ActorId, AggregateId, IdRef, StreamId, TenantId};
pub use subscription::{Checkpoint, Delivery, Start, StopHandle, Subscription};
pub use timestamp::Timestamp;

/// The texts of the repository, so that `cargo test` compiles the code in them.
#[cfg(doctest)]
mod texts {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/design-faq.md")]
    mod design_faq {}
    #[doc = include_str!("../docs/coming-from-eventsource-py.md")]
    mod coming_from_eventsource_py {}
    #[doc = include_str!("../docs/durability.md")]
    mod durability {}
}
