//! Group commit: many threads append, one of them at a time writes and syncs for all.
//!
//! The caller that finds nobody leading leads: it takes the frames that have gathered, writes them
//! as one group, wakes the callers whose frames were in it, then hands leadership to the first
//! caller of the next group. A lone appender pays for its own write and sync and nothing else.
//!
//! A commit can also be submitted: its caller goes on, and may come back to wait for it. A thread of
//! the store leads the groups for which nobody waits.
//!
//! Invariants:
//!
//! 1. A caller is told `Ok` only after the sync that made its frame durable, and after its events
//!    can be read.
//! 2. A refusal rests on what is durable, never on what a crash could still remove.
//! 3. When nobody leads, nobody waits in the gathering group, and if it has frames the writing thread
//!    has been called.
//! 4. Whoever waits is woken: by the leader of its group, by promotion, or, when a leader fails or
//!    panics, with an error.
//! 5. Positions are given out under the lock, in the order of the frames in the log; when frames are
//!    rejected, so is every frame behind them, and their positions are given out anew.
//! 6. After a failed write or sync nothing is admitted any more; nor after a rejection, where commits
//!    are acknowledged before they are durable.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::appender::{Appender, FailureKind, GroupFailure, QueuedFrame, watermark};
use super::background::{Bell, Call};
use super::found::{Found, settle_durably};
use super::prepared::Prepared;
use super::reader::Reader;
use super::staged::{DurableView, Staged, StagedCommit, StagedView, staged_versions};
use super::submission::Durability;
use super::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Stopwatch, yield_now};
use super::times::Times;
use super::waiter::{Outcome, Presence, Summons, Waiter};
use crate::bugs::{self, Bug};
use crate::error::{Error, PoisonCause, Result};
use crate::few::Few;
use crate::format::FrameKind;
use crate::io::{Disk, Process};
use crate::limits::{GROUP_BYTES_MAX, Limits, UNATTENDED_BYTES_MAX};
use crate::position::GlobalPosition;
use crate::store::{Commit, CommitResult, Write, decide};

/// How long a leader waits at most for the previous group's callers to come back.
const GATHERING_MAX: Duration = Duration::from_micros(50);
/// The part of a sync's usual duration that a leader waits at most.
const GATHERING_SHARE: u64 = 8;

/// Orders commits and makes them durable in groups.
pub(crate) struct CommitQueue<D: Disk> {
    reader: Arc<Reader<D>>,
    times: Arc<Times>,
    limits: Limits,
    durability: Durability,
    bell: Arc<Bell>,
    /// Calls the writing thread.
    pub(super) writing: Arc<Bell>,
    pub(super) state: Mutex<State>,
    appender: Mutex<Appender<D>>,
    /// Callers of the gathering group, for the leader to watch without the lock.
    gathered: AtomicUsize,
    /// Microseconds that writing a group usually takes.
    usual_micros: AtomicU64,
    /// The process that opened the store.
    process: Process,
}

pub(super) struct State {
    status: Status,
    pub(super) is_led: bool,
    pub(super) gathering: Group,
    staged: Staged,
    staged_in_flight: Staged,
    /// Commits that have ended, to be freed while the next group is synced.
    ended: Few<StagedCommit>,
    next_position: GlobalPosition,
    /// Callers to expect in the next group, from the size of the last ones.
    expected_callers: usize,
    /// Whether a commit was written after the last watermark.
    is_unmarked: bool,
    /// Whether the background thread has been asked for a watermark that is still to come.
    is_mark_due: bool,
}

enum Status {
    Open,
    Poisoned(Arc<PoisonCause>),
    Closed,
}

/// Frames that are written together, and who waits for them.
#[derive(Default)]
pub(super) struct Group {
    pub(super) frames: Few<QueuedFrame>,
    /// Whom each frame is for.
    callers: Few<Arc<Waiter>>,
    /// Callers without a frame who wait for the frames before them.
    onlookers: Vec<Arc<Waiter>>,
    bytes: usize,
    /// Callers who waited from the beginning.
    present: usize,
}

pub(super) enum Admission {
    /// Nothing is to be written.
    Settled(CommitResult),
    /// The commit is in the gathering group.
    Queued(CommitResult, Arc<Waiter>),
    /// What the commit depends on must become durable first.
    Later,
}

/// What a commit comes to, and its part in the gathering group if it is in it.
pub(super) type Entered<'a> = (CommitResult, Option<(MutexGuard<'a, State>, Arc<Waiter>)>);

impl<D: Disk> CommitQueue<D> {
    pub(crate) fn new(
        reader: Arc<Reader<D>>,
        appender: Appender<D>,
        (limits, durability): (Limits, Durability),
        (bell, writing): (Arc<Bell>, Arc<Bell>),
        is_unmarked: bool,
    ) -> Self {
        if is_unmarked {
            bell.ring(Call::Mark);
        }
        let state = State {
            status: Status::Open,
            is_led: false,
            gathering: Group::default(),
            staged: Staged::default(),
            staged_in_flight: Staged::default(),
            ended: Few::new(),
            next_position: reader.durable().next(),
            expected_callers: 1,
            is_unmarked,
            is_mark_due: is_unmarked,
        };
        let times = Arc::clone(appender.times());
        Self {
            reader,
            times,
            limits,
            durability,
            bell,
            writing,
            state: Mutex::new(state),
            appender: Mutex::new(appender),
            gathered: AtomicUsize::new(0),
            usual_micros: AtomicU64::new(0),
            process: Process::current(),
        }
    }

    /// Refuses to go on in a process that was forked from the one that opened the store. It comes before any
    /// lock: one that another thread held at the fork is held for ever.
    pub(super) fn check_process(&self) -> Result<()> {
        match self.process.is_current() {
            true => Ok(()),
            false => {
                let log = self.reader.log().disk().path();
                Err(Error::Forked { path: log.parent().unwrap_or(log).to_owned() })
            }
        }
    }

    /// Commits, and returns once the events are durable, or are to become so.
    pub(crate) fn commit(&self, commit: Commit) -> Result<CommitResult> {
        match self.durability {
            Durability::Synced => match self.enter(commit, Presence::Waits)? {
                (result, None) => Ok(result),
                (result, Some((state, caller))) => self.take_part(state, &caller).map(|()| result),
            },
            Durability::MayLoseLast => self.leave(commit).map(|(result, _caller)| result),
        }
    }

    /// Admits a commit, waiting for what it depends on. Returns what it comes to and, if it is in the
    /// gathering group, its part there, still under the lock.
    pub(super) fn enter(&self, mut commit: Commit, presence: Presence) -> Result<Entered<'_>> {
        self.check_process()?;
        let mut prepared = self.begin(&mut commit)?;
        loop {
            let found = Found::look_up(&self.reader, &commit, &prepared);
            let mut state = self.state.lock();
            state.check_open()?;
            let admission = match state.has_room(presence) {
                true => self.admit(&mut state, &mut commit, &mut prepared, &found?, presence)?,
                false => Admission::Later,
            };
            match admission {
                Admission::Settled(result) => return Ok((result, None)),
                Admission::Queued(result, caller) => return Ok((result, Some((state, caller)))),
                Admission::Later => {
                    let onlooker = state.gathering.add_onlooker();
                    self.take_part(state, &onlooker)?;
                }
            }
        }
    }

    /// Checks a commit and encodes its events.
    fn begin(&self, commit: &mut Commit) -> Result<Prepared> {
        commit.check(&self.limits)?;
        if let Some(now) = self.times.clock_behind() {
            commit.occurs_at(now);
        }
        self.prepare(commit, None)
    }

    /// Encodes the events of a commit, or those that are to be written.
    fn prepare(&self, commit: &Commit, writes: Option<&[Write]>) -> Result<Prepared> {
        Prepared::of(commit, self.reader.hasher(), &self.limits, writes)
    }

    /// Decides a commit under the lock and puts it into the gathering group.
    fn admit(
        &self,
        state: &mut State,
        commit: &mut Commit,
        prepared: &mut Prepared,
        found: &Found,
        presence: Presence,
    ) -> Result<Admission> {
        let groups = [&mut state.staged_in_flight, &mut state.staged];
        let Ok(versions) = staged_versions(groups, commit, prepared) else {
            return Ok(Admission::Later);
        };
        let Prepared { keys, firsts, .. } = &*prepared;
        let durable = DurableView { reader: &self.reader, commit, keys, found };
        let staged = [&state.staged_in_flight, &state.staged];
        let newest = state.next_position.previous();
        let view = StagedView { durable, staged, versions, newest };
        let decision = match decide(commit, firsts, &view) {
            Ok(decision) if !decision.writes.is_empty() => decision,
            other => return settle_durably(commit, firsts, &view.durable, other),
        };
        if decision.writes.len() != prepared.frame.event_count() {
            *prepared = self.prepare(commit, Some(&decision.writes))?;
        }
        let (mut frame, keys) = mem::take(prepared).finish(&decision.writes)?;
        let first_position = state.next_position;
        frame.place(first_position, decision.writes.iter().map(|write| write.stream_version))?;
        state.next_position = first_position.advanced_by(decision.writes.len() as u64);
        state.is_unmarked = true;
        if !mem::replace(&mut state.is_mark_due, true) {
            self.bell.ring(Call::Mark);
        }
        state.staged.add(mem::take(commit), decision.writes, Arc::clone(&keys));
        let queued = QueuedFrame { kind: FrameKind::Commit, frame, keys, first_position };
        let caller = state.gathering.add(queued, presence);
        self.gathered.store(state.gathering.present, Ordering::Relaxed);
        Ok(Admission::Queued(decision.result, caller))
    }

    /// Leads, if nobody does, or waits until a leader has done its part or hands over.
    pub(super) fn take_part(
        &self,
        mut state: MutexGuard<'_, State>,
        caller: &Arc<Waiter>,
    ) -> Result<()> {
        let leads = !mem::replace(&mut state.is_led, true);
        drop(state);
        if leads || caller.wait() == Summons::Lead {
            self.lead();
        }
        caller.outcome()
    }

    /// Writes one group and hands leadership on.
    pub(super) fn lead(&self) {
        self.gather();
        let (mut group, mut ended) = {
            let mut state = self.state.lock();
            self.gathered.store(0, Ordering::Relaxed);
            let state = &mut *state;
            mem::swap(&mut state.staged, &mut state.staged_in_flight);
            let group = mem::take(&mut state.gathering);
            state.expected_callers =
                group.present.max(state.expected_callers - state.expected_callers.div_ceil(4));
            (group, mem::take(&mut state.ended))
        };
        let mut leadership = Leadership { queue: self, group: &mut group, result: None };
        let stopwatch = Stopwatch::start();
        let meanwhile = &mut || free(mem::take(&mut ended));
        let result = self.appender.lock().write(&mut leadership.group.frames, meanwhile);
        self.remember_duration(stopwatch.elapsed());
        leadership.result = Some(result);
    }

    /// Waits a little for the callers of the previous group to come back; never for a lone one.
    fn gather(&self) {
        let expected = self.state.lock().expected_callers;
        if expected <= 1 {
            return;
        }
        let share =
            Duration::from_micros(self.usual_micros.load(Ordering::Relaxed) / GATHERING_SHARE);
        let (stopwatch, longest) = (Stopwatch::start(), share.min(GATHERING_MAX));
        while self.gathered.load(Ordering::Relaxed) < expected && stopwatch.elapsed() < longest {
            yield_now();
        }
    }

    fn remember_duration(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let usual = self.usual_micros.load(Ordering::Relaxed);
        let smoothed = usual - usual / 8 + micros / 8;
        self.usual_micros.store(smoothed, Ordering::Relaxed);
    }

    /// Ends a group: settles the state, wakes its callers, promotes the next leader, calls who follows.
    fn finish(&self, group: &mut Group, result: Result<(), GroupFailure>) {
        let mut rejected = Group::default();
        // Freed once everybody has been woken, when another thread leads.
        let mut ended;
        let (written, failed, queued) = {
            let mut state = self.state.lock();
            ended = state.staged_in_flight.clear();
            if group.present <= 1 {
                // The thread that leads now goes on alone, sooner if the next sync hides this.
                state.ended = mem::take(&mut ended);
            }
            match result {
                Ok(()) => (group.callers.len(), Outcome::Done, Outcome::Done),
                Err(GroupFailure { written, kind }) => {
                    rejected = state.drop_gathering();
                    self.gathered.store(0, Ordering::Relaxed);
                    if !bugs::on(Bug::PositionsBurnt) {
                        state.next_position = self.reader.durable().next();
                    }
                    let (failed, queued) = state.outcomes(self.judged(kind));
                    (written, failed, queued)
                }
            }
        };
        let mut callers = group.callers.drain(..);
        callers.by_ref().take(written).for_each(|caller| caller.finish(Outcome::Done));
        callers.for_each(|caller| caller.finish(failed.again()));
        group.onlookers.drain(..).for_each(|onlooker| onlooker.finish(Outcome::Done));
        rejected.callers.drain(..).for_each(|caller| caller.finish(queued.again()));
        rejected.onlookers.drain(..).for_each(|onlooker| onlooker.finish(Outcome::Done));
        self.hand_over();
        // Last of all: of the appends only that of the caller who led pays for calling who follows.
        self.reader.watchers().call_all();
    }

    /// Makes a rejection poison where callers have been told that their commits are recorded.
    fn judged(&self, kind: FailureKind) -> FailureKind {
        match (kind, self.durability) {
            (FailureKind::Rejected(error), Durability::MayLoseLast) => {
                FailureKind::Poison(PoisonCause::of(error, self.reader.log().disk().path()))
            }
            (kind, _) => kind,
        }
    }

    fn hand_over(&self) {
        let mut state = self.state.lock();
        let group = &state.gathering;
        let next = group.callers.iter().find(|caller| caller.is_present());
        let next = next.or_else(|| group.onlookers.first()).map(Arc::clone);
        let is_unattended = next.is_none() && !group.frames.is_empty();
        state.is_led = next.is_some();
        drop(state);
        if let Some(next) = next {
            next.promote();
        }
        if is_unattended {
            self.writing.ring(Call::Write);
        }
    }

    /// Writes a watermark if a commit was written after the last one. It shows later that the commit
    /// had been durable.
    pub(crate) fn mark(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.is_mark_due = false;
        state.check_open()?;
        match (state.is_unmarked, state.gathering.frames.is_empty()) {
            (false, _) => Ok(()),
            (true, true) => self.write_watermark(state, FrameKind::Watermark),
            (true, false) => {
                // It would show nothing of its own group. There is no pause yet: later, then.
                state.is_mark_due = true;
                self.bell.ring(Call::Mark);
                Ok(())
            }
        }
    }

    /// Refuses further commits, waits for those that were admitted, and marks the end of the log.
    pub(crate) fn close(&self) -> Result<()> {
        self.check_process()?;
        let mut state = self.state.lock();
        state.check_open()?;
        state.status = Status::Closed;
        if !state.gathering.frames.is_empty() {
            // The mark must not share a group with what it is to show.
            let onlooker = state.gathering.add_onlooker();
            self.take_part(state, &onlooker)?;
            state = self.state.lock();
        }
        state.check_sound()?;
        let is_idle = !state.is_led && !state.is_unmarked;
        match is_idle {
            true => Ok(()),
            false => self.write_watermark(state, FrameKind::Closed),
        }
    }

    /// Leaves the log as a closed store has it, once [`close`](Self::close) has succeeded and no thread of the
    /// store is at work any more.
    pub(crate) fn settle(&self) {
        self.appender.lock().settle();
    }

    fn write_watermark(&self, mut state: MutexGuard<'_, State>, kind: FrameKind) -> Result<()> {
        let frame = watermark(kind, state.next_position);
        state.is_unmarked = false;
        let caller = state.gathering.add(frame, Presence::Waits);
        let written = self.take_part(state, &caller);
        if written.is_err() {
            self.state.lock().is_unmarked = true;
        }
        written
    }

    /// Returns the position of the last event that was admitted, durable or not.
    pub(crate) fn newest(&self) -> GlobalPosition {
        self.state.lock().next_position.previous()
    }
}

/// Frees commits of another caller. A payload whose owner panics then, which is not the business of this
/// group, has had its panic reported.
fn free(ended: Few<StagedCommit>) {
    let _reported = catch_unwind(AssertUnwindSafe(|| drop(ended)));
}

impl State {
    pub(super) fn check_open(&self) -> Result<()> {
        match &self.status {
            Status::Closed => Err(Error::Closed),
            Status::Open | Status::Poisoned(_) => self.check_sound(),
        }
    }

    /// Refuses to go on once writing has failed.
    pub(super) fn check_sound(&self) -> Result<()> {
        match &self.status {
            Status::Poisoned(cause) => Err(Error::Poisoned { cause: Arc::clone(cause) }),
            Status::Open | Status::Closed => Ok(()),
        }
    }

    /// Tells whether a frame may join the gathering group. Its own size does not matter, or a large
    /// one would have to come first and might never.
    fn has_room(&self, presence: Presence) -> bool {
        let most = match presence {
            Presence::Waits => GROUP_BYTES_MAX,
            Presence::Away => UNATTENDED_BYTES_MAX,
        };
        self.gathering.bytes < most
    }

    /// Takes everything out of the gathering group.
    fn drop_gathering(&mut self) -> Group {
        drop(self.staged.clear());
        mem::take(&mut self.gathering)
    }

    /// Returns what the callers of a failed group are told, and those behind it.
    fn outcomes(&mut self, kind: FailureKind) -> (Outcome, Outcome) {
        match kind {
            FailureKind::Rejected(error) => {
                let outcome = Outcome::Rejected(Arc::new(error));
                (outcome.again(), outcome)
            }
            FailureKind::Displaced(cause) => {
                let cause = Arc::new(cause);
                self.status = Status::Poisoned(Arc::clone(&cause));
                let outcome = Outcome::Poisoned(cause);
                (outcome.again(), outcome)
            }
            FailureKind::Poison(cause) => {
                let cause = Arc::new(cause);
                if !bugs::on(Bug::NotPoisoned) {
                    self.status = Status::Poisoned(Arc::clone(&cause));
                }
                (Outcome::Unknown(Arc::clone(&cause)), Outcome::Poisoned(cause))
            }
        }
    }
}

impl Group {
    fn add(&mut self, frame: QueuedFrame, presence: Presence) -> Arc<Waiter> {
        let caller = Arc::new(Waiter::new(presence));
        self.present += usize::from(presence == Presence::Waits);
        self.bytes += frame.frame.length();
        self.frames.push(frame);
        self.callers.push(Arc::clone(&caller));
        caller
    }

    pub(super) fn add_onlooker(&mut self) -> Arc<Waiter> {
        let onlooker = Arc::new(Waiter::new(Presence::Waits));
        self.onlookers.push(Arc::clone(&onlooker));
        onlooker
    }
}

#[cfg(any(test, feature = "testing"))]
impl<D: Disk> CommitQueue<D> {
    /// Admits commits one by one before any is written, then writes them as one group.
    ///
    /// One that can not be decided before others are durable is committed behind the group.
    pub(crate) fn commit_together(&self, commits: &[Commit]) -> Vec<Result<CommitResult>> {
        let mut state = self.state.lock();
        let admitted: Vec<_> = commits
            .iter()
            .map(|commit| {
                state.check_open()?;
                let mut commit = commit.clone();
                let mut prepared = self.begin(&mut commit)?;
                let found = Found::look_up(&self.reader, &commit, &prepared)?;
                let presence = Presence::Waits;
                self.admit(&mut state, &mut commit, &mut prepared, &found, presence)
            })
            .collect();
        let first = state.gathering.callers.first().map(Arc::clone);
        match first {
            // What comes of each is asked below.
            Some(first) => _ = self.take_part(state, &first),
            None => drop(state),
        }
        let outcomes =
            admitted.into_iter().zip(commits).map(|(admitted, commit)| match admitted? {
                Admission::Settled(result) => Ok(result),
                Admission::Queued(result, caller) => caller.outcome().map(|()| result),
                Admission::Later => self.commit(commit.clone()),
            });
        outcomes.collect()
    }
}

#[cfg(test)]
impl<D: Disk> CommitQueue<D> {
    /// Lets no group be written until the guard is dropped.
    pub(crate) fn pause(&self) -> impl Sized + '_ {
        self.appender.lock()
    }

    /// Returns how many frames and how many onlookers are in the gathering group.
    pub(crate) fn gathering(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.gathering.frames.len(), state.gathering.onlookers.len())
    }

    /// Tells whether nobody leads, no group has begun, and all that was admitted is durable or was
    /// given up.
    pub(crate) fn is_at_rest(&self) -> bool {
        let state = self.state.lock();
        let Group { frames, callers, onlookers, bytes, present } = &state.gathering;
        let is_empty = frames.is_empty() && callers.is_empty() && onlookers.is_empty();
        let is_counted = *bytes == 0 && *present == 0 && self.gathered.load(Ordering::Relaxed) == 0;
        let is_settled = state.next_position == self.reader.durable().next();
        !state.is_led && is_empty && is_counted && is_settled
    }
}

/// The duty to end a group, however its writing ends: a panic poisons the store and wakes everybody.
struct Leadership<'a, D: Disk> {
    queue: &'a CommitQueue<D>,
    group: &'a mut Group,
    result: Option<Result<(), GroupFailure>>,
}

impl<D: Disk> Drop for Leadership<'_, D> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            let kind = FailureKind::Poison(PoisonCause {
                operation: "write to",
                path: self.queue.reader.log().disk().path().to_owned(),
                source: std::io::Error::other("the thread that wrote for all panicked"),
            });
            Err(GroupFailure { written: 0, kind })
        });
        self.queue.finish(self.group, result);
    }
}
