//! Snapshots: the state of an aggregate at a version, so that loading need not begin at the first event.
//!
//! Derived from events and believed only as far as they bear it out: whatever is wrong with a snapshot,
//! the events are replayed from the first. Taking one never delays nor fails what it follows.

use std::any::type_name;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::root::Belongs;
use super::{Aggregate, Root};
use crate::encoding;
use crate::event::EventId;
use crate::position::StreamVersion;
use crate::stream::{StreamId, TenantId};

/// An aggregate whose state can be kept in snapshots.
///
/// What serde writes must be the whole state: a field that it leaves out (`skip`, `skip_serializing_if`) comes
/// back from a snapshot as another one than events make of it, and nothing can tell.
pub trait Snapshotted: Aggregate + Serialize + DeserializeOwned {
    /// The version of what a state means. Raise it with every change of the fields, or of what
    /// [`apply`](Aggregate::apply) or an [upcaster](crate::Upcasters) does: snapshots of other versions are not used, and so the new state
    /// is made of the events. One that is forgotten goes unnoticed where the old bytes still fit.
    #[doc(alias = "schema_version")]
    const SNAPSHOT_VERSION: u32;
}

/// The state of an aggregate at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the stream whose events made the state.
    pub stream_version: StreamVersion,
    /// The event that has this version: a stream in which it is another has another history.
    pub last_event_id: EventId,
    /// The tenant that all the events belong to.
    pub tenant: Option<TenantId>,
    /// Whose state it is, as [`std::any::type_name`] calls the type: of the same events several types may
    /// be made. One that is renamed or moved is another one.
    pub state_type: String,
    /// The version of what the state means.
    pub schema_version: u32,
    /// The state, encoded.
    pub state: Bytes,
}

/// Keeps the latest snapshot of each stream.
///
/// Where several types of aggregates are made of the same streams, give each a place of its own: in a
/// common one they take each other's place, and so are mostly loaded without.
///
/// Neither method fails: what can not be kept or read is as if it were not there. What comes back
/// need not be right, either: the repository checks it.
///
/// # Examples
///
/// ```
/// use annals::{EventId, MemorySnapshots, Snapshot, SnapshotStore, StreamId, StreamVersion};
///
/// let snapshots = MemorySnapshots::default();
/// let stream = StreamId::new("Counter", "visits")?;
/// let snapshot = Snapshot {
///     stream_version: StreamVersion::new(7),
///     last_event_id: EventId::generate(),
///     tenant: None,
///     state_type: "Counter".to_owned(),
///     schema_version: 1,
///     state: vec![7].into(),
/// };
/// snapshots.save(&stream, snapshot);
/// assert_eq!(snapshots.load(&stream).map(|found| found.stream_version.get()), Some(7));
/// # Ok::<(), annals::Error>(())
/// ```
pub trait SnapshotStore: Send + Sync {
    /// Returns the snapshot of a stream, if there is one that can be read.
    #[doc(alias = "get_snapshot")]
    fn load(&self, stream: &StreamId) -> Option<Snapshot>;

    /// Takes a snapshot to be kept in place of an earlier one. Returns without waiting for a
    /// device; it may drop the snapshot.
    #[doc(alias = "save_snapshot")]
    fn save(&self, stream: &StreamId, snapshot: Snapshot);
}

impl<T: SnapshotStore + ?Sized> SnapshotStore for Arc<T> {
    fn load(&self, stream: &StreamId) -> Option<Snapshot> {
        (**self).load(stream)
    }

    fn save(&self, stream: &StreamId, snapshot: Snapshot) {
        (**self).save(stream, snapshot);
    }
}

/// Keeps snapshots in memory, for tests and for aggregates that are loaded often.
///
/// Memory grows with the number of streams. A clone shares what is kept.
///
/// # Examples
///
/// ```
/// # use annals::{Aggregate, DomainEvent, MemorySnapshots, MemoryStore, Repository, SnapshotPolicy, Snapshotted};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # enum CounterEvent { Added(u64) }
/// # impl DomainEvent for CounterEvent { const AGGREGATE_TYPE: &'static str = "Counter"; }
/// #[derive(Default, Serialize, Deserialize)]
/// struct Counter { sum: u64 }
///
/// # impl Aggregate for Counter {
/// #     type Event = CounterEvent;
/// #     fn apply(&mut self, event: &CounterEvent) { let CounterEvent::Added(n) = event; self.sum += n; }
/// # }
/// impl Snapshotted for Counter {
///     const SNAPSHOT_VERSION: u32 = 1;
/// }
///
/// let snapshots = MemorySnapshots::new();
/// let counters = Repository::<Counter, _>::new(MemoryStore::new())
///     .snapshots(snapshots.clone(), SnapshotPolicy::every(100));
/// ```
#[derive(Debug, Clone, Default)]
#[doc(alias = "InMemorySnapshotStore")]
pub struct MemorySnapshots(Arc<Mutex<HashMap<StreamId, Snapshot>>>);

impl MemorySnapshots {
    /// Returns a store without snapshots.
    pub fn new() -> Self {
        Self::default()
    }
}

impl SnapshotStore for MemorySnapshots {
    fn load(&self, stream: &StreamId) -> Option<Snapshot> {
        self.0.lock().get(stream).cloned()
    }

    fn save(&self, stream: &StreamId, snapshot: Snapshot) {
        self.0.lock().insert(stream.clone(), snapshot);
    }
}

/// Says after which saves a snapshot is taken.
///
/// # Examples
///
/// ```
/// use annals::{SnapshotPolicy, StreamVersion};
///
/// let every_hundred = SnapshotPolicy::every(100);
/// assert!(every_hundred.is_due(StreamVersion::new(98), StreamVersion::new(103)));
/// assert!(!every_hundred.is_due(StreamVersion::new(100), StreamVersion::new(103)));
///
/// let of_large_saves = SnapshotPolicy::when(|before, after| after.distance_from(before) >= 50);
/// ```
#[derive(Clone)]
pub struct SnapshotPolicy(Rule);

type OwnRule = dyn Fn(StreamVersion, StreamVersion) -> bool + Send + Sync;

#[derive(Clone)]
enum Rule {
    Never,
    Every(NonZeroU64),
    When(Arc<OwnRule>),
}

impl SnapshotPolicy {
    /// Takes a snapshot when the version reaches or passes a multiple of `count`; never for 0.
    #[doc(alias = "snapshot_threshold")]
    pub fn every(count: u64) -> Self {
        Self(NonZeroU64::new(count).map_or(Rule::Never, Rule::Every))
    }

    /// Takes no snapshots. Those that are there are used.
    pub fn never() -> Self {
        Self(Rule::Never)
    }

    /// Takes a snapshot when a function of the versions before and after a save says so.
    pub fn when(
        rule: impl Fn(StreamVersion, StreamVersion) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Rule::When(Arc::new(rule)))
    }

    /// Tells whether a snapshot is taken after a save that led from one version to another.
    pub fn is_due(&self, before: StreamVersion, after: StreamVersion) -> bool {
        match &self.0 {
            Rule::Never => false,
            Rule::Every(count) => before.get() / *count < after.get() / *count,
            Rule::When(rule) => rule(before, after),
        }
    }
}

impl fmt::Debug for SnapshotPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Never => f.write_str("SnapshotPolicy::never()"),
            Rule::Every(count) => write!(f, "SnapshotPolicy::every({count})"),
            Rule::When(_) => f.write_str("SnapshotPolicy::when(..)"),
        }
    }
}

/// The snapshots of one type of aggregate, as a repository uses them.
pub(super) struct Snapshots<A> {
    store: Arc<dyn SnapshotStore>,
    policy: SnapshotPolicy,
    schema_version: u32,
    /// Functions and no bounds, so that only who wants snapshots has to encode states.
    encode: fn(&A) -> Option<Bytes>,
    decode: fn(&[u8]) -> Option<A>,
}

/// An aggregate out of a snapshot, if its stream bears it out.
pub(super) struct FromSnapshot<A: Aggregate> {
    pub(super) root: Root<A>,
    /// The event that the stream must have at the root's version.
    pub(super) last_event_id: EventId,
    /// The tenant that the event must have.
    pub(super) tenant: Option<TenantId>,
}

impl<A: Snapshotted> Snapshots<A> {
    pub(super) fn new(store: Arc<dyn SnapshotStore>, policy: SnapshotPolicy) -> Self {
        Self {
            store,
            policy,
            schema_version: A::SNAPSHOT_VERSION,
            encode: |state| encoding::encode(state).ok().map(Bytes::from),
            decode: |bytes| encoding::decode_record(bytes).ok(),
        }
    }
}

impl<A: Aggregate> Snapshots<A> {
    /// Returns what a tenant, or whoever sees all, would see of a stream at its snapshot.
    pub(super) fn load(
        &self,
        stream: &StreamId,
        tenant: Option<&TenantId>,
    ) -> Option<FromSnapshot<A>> {
        let snapshot = self.store.load(stream)?;
        let is_visible = tenant.is_none() || snapshot.tenant.as_ref() == tenant;
        let is_of_type = snapshot.state_type == type_name::<A>();
        if snapshot.schema_version != self.schema_version || !is_of_type || !is_visible {
            return None;
        }
        let state = (self.decode)(&snapshot.state)?;
        let is_shared = snapshot.tenant.as_ref() != tenant;
        let belongs = Belongs { tenant: tenant.cloned(), is_shared };
        let root = Root::at(stream.clone(), snapshot.stream_version, state, belongs);
        let Snapshot { last_event_id, tenant, .. } = snapshot;
        Some(FromSnapshot { root, last_event_id, tenant })
    }

    /// Takes a snapshot of an aggregate that was just saved, if it is time to.
    pub(super) fn consider(&self, root: &Root<A>, before: StreamVersion, last_event_id: EventId) {
        let stream_version = root.saved_version();
        if !self.policy.is_due(before, stream_version) {
            return;
        }
        let Some(state) = (self.encode)(root.state()) else { return };
        let snapshot = Snapshot {
            stream_version,
            last_event_id,
            tenant: root.belongs().tenant.clone(),
            state_type: type_name::<A>().to_owned(),
            schema_version: self.schema_version,
            state,
        };
        self.store.save(root.stream(), snapshot);
    }
}

impl<A> Clone for Snapshots<A> {
    fn clone(&self) -> Self {
        let Self { schema_version, encode, decode, .. } = *self;
        let (store, policy) = (Arc::clone(&self.store), self.policy.clone());
        Self { store, policy, schema_version, encode, decode }
    }
}

impl<A> fmt::Debug for Snapshots<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, schema version {}", self.policy, self.schema_version)
    }
}
