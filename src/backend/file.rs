//! `FileStore`: the engine as a store that keeps the contract, in a directory of its own.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::paths;
use super::records::FileRecords;
use crate::clock::Clock;
use crate::domain::StoredSnapshots;
use crate::engine::{
    self, Durability, Engine, EngineOptions, Finding, RepairReport, Submission, VerifyReport,
    Workers, verify,
};
use crate::error::{Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::format::FORMAT_VERSION;
use crate::index::MEMTABLE_EVENTS_MAX;
use crate::io::{Disk, PAGE_BYTES, ReadMode, RealDisk};
use crate::limits::{Limits, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::position::{GlobalPosition, StreamVersion};
use crate::record::{Record, RecordKind, RecordList};
use crate::store::{
    Claim, Commit, CommitResult, EventStore, EventStream, Events, GlobalRead, Query, RecordStore,
    StreamRead, Watch, Watcher,
};
use crate::stream::StreamId;

/// How a [`FileStore`] is opened.
///
/// # Examples
///
/// ```
/// use annals::Options;
///
/// let options = Options::new().segment_bytes(64 << 20);
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    segment_bytes: u64,
    limits: Limits,
    clock: Clock,
    reading: Reading,
    durability: Durability,
    memtable_events: usize,
}

/// How a [`FileStore`] reads events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// Through maps of the files: the fastest. A failing device or a file that somebody truncates
    /// ends the process with SIGBUS.
    #[default]
    Mapped,
    /// By positioned reads into memory: slower, for network file systems and the careful; a failing
    /// device is an error.
    Positioned,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            limits: Limits::default(),
            clock: Clock::system(),
            reading: Reading::default(),
            durability: Durability::default(),
            memtable_events: MEMTABLE_EVENTS_MAX,
        }
    }
}

impl Options {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the size of a full-grown segment, in bytes: a multiple of 4,096 between
    /// [`SEGMENT_BYTES_MIN`] and [`SEGMENT_BYTES_MAX`], [`SEGMENT_BYTES_DEFAULT`] when not set.
    ///
    /// Smaller segments are sealed sooner; larger ones are fewer. A segment is smaller as long as the log
    /// holds less than 32 of that size, and larger when a single commit needs it. It may change from one
    /// opening to the next.
    #[must_use]
    pub fn segment_bytes(self, segment_bytes: u64) -> Self {
        Self { segment_bytes, ..self }
    }

    /// Sets the limits; a value above the constant it starts from counts as the constant.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the clock that tells the times to record.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Sets how events are read.
    #[must_use]
    pub fn reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// Sets when a commit is acknowledged: once it is durable, unless something else is said here.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Sets how many events the index keeps in memory before it writes a run, so that a test meets
    /// many runs and merges with few events.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn memtable_events(self, memtable_events: usize) -> Self {
        Self { memtable_events: memtable_events.clamp(1, MEMTABLE_EVENTS_MAX), ..self }
    }

    fn check(&self) -> Result<()> {
        let is_allowed = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
            && self.segment_bytes.is_multiple_of(PAGE_BYTES);
        match is_allowed {
            true => Ok(()),
            false => Err(Error::InvalidOption {
                option: "segment_bytes",
                reason: format!(
                    "{} is not a multiple of {PAGE_BYTES} from {SEGMENT_BYTES_MIN} to \
                     {SEGMENT_BYTES_MAX}",
                    self.segment_bytes
                ),
            }),
        }
    }
}

/// Sizes and identity of a [`FileStore`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events in the store: the last global position, less the positions that are lost.
    pub events: u64,
    /// Positions that are lost and that a repair has given up.
    pub lost: u64,
    /// Segments of the log, the one prepared ahead included.
    pub segments: u64,
    /// Bytes of the log that hold commits.
    pub log_bytes: u64,
    /// Bytes that the log takes up on the disk, what is allocated ahead included.
    pub disk_bytes: u64,
    /// Bytes that the index takes up on the disk.
    pub index_bytes: u64,
    /// Records beside the log: snapshots, checkpoints, states of projections.
    pub records: u64,
    /// Bytes that they take up on the disk.
    pub record_bytes: u64,
    /// Bytes that all files of the store take up on the disk: the log, the index, the records, what was
    /// cut away and is kept, and the files that identify the store.
    pub total_bytes: u64,
    /// The identity of the store, chosen when it was made.
    pub store_id: Uuid,
    /// The version of the format on disk.
    pub format_version: u32,
}

/// A store in a directory of its own: durable, and recovered from any crash when it is opened.
///
/// One process at a time opens a store for writing; any number read beside it. Share one value
/// between threads by reference or `Arc`. Close it with [`close`](Self::close) to learn whether that
/// succeeded; dropping it closes it in silence.
///
/// # Examples
///
/// ```
/// use annals::{EventStore, ExpectedVersion, FileStore, NewEvent, StreamId};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("orders");
/// let store = FileStore::open(&path)?;
/// let order = StreamId::new("Order", "order-1")?;
/// store.append(&order, ExpectedVersion::NoStream, vec![NewEvent::new("Placed", "2 cups")])?;
/// store.close()?;
///
/// let store = FileStore::open(&path)?;
/// assert_eq!(store.load_stream(&order, Default::default())?.events()[0].payload(), b"2 cups");
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias("SQLiteEventStore", "PostgreSQLEventStore"))]
pub struct FileStore {
    engine: Engine<RealDisk>,
    records: Arc<FileRecords>,
}

impl FileStore {
    /// Opens a store for writing with the default options; makes it when nothing is at the path or
    /// an empty directory.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] when it is open for writing elsewhere, [`Error::NotADirectory`] and
    /// [`Error::NotAStore`] when something else is at the path, [`Error::StoreFileMissing`] when the log of
    /// a store is there without its file `STORE`, [`Error::Damage`] when bytes that
    /// had been durable do not verify (it can still be opened read-only), [`Error::Incompatible`]
    /// for a newer format, [`Error::NoSpace`] and [`Error::Io`] when the system does not let it.
    #[doc(alias("initialize", "wal_mode"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens a store for writing; makes it when nothing is at the path or an empty directory.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`Error::InvalidOption`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        options.check()?;
        let path = path.as_ref();
        let Options { segment_bytes, limits, clock, reading, durability, memtable_events } =
            options;
        let root = paths::made(path)?;
        let root = root.with_read_mode(read_mode(reading));
        let workers = Workers::Threads;
        let options =
            EngineOptions { segment_bytes, limits, clock, memtable_events, workers, durability };
        Engine::open(root, &options).map(Self::over)
    }

    /// Opens a store for reading as it is now, beside a writer if there is one. Changes nothing.
    ///
    /// A damaged store opens as well: all that verifies can be read, [`findings`](Self::findings) tells
    /// what can not, and an answer that may depend on that is [`Error::Damage`]. Where runs of the index are missing, their part of it is kept in memory, since
    /// nothing may be written.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when there is no store at the path; otherwise as [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_read_only_with(path, Options::default())
    }

    /// Opens a store for reading as [`open_read_only`](Self::open_read_only) does, and reads it as the
    /// options say.
    ///
    /// Only [`Options::reading`] counts. All other options say how to write, and are ignored. Choose
    /// [`Reading::Positioned`] for a damaged store: where the device cannot give a place back, reading
    /// through a map of the file ends the process.
    ///
    /// # Errors
    ///
    /// As [`open_read_only`](Self::open_read_only), and [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use annals::{EventStore, FileStore, Options, ReadOptions, Reading};
    ///
    /// let options = Options::new().reading(Reading::Positioned);
    /// let store = FileStore::open_read_only_with("orders", options)?;
    /// for event in store.read_all(ReadOptions::new())? {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn open_read_only_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        options.check()?;
        let Options { reading, clock, .. } = options;
        let root = paths::existing(path.as_ref())?.with_read_mode(read_mode(reading));
        Engine::open_read_only_by(root, &clock).map(Self::over)
    }

    fn over(engine: Engine<RealDisk>) -> Self {
        let records = Arc::new(FileRecords::new(Arc::clone(engine.sidecar())));
        Self { engine, records }
    }

    /// Checks every byte of the store at a path. Changes nothing, and works beside a writer. Files are
    /// read and never mapped, so a device that fails is no signal to the process.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when there is no store at the path; [`Error::Damage`] or [`Error::Read`] when
    /// what identifies the store, or the list of what it has lost, is damaged or can not be read. Any
    /// other such place is a finding, and the rest is checked all the same.
    pub fn verify(path: impl AsRef<Path>) -> Result<VerifyReport> {
        verify(paths::existing(path.as_ref())?)
    }

    /// Tells what [`repair`](Self::repair) would do with the store at a path. Changes nothing; nobody
    /// should be writing to the store.
    ///
    /// # Errors
    ///
    /// As [`repair`](Self::repair).
    pub fn plan_repair(path: impl AsRef<Path>) -> Result<RepairReport> {
        let root = paths::existing(path.as_ref())?;
        Ok(engine::plan(&root, &Clock::system())?.report)
    }

    /// Makes a damaged store one that opens for writing again, and says what was given up for it.
    ///
    /// What the store can tell twice, its identity and the headers of segments, is written anew; the
    /// bytes that stood there are kept in its directory `cut`. For all else the log stays as it is: what
    /// does not verify is listed in the file `LOST`, and from then on reading and writing pass over it.
    /// Positions that are lost are never given out again. Only events that do not verify are given up: of
    /// a commit that had been durable, the others stay. A commit that may never have been acknowledged is
    /// kept whole or not at all.
    ///
    /// A stream whose lost events have later ones behind them keeps its version. Where its last events
    /// are lost nobody knows how many they were: it goes on with the version of the last one that is
    /// left.
    ///
    /// In a store without damage nothing is done. A repair that was interrupted is done again.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when there is no store at the path, [`Error::Locked`] when it is open for
    /// writing, [`Error::Damage`] when nothing of it verifies, [`Error::Incompatible`] for a newer
    /// format, [`Error::NoSpace`] and [`Error::Io`] when the system does not let it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use annals::FileStore;
    ///
    /// for part in FileStore::plan_repair("orders")?.given_up {
    ///     eprintln!("{part}");
    /// }
    /// FileStore::repair("orders")?;
    /// let store = FileStore::open("orders")?;
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn repair(path: impl AsRef<Path>) -> Result<RepairReport> {
        engine::repair(&paths::existing(path.as_ref())?, &Clock::system())
    }

    /// Copies what is left of a store to a place where nothing is or an empty directory, and repairs
    /// the copy as [`repair`](Self::repair) does. Changes nothing where the store is, and needs only to
    /// read it: for a device that fails, or a disk that may not be written to.
    ///
    /// The copy is the same store: events keep their ids, stream versions, positions and times, and
    /// positions that are lost stay lost. Nobody should be writing to the store meanwhile.
    ///
    /// # Errors
    ///
    /// As [`repair`](Self::repair), and [`Error::StoreExists`], [`Error::NotAStore`] and
    /// [`Error::NotADirectory`] when something is where the copy is to be, [`Error::InsideStore`] when that
    /// place is the store or lies inside it, whatever links and `..` lead there.
    pub fn salvage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<RepairReport> {
        let (from, to) = (paths::existing(from.as_ref())?, to.as_ref());
        let clock = Clock::system();
        // What can not be salvaged is refused before anything is made.
        Self::plan_salvage(from.path(), to)?;
        engine::salvage(&from, &paths::made(to)?, &clock)
    }

    /// Tells what [`salvage`](Self::salvage) would do. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`salvage`](Self::salvage).
    pub fn plan_salvage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<RepairReport> {
        let (from, to) = (paths::existing(from.as_ref())?, to.as_ref());
        let copy = match paths::existing(to) {
            Ok(copy) => Some(copy),
            Err(Error::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        paths::check_outside(to, from.path())?;
        copy.as_ref().map_or(Ok(()), engine::check_empty)?;
        engine::plan_salvage(&from, &Clock::system())
    }

    /// Returns what opening came upon: commits that a crash cut short, what repairs have given up,
    /// and, in a store that is open for reading only, damage.
    pub fn findings(&self) -> &[Finding] {
        self.engine.findings()
    }

    /// Returns a place for snapshots of aggregates in the store's own directory, with a thread that writes
    /// them. One is enough for all repositories; once the store is closed it takes no more.
    pub fn snapshots(&self) -> StoredSnapshots {
        StoredSnapshots::new(Arc::clone(&self.records) as Arc<dyn RecordStore>)
    }

    /// Returns the store's directory.
    pub fn path(&self) -> &Path {
        self.engine.root().path()
    }

    /// Returns sizes and identity.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when a file can not be measured.
    pub fn stats(&self) -> Result<Stats> {
        let sizes = self.engine.sizes()?;
        let lost = self.engine.reader().holes().lost_count();
        Ok(Stats {
            events: self.engine.reader().durable().get().saturating_sub(lost),
            lost,
            segments: sizes.segments,
            log_bytes: sizes.log_bytes,
            disk_bytes: sizes.disk_bytes,
            index_bytes: sizes.index_bytes,
            records: sizes.records.records,
            record_bytes: sizes.records.disk_bytes,
            total_bytes: sizes.total_bytes,
            store_id: self.engine.identity().store_id,
            format_version: FORMAT_VERSION,
        })
    }

    /// Returns how many events no run of the index on the disk holds. Opening reads them from the log, each
    /// time if it is for reading only: about a second for 300,000. Opening for writing makes the runs that
    /// are missing.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use annals::FileStore;
    ///
    /// if FileStore::open_read_only("orders")?.unindexed_events() > 1_000_000 {
    ///     FileStore::open("orders")?.close()?;
    /// }
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn unindexed_events(&self) -> u64 {
        self.engine.reader().index().events_in_memory()
    }

    /// Submits a commit: checks it, gives it its positions, and returns while it is being written. So one
    /// thread can keep several commits in flight, and each sync serves more of them.
    ///
    /// A later commit sees what was submitted before; a read only what is durable. When so much is in
    /// flight that memory would grow, it waits until some of it is written.
    ///
    /// # Errors
    ///
    /// As [`commit`](EventStore::commit); failures of writing are told by
    /// [`Submitted::wait`], and to whoever commits next.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{Commit, ExpectedVersion, FileStore, NewEvent, StreamId};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// let store = FileStore::open(directory.path().join("meters"))?;
    /// let mut submitted = Vec::new();
    /// for meter in 1..=3 {
    ///     let stream = StreamId::new("Meter", format!("meter-{meter}"))?;
    ///     let read = vec![NewEvent::new("Read", "17 kWh")];
    ///     let commit = Commit::new().append(&stream, ExpectedVersion::NoStream, read);
    ///     submitted.push(store.submit(commit)?);
    /// }
    /// for one in submitted {
    ///     one.wait()?;
    /// }
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn submit(&self, commit: Commit) -> Result<Submitted> {
        self.engine.submit(commit).map(Submitted)
    }

    /// Waits until everything that was committed or submitted before is durable.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] when writing has failed: of commits that were acknowledged before they were
    /// durable ([`Durability::MayLoseLast`]), and of those that were submitted, some are lost. Open
    /// the store again to see which.
    pub fn sync(&self) -> Result<()> {
        self.engine.sync()
    }

    /// Waits for commits that are under way, marks the log as cleanly closed, and gives the store
    /// free for others. Subscriptions end once they have delivered what is there; events and iterators
    /// that were read before stay usable, and so does reading. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] when an earlier write failed, [`Error::OutcomeUnknown`] when marking
    /// fails. The store is closed all the same.
    pub fn close(&self) -> Result<()> {
        self.engine.close()
    }
}

/// A commit that was [submitted](FileStore::submit), and is written whether it is waited for or not.
#[must_use = "only waiting tells whether the commit is durable"]
pub struct Submitted(Submission<RealDisk>);

impl Submitted {
    /// Tells whether [`wait`](Self::wait) would return at once.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Waits until the commit is durable, and returns what it came to.
    ///
    /// # Errors
    ///
    /// [`Error::OutcomeUnknown`] when writing it failed, [`Error::Poisoned`] when writing something
    /// before it did, [`Error::NoSpace`] and [`Error::Io`] when nothing of it was written and the
    /// store goes on.
    pub fn wait(self) -> Result<CommitResult> {
        self.0.wait()
    }
}

impl fmt::Debug for Submitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted").field("is_done", &self.is_done()).finish_non_exhaustive()
    }
}

impl EventStore for FileStore {
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

    fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion> {
        self.engine.reader().version(stream)
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        self.engine.reader().event(event_id)
    }

    fn event_exists(&self, event_id: EventId) -> Result<bool> {
        self.engine.reader().event_exists(event_id)
    }

    fn global_position(&self) -> Result<GlobalPosition> {
        self.engine.reader().global_position()
    }

    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        self.engine.reader().watch(position, watcher)
    }
}

impl RecordStore for FileStore {
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> Result<()> {
        self.records.write_record(kind, name, content)
    }

    fn read_record(&self, kind: RecordKind, name: &str) -> Result<Record> {
        self.records.read_record(kind, name)
    }

    fn remove_record(&self, kind: RecordKind, name: &str) -> Result<()> {
        self.records.remove_record(kind, name)
    }

    fn list(&self, kind: RecordKind) -> Result<RecordList> {
        self.records.list(kind)
    }

    fn claim(&self, kind: RecordKind, name: &str) -> Result<Claim> {
        self.records.claim(kind, name)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path()).finish_non_exhaustive()
    }
}

fn read_mode(reading: Reading) -> ReadMode {
    match reading {
        Reading::Mapped => ReadMode::Map,
        Reading::Positioned => ReadMode::Read,
    }
}
