//! annals is an embedded event store: durable streams of events in one directory, no server.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod backend;
mod clock;
mod encoding;
mod error;
mod event;
#[cfg_attr(not(test), allow(dead_code, unused_imports, reason = "the engine is written at the same time"))]
mod io;
pub mod limits;
mod position;
mod store;
mod stream;
mod timestamp;

pub use backend::memory::MemoryStore;
pub use clock::{Clock, ClockHand};
pub use error::{Damage, Difference, Error, PoisonCause, Result};
pub use event::{ContentType, EventId, Metadata, NewEvent, RecordedEvent};
pub use position::{GlobalPosition, StreamVersion};
pub use store::{
    AppendResult, CheckFailure, Commit, CommitResult, Direction, EventStore, EventStream, Events,
    ExpectedVersion, FailIfMatches, Filter, GlobalRead, OnDuplicate, Query, QueryItem, ReadOptions,
    StreamRead,
};
pub use stream::{ActorId, AggregateId, IdRef, StreamId, TenantId};
pub use timestamp::Timestamp;
