//! The store on disk: opening and recovery, group commit, reading.
//!
//! Knows events and streams, and nothing of aggregates. The parts, bottom up: `sync` (locks and
//! atomics, so that a test can choose the order of threads), `log` (segments by location), `heads`
//! (the versions of the streams used last), `uncovered` (what nobody can know of a damaged log), `reader`
//! (what is durable), `appender` (the end of the
//! log), `rotation` (the next segment), `prepared` (a commit, encoded and hashed), `found` (what it needs to
//! know, looked up before it is decided), `commit_queue` (who writes when), `submission` (commits whose callers go on), `watchers`
//! (who waits for something new), `background` (what nobody waits for), `recovery` and
//! `tail` (what opening finds and cuts), `directory` (which directory is a store), `ownership` (what a writer
//! holds of it).

#![forbid(unsafe_code)]

mod ahead;
mod appender;
mod background;
mod broken;
#[cfg(any(test, feature = "testing"))]
mod by_hand;
mod candidates;
mod commit_queue;
mod damaged_part;
mod directory;
mod finding;
mod found;
mod heads;
mod holes;
mod indexing;
mod known_end;
mod log;
mod mending;
mod open_damage;
mod opening;
mod ownership;
mod prepared;
mod reader;
mod recovery;
#[cfg(test)]
mod regression_tests;
mod repair;
mod rotation;
mod route;
mod salvage;
mod scan;
mod settling;
mod sizes;
mod staged;
mod stream_walk;
mod submission;
mod sync;
mod tail;
#[cfg(test)]
mod tests;
mod times;
mod uncovered;
mod verify;
mod waiter;
mod watchers;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

#[cfg(feature = "testing")]
pub use by_hand::Work;
pub use finding::{Finding, Severity};
pub use repair::{RepairReport, RepairStep};
pub use submission::Durability;
pub use verify::VerifyReport;

pub(crate) use reader::Reader;
pub(crate) use repair::{plan, repair};
pub(crate) use salvage::{check_empty, plan_salvage, salvage};
pub(crate) use submission::Submission;
pub(crate) use verify::verify;
pub(crate) use watchers::Watchers;

use crate::bugs::{self, Bug};
use crate::clock::Clock;
use crate::error::{Damage, Error, Result};
use crate::format::{EndFile, Fault, FrameKind, Location, StoreFile};
use crate::index::{Access, Index, MEMTABLE_EVENTS_MAX, TermHasher};
use crate::io::{Disk, OpenMode};
use crate::limits::Limits;
use crate::segment::Segment;
use crate::sidecar::{Sidecar, Writing};
use crate::store::{Commit, CommitResult};
use appender::{Appender, LogEnd};
pub(crate) use background::Workers;
use background::{Bell, Call};
use commit_queue::CommitQueue;
use directory::Directory;
use known_end::Known;
use log::Log;
use ownership::{Hold, NotKept};
use rotation::Rotation;
use route::{Depth, NONE_MENDED, Route, Walked};
use uncovered::Uncovered;

/// How a store is opened.
#[derive(Debug, Clone)]
pub(crate) struct EngineOptions {
    pub(crate) segment_bytes: u64,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// Events that the index keeps in memory before it writes them as a run.
    pub(crate) memtable_events: usize,
    pub(crate) workers: Workers,
    pub(crate) durability: Durability,
}

/// A store that is open.
pub(crate) struct Engine<D: Disk> {
    root: D,
    identity: StoreFile,
    reader: Arc<Reader<D>>,
    sidecar: Arc<Sidecar<D>>,
    /// `None` in a store that is open for reading only.
    writer: Option<Writer<D>>,
    /// Whether a segment was prepared ahead when the store was opened for reading.
    had_spare: bool,
    findings: Vec<Finding>,
}

struct Writer<D: Disk> {
    queue: Arc<CommitQueue<D>>,
    rotation: Arc<Rotation<D>>,
    bell: Arc<Bell>,
    merging: Arc<Bell>,
    writing: Arc<Bell>,
    /// What is given back when the store is closed.
    held: Mutex<Option<Held<D>>>,
}

struct Held<D: Disk> {
    threads: Vec<JoinHandle<()>>,
    hold: Option<Hold<D>>,
}

impl<D: Disk> Engine<D> {
    /// Opens a store for writing, recovers it from any end before, and makes it where there is none.
    pub(crate) fn open(root: D, options: &EngineOptions) -> Result<Self> {
        let directory = directory::open_or_make(root, &options.clock, options.segment_bytes)?;
        let known = known_end::find(&directory.root, &directory.log, directory.identity.store_id)?;
        settling::settle(&directory.log, OpenMode::Write)?;
        let (index, _refused) = indexing::open(&directory, Access::Write, options.memtable_events)?;
        let mut walked = walk(&directory, &index, OpenMode::Write)?;
        known_end::hold(&mut walked, &known);
        if let Some(damage) = walked.damage.first() {
            return Err(damage.clone().into());
        }
        let was_settled = is_settled(&walked, &known);
        tail::cut(&directory.root, &directory.log, &mut walked)?;
        tail::write_again(&walked)?;
        index.remove_superseded()?;
        grow(&walked, was_settled);
        Self::start(directory, index, walked, known.claimed, options)
    }

    /// As [`open_read_only_by`](Self::open_read_only_by), by the system's clock.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn open_read_only(root: D) -> Result<Self> {
        Self::open_read_only_by(root, &Clock::system())
    }

    /// Opens a store for reading, damaged or not, beside a writer or not. The clock is what the newest time
    /// of the log is compared with.
    pub(crate) fn open_read_only_by(root: D, clock: &Clock) -> Result<Self> {
        let directory = directory::open(root)?;
        let (index, walked) = walk_read_only(&directory)?;
        let mut findings = findings(&directory, &walked);
        findings.extend(times::ahead_of_clock(&walked, clock));
        let had_spare = walked.spare.is_some();
        let reader = Arc::new(reader(&directory, index, &walked));
        reader.watchers().end();
        let sidecar = Arc::new(directory.sidecar(Writing::ReadOnly));
        let Directory { root, identity, .. } = directory;
        Ok(Self { root, identity, reader, sidecar, writer: None, had_spare, findings })
    }

    fn start(
        directory: Directory<D>,
        index: Arc<Index<D>>,
        mut walked: Walked<D>,
        claimed: Option<EndFile>,
        options: &EngineOptions,
    ) -> Result<Self> {
        let mut findings = findings(&directory, &walked);
        findings.extend(times::ahead_of_clock(&walked, &options.clock));
        let active = walked.segments.last().map(Arc::clone);
        let active = active.ok_or(Error::Internal { invariant: "an open log has a segment" })?;
        let reader = Arc::new(reader(&directory, Arc::clone(&index), &walked));
        let sidecar = Arc::new(directory.sidecar(Writing::Allowed));
        let Directory { root, log, identity, hold, .. } = directory;
        let bell = Arc::new(Bell::default());
        let spare = walked.spare.take();
        let ownership = hold.as_ref().map(|hold| Arc::clone(hold.ownership()));
        if let Some(ownership) = &ownership {
            let failed = |source| Error::io("look at", active.path(), source);
            ownership.follow(&log, &active).map_err(failed)?;
        }
        let rotation = Rotation::new(log, identity.store_id, options.segment_bytes, spare, claimed);
        let rotation = Arc::new(rotation.owned(ownership));
        let end = LogEnd {
            active,
            offset: walked.offset,
            tally: walked.tally,
            epoch: epoch_after(walked.epoch, root.path())?,
            recorded_at: walked.recorded_at,
            last_event: walked.last_event,
        };
        let (clock, limits) = (options.clock.clone(), options.limits.capped());
        let appender = Appender::new(
            Arc::clone(&reader),
            Arc::clone(&rotation),
            Arc::clone(&bell),
            clock,
            end,
        );
        let is_unmarked = walked.last_kind == Some(FrameKind::Commit);
        let writing = Arc::new(Bell::default());
        let queue = CommitQueue::new(
            Arc::clone(&reader),
            appender,
            (limits, options.durability),
            (Arc::clone(&bell), Arc::clone(&writing)),
            is_unmarked,
        );
        let queue = Arc::new(queue);
        if index.has_frozen() {
            bell.ring(Call::Index);
        }
        let merging = Arc::new(Bell::default());
        merging.ring(Call::Index);
        let held = Mutex::new(Some(Held { threads: Vec::new(), hold }));
        let writer = Writer { queue, rotation, bell, merging, writing, held };
        if options.workers == Workers::Threads {
            let failed = |source| Error::io("start a background thread of", root.path(), source);
            writer.start_threads(index).map_err(failed)?;
        }
        let writer = Some(writer);
        Ok(Self { root, identity, reader, sidecar, writer, had_spare: false, findings })
    }

    pub(crate) fn root(&self) -> &D {
        &self.root
    }

    pub(crate) fn identity(&self) -> &StoreFile {
        &self.identity
    }

    pub(crate) fn reader(&self) -> &Arc<Reader<D>> {
        &self.reader
    }

    /// Returns the records beside the log.
    pub(crate) fn sidecar(&self) -> &Arc<Sidecar<D>> {
        &self.sidecar
    }

    /// Returns what opening found.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(crate) fn commit(&self, commit: Commit) -> Result<CommitResult> {
        self.writer.as_ref().ok_or(Error::ReadOnly)?.queue.commit(commit)
    }

    pub(crate) fn submit(&self, commit: Commit) -> Result<Submission<D>> {
        self.writer.as_ref().ok_or(Error::ReadOnly)?.queue.submit(commit)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.writer.as_ref().ok_or(Error::ReadOnly)?.queue.sync()
    }

    /// Returns whether a segment is prepared ahead.
    fn has_spare(&self) -> bool {
        self.writer.as_ref().map_or(self.had_spare, |writer| writer.rotation.has_spare())
    }

    /// Finishes what was admitted, marks the end of the log, and gives the lock back. Done once:
    /// later calls do nothing.
    pub(crate) fn close(&self) -> Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        // In a forked process a thread that is not there may hold any of the locks.
        writer.queue.check_process()?;
        let Some(held) = writer.held.lock().take() else { return Ok(()) };
        self.sidecar.close();
        let closed = writer.queue.close().and_then(|()| writer.check_kept());
        self.reader.watchers().end();
        writer.bell.ring(Call::Stop);
        writer.merging.ring(Call::Stop);
        writer.writing.ring(Call::Stop);
        self.reader.index().stop_merging();
        let Held { threads, hold } = held;
        for thread in threads {
            let _panicked = thread.join();
        }
        if closed.is_ok() {
            writer.queue.settle();
        }
        // Without a run for the newest events the next opening reads them again.
        let _not_needed = self.reader.index().close(self.reader.durable());
        drop(hold);
        closed
    }
}

impl<D: Disk> Writer<D> {
    /// Refuses to say that a store is closed whose files are no longer there.
    fn check_kept(&self) -> Result<()> {
        self.rotation.check_kept().map_err(|not_kept| match not_kept {
            NotKept::Displaced(cause) => Error::Poisoned { cause: Arc::new(cause) },
            NotKept::Unknown(error) => error,
        })
    }

    fn start_threads(&self, index: Arc<Index<D>>) -> std::io::Result<()> {
        let background = background::start(
            Arc::clone(&self.bell),
            Arc::clone(&self.queue),
            Arc::clone(&self.rotation),
            Arc::clone(&index),
            Arc::clone(&self.merging),
        )?;
        let merger = background::start_merging(Arc::clone(&self.merging), index)?;
        let writing =
            background::start_writing(Arc::clone(&self.writing), Arc::clone(&self.queue))?;
        if let Some(held) = &mut *self.held.lock() {
            held.threads = vec![background, merger, writing];
        }
        Ok(())
    }
}

impl<D: Disk> Drop for Engine<D> {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        let _unheard = self.close();
        if let Some(writer) = &mut self.writer
            && let Some(held) = writer.held.get_mut()
        {
            // Left over in a forked process only, where these threads are not. Nothing is done with them.
            std::mem::forget(std::mem::take(&mut held.threads));
        }
    }
}

fn walk<D: Disk>(
    directory: &Directory<D>,
    index: &Arc<Index<D>>,
    mode: OpenMode,
) -> Result<Walked<D>> {
    let hasher = TermHasher::new(directory.identity.hash_key);
    let route = Route {
        disk: &directory.log,
        store_id: directory.identity.store_id,
        mode,
        depth: Depth::Near,
        from: index.resume(),
        last: None,
        holes: &directory.holes,
        mended: (mode == OpenMode::Read).then_some(NONE_MENDED),
    };
    recovery::walk(&route, &mut |frame, resume| indexing::add_frame(index, &hasher, frame, resume))
}

/// Tells whether a log was left as a closed store has it, and nothing is to be cut.
fn is_settled<D: Disk>(walked: &Walked<D>, known: &Known) -> bool {
    let is_claimed =
        known.claimed.is_some_and(|claimed| claimed.next_position == walked.next_position);
    walked.cuts.is_empty() && (walked.last_kind == Some(FrameKind::Closed) || is_claimed)
}

/// Lets those files of segments grow which may have changed since they grew last, so that who copies
/// them sees it: sealed ones that never did, and those where the log ends unless it was settled.
fn grow<D: Disk>(walked: &Walked<D>, was_settled: bool) {
    let is_due = |segment: &&Arc<Segment<D::File>>| match segment.footer() {
        Some(_) => segment.is_ungrown() && segment.cut_short_at().is_none(),
        None => !was_settled,
    };
    walked.segments.iter().filter(is_due).for_each(|segment| segment.grow());
    if !was_settled {
        walked.spare.iter().for_each(Segment::grow);
    }
}

/// Walks a store that somebody may be writing to. What looks like damage may have been half of a
/// write that is whole by now, so damage is believed only when it stays.
fn walk_read_only<D: Disk>(directory: &Directory<D>) -> Result<(Arc<Index<D>>, Walked<D>)> {
    const ATTEMPTS: usize = 3;
    let mut attempt = 1;
    loop {
        settling::settle(&directory.log, OpenMode::Read)?;
        let known = known_end::find(&directory.root, &directory.log, directory.identity.store_id)?;
        let (index, damage) = indexing::open(directory, Access::Read, MEMTABLE_EVENTS_MAX)?;
        let walked = walk(directory, &index, OpenMode::Read).map(|mut walked| {
            known_end::hold(&mut walked, &known);
            with_damage(walked, damage)
        });
        let is_good = walked.as_ref().is_ok_and(|walked| walked.damage.is_empty());
        if is_good || attempt == ATTEMPTS {
            // What was read may have been written since the first sync.
            settling::settle(&directory.log, OpenMode::Read)?;
            return walked.map(|walked| (index, walked));
        }
        attempt += 1;
    }
}

/// Adds damage that was met before the place where a walk began, unless the walk met it too.
fn with_damage<D: Disk>(mut walked: Walked<D>, before: Vec<Damage>) -> Walked<D> {
    let met_too = |one: &Damage| {
        let is_same = |other: &Damage| (&other.file, other.offset) == (&one.file, one.offset);
        before.iter().any(is_same)
    };
    // What has no end is told by the walk alone: the one before it ended at a run.
    walked.damage.retain(|one| one.first_good_after.is_none() || !met_too(one));
    walked.damage.splice(0..0, before);
    walked
}

/// Returns the error for an event whose checksums hold and which still breaks the rules: no writer
/// of this format makes one.
fn broken_event(location: Location, fault: &Fault) -> Error {
    match fault {
        Fault::Newer { found, supported } => Error::Incompatible {
            file: format!("log at location {location}").into(),
            found: found.clone(),
            supported: supported.clone(),
        },
        fault => Damage {
            file: "log".into(),
            offset: location.get(),
            reason: format!("event: {fault}"),
            first_lost: None,
            first_good_after: None,
        }
        .into(),
    }
}

/// Returns the epoch of a new opening. No writer gets to the last one by itself.
fn epoch_after(epoch: u32, path: &Path) -> Result<u32> {
    let next = u32::from(!bugs::on(Bug::EpochNotRaised));
    epoch.checked_add(next).ok_or_else(|| {
        let (file, reason) = (path.to_owned(), "the log has an epoch that no other can follow");
        let reason = reason.to_owned();
        Damage { file, offset: 0, reason, first_lost: None, first_good_after: None }.into()
    })
}

fn reader<D: Disk>(
    directory: &Directory<D>,
    index: Arc<Index<D>>,
    walked: &Walked<D>,
) -> Reader<D> {
    let log = Log::new(directory.log.clone(), walked.segments.clone());
    let hasher = TermHasher::new(directory.identity.hash_key);
    let end =
        walked.segments.last().map_or(Location::default(), |last| last.location(walked.offset));
    let durable = (walked.next_position.previous(), end);
    let holes = Arc::clone(&directory.holes);
    let gaps = index.gaps_to(durable.0);
    let path = directory.log.path().to_owned();
    let uncovered = Uncovered::new(walked.damage.clone(), &gaps, &holes, durable.0, path);
    Reader::new(log, index, hasher, durable, uncovered, holes)
}

fn findings<D: Disk>(directory: &Directory<D>, walked: &Walked<D>) -> Vec<Finding> {
    let damage = walked.damage.iter().map(Finding::from);
    let holes = directory.holes.findings::<D>(directory.log.path(), &walked.segments);
    damage.chain(holes).chain(walked.notes.iter().cloned()).collect()
}
