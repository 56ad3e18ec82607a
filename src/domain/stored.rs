//! Snapshots as records beside the log, written by a thread of their own.
//!
//! Invariants:
//!
//! 1. Whoever saves an aggregate hands its snapshot over and goes on: the lock is never held while a record
//!    is written.
//! 2. At most [`WAITING_MAX`] snapshots wait, one a stream: memory does not grow while a device is slow.
//! 3. A snapshot that waits is found as if it were written.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::{Snapshot, SnapshotStore};
use crate::encoding;
use crate::error::{Error, Result};
use crate::event::EventId;
use crate::position::StreamVersion;
use crate::record::RecordKind;
use crate::store::RecordStore;
use crate::stream::{StreamId, TenantId};

/// Snapshots that wait to be written before further ones are dropped: a burst of saves, not more.
const WAITING_MAX: usize = 64;

/// The version of [`Stored`]: what else a record begins with is not read.
const LAYOUT: u32 = 1;

/// Keeps snapshots as records beside the log of a store, durably.
///
/// Made by [`FileStore::snapshots`](crate::FileStore::snapshots). A thread writes them, begun with the first;
/// a save only hands its snapshot over, and drops it where 64 others wait already. Each is a record of the kind
/// [`RecordKind::Snapshot`] under the text form of its stream, `id:Type`. A clone shares the
/// thread; the last one that is dropped waits until what was handed over is written.
///
/// # Examples
///
/// ```
/// # use annals::{Aggregate, AggregateId, DomainEvent, FileStore, Repository, SnapshotPolicy, Snapshotted};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # enum CounterEvent { Added(u64) }
/// # impl DomainEvent for CounterEvent { const AGGREGATE_TYPE: &'static str = "Counter"; }
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Counter { sum: u64 }
/// # impl Counter {
/// #     fn add(&self, n: u64) -> Result<CounterEvent, String> { Ok(CounterEvent::Added(n)) }
/// # }
/// # impl Aggregate for Counter {
/// #     type Event = CounterEvent;
/// #     fn apply(&mut self, event: &CounterEvent) { let CounterEvent::Added(n) = event; self.sum += n; }
/// # }
/// # impl Snapshotted for Counter { const SNAPSHOT_VERSION: u32 = 1; }
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("counters");
/// let store = FileStore::open(&path)?;
/// let snapshots = store.snapshots();
/// let counters = Repository::<Counter, _>::new(&store)
///     .snapshots(snapshots.clone(), SnapshotPolicy::every(100));
/// # let id = AggregateId::new("visits")?;
/// # for _ in 0..100 { counters.execute(&id, |counter| counter.add(1)).unwrap(); }
/// // At the end of a program: wait for what is under way, and learn whether it worked.
/// snapshots.flush()?;
/// # assert_eq!(store.stats()?.records, 1);
/// store.close()?;
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone)]
pub struct StoredSnapshots(Arc<Writer>);

/// Ends the thread when it is dropped.
struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The process that the thread belongs to: one that is forked from it has no such thread, and a lock that the
    /// thread held at the fork is held there for ever.
    process: u32,
}

struct Shared {
    records: Arc<dyn RecordStore>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// The streams whose snapshots wait, in the order in which they came.
    order: VecDeque<StreamId>,
    waiting: BTreeMap<StreamId, Snapshot>,
    /// What is being written: it is found until the record is.
    under_way: Option<(StreamId, Snapshot)>,
    /// What went wrong since somebody asked.
    failure: Option<Error>,
    is_closed: bool,
}

impl StoredSnapshots {
    /// Keeps snapshots as records of a store.
    pub fn new(records: Arc<dyn RecordStore>) -> Self {
        let shared = Shared { records, queue: Mutex::default(), changed: Condvar::new() };
        let (shared, thread) = (Arc::new(shared), Mutex::default());
        Self(Arc::new(Writer { shared, thread, process: std::process::id() }))
    }

    /// Removes the snapshot of a stream, also one that waits to be written; one that is not there is no
    /// error. The aggregate is then loaded by all of its events.
    ///
    /// [`RecordStore::list`] names the snapshots of a store by the text form of their streams.
    ///
    /// # Errors
    ///
    /// As [`RecordStore::remove_record`].
    #[doc(alias = "delete_snapshot")]
    pub fn remove(&self, stream: &StreamId) -> Result<()> {
        let shared = &self.0.shared;
        let mut queue = shared.queue.lock();
        queue.forget(stream);
        let is_under_way =
            |queue: &mut Queue| queue.under_way.as_ref().is_some_and(|(own, _)| own == stream);
        shared.changed.wait_while(&mut queue, is_under_way);
        drop(queue);
        shared.records.remove_record(RecordKind::Snapshot, &stream.to_string())
    }

    /// Waits until every snapshot that was handed over is written or given up.
    ///
    /// # Errors
    ///
    /// Why the last one that was given up since the last call could not be written. The aggregates are
    /// not concerned: their events are recorded. Once the thread has panicked, which only a
    /// [`RecordStore`] that panics can bring about, all further ones are given up: make the snapshots anew.
    /// [`Error::Forked`] in a process that was forked from the one that made this: no snapshot is taken there.
    pub fn flush(&self) -> Result<()> {
        if !self.0.is_in_its_process() {
            return Err(Error::Forked { path: "snapshots".into() });
        }
        let shared = &self.0.shared;
        let mut queue = shared.queue.lock();
        shared.changed.wait_while(&mut queue, |queue| !queue.is_idle());
        queue.failure.take().map_or(Ok(()), Err)
    }
}

impl SnapshotStore for StoredSnapshots {
    fn load(&self, stream: &StreamId) -> Option<Snapshot> {
        let shared = &self.0.shared;
        if self.0.is_in_its_process()
            && let Some(snapshot) = shared.queue.lock().find(stream)
        {
            return Some(snapshot.clone());
        }
        let record = shared.records.read_record(RecordKind::Snapshot, &stream.to_string());
        decode(&record.ok()?.content()?)
    }

    fn save(&self, stream: &StreamId, snapshot: Snapshot) {
        if self.0.is_in_its_process() {
            self.0.take(stream, snapshot);
        }
    }
}

impl fmt::Debug for StoredSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.0.shared.queue.lock().waiting.len();
        f.debug_struct("StoredSnapshots").field("waiting", &waiting).finish_non_exhaustive()
    }
}

impl Writer {
    fn is_in_its_process(&self) -> bool {
        std::process::id() == self.process
    }

    /// Lets a snapshot wait for the thread, and begins the thread if there is none yet.
    fn take(&self, stream: &StreamId, snapshot: Snapshot) {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let name = "annals-snapshots".to_owned();
            match Builder::new().name(name).spawn(move || shared.write_all()) {
                Ok(begun) => *thread = Some(begun),
                Err(error) => {
                    let failure = Error::io("start a thread for", "snapshots", error);
                    self.shared.queue.lock().failure = Some(failure);
                    return;
                }
            }
        }
        self.shared.queue.lock().add(stream, snapshot);
        self.shared.changed.notify_all();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_in_its_process() {
            return std::mem::forget(self.thread.get_mut().take());
        }
        self.shared.queue.lock().is_closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.get_mut().take() {
            // A thread that panicked has said so itself.
            _ = thread.join();
        }
    }
}

impl Shared {
    /// Writes what waits, until there is nothing more to wait for.
    fn write_all(&self) {
        let _ended = Ended(self);
        while let Some((stream, snapshot)) = self.next() {
            let content = encode(&snapshot);
            let name = stream.to_string();
            let written = content.and_then(|content| {
                self.records.write_record(RecordKind::Snapshot, &name, &content)
            });
            let mut queue = self.queue.lock();
            queue.under_way = None;
            queue.failure = written.err().or(queue.failure.take());
            self.changed.notify_all();
        }
    }

    /// Waits for the next snapshot; `None` when none can come any more.
    fn next(&self) -> Option<(StreamId, Snapshot)> {
        let mut queue = self.queue.lock();
        self.changed.wait_while(&mut queue, |queue| queue.order.is_empty() && !queue.is_closed);
        let stream = queue.order.pop_front()?;
        let snapshot = queue.waiting.remove(&stream)?;
        queue.under_way = Some((stream.clone(), snapshot.clone()));
        Some((stream, snapshot))
    }
}

/// Gives up what waits when the thread ends, so that nobody waits for it.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        let left = (!queue.is_idle()).then(given_up);
        let failure = left.or(queue.failure.take());
        *queue = Queue { is_closed: true, failure, ..Queue::default() };
        self.0.changed.notify_all();
    }
}

/// Returns why a snapshot is not written that comes, or waits, when the thread has ended.
fn given_up() -> Error {
    let source = io::Error::other("the thread that writes snapshots has panicked");
    Error::io("write", "snapshots", source)
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.order.is_empty() && self.under_way.is_none()
    }

    /// Adds a snapshot in the place of an earlier one; drops it where too many wait.
    fn add(&mut self, stream: &StreamId, snapshot: Snapshot) {
        let is_known = match self.waiting.get(stream) {
            Some(other) if other.stream_version >= snapshot.stream_version => return,
            other => other.is_some(),
        };
        if self.is_closed {
            self.failure = Some(given_up());
            return;
        }
        if !is_known && self.order.len() >= WAITING_MAX {
            return;
        }
        if !is_known {
            self.order.push_back(stream.clone());
        }
        self.waiting.insert(stream.clone(), snapshot);
    }

    /// Drops the snapshot of a stream that waits.
    fn forget(&mut self, stream: &StreamId) {
        if self.waiting.remove(stream).is_some() {
            self.order.retain(|other| other != stream);
        }
    }

    /// Returns the newest snapshot of a stream that is not written yet.
    fn find(&self, stream: &StreamId) -> Option<&Snapshot> {
        let under_way = self.under_way.as_ref().filter(|(other, _)| other == stream);
        self.waiting.get(stream).or(under_way.map(|(_, snapshot)| snapshot))
    }
}

/// A snapshot as the content of a record.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    layout: u32,
    stream_version: u64,
    last_event_id: u128,
    #[serde(borrow)]
    tenant: Option<&'a str>,
    state_type: &'a str,
    schema_version: u32,
    #[serde(borrow)]
    state: Raw<'a>,
}

/// Bytes that are written and read as a whole.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Self)
    }
}

fn encode(snapshot: &Snapshot) -> Result<Vec<u8>> {
    let Snapshot { stream_version, last_event_id, schema_version, state, .. } = snapshot;
    let tenant = snapshot.tenant.as_ref().map(TenantId::to_string);
    let stored = Stored {
        layout: LAYOUT,
        stream_version: stream_version.get(),
        last_event_id: last_event_id.as_uuid().as_u128(),
        tenant: tenant.as_deref(),
        state_type: &snapshot.state_type,
        schema_version: *schema_version,
        state: Raw(state),
    };
    encoding::encode(&stored).map_err(Error::payload)
}

/// Reads the content of a record; `None` for what is no snapshot of this layout.
fn decode(content: &Bytes) -> Option<Snapshot> {
    let stored: Stored<'_> = encoding::decode_record(content).ok()?;
    (stored.layout == LAYOUT).then_some(())?;
    Some(Snapshot {
        stream_version: StreamVersion::new(stored.stream_version),
        last_event_id: EventId::from_uuid(uuid::Uuid::from_u128(stored.last_event_id)),
        tenant: stored.tenant.map(TenantId::new).transpose().ok()?,
        state_type: stored.state_type.to_owned(),
        schema_version: stored.schema_version,
        state: content.slice_ref(stored.state.0),
    })
}
