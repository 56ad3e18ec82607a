//! Runs a projection: follows the log, hands events over, keeps what came of it.
//!
//! A batch of events is handled, then state and position are kept in one record. When an event fails,
//! what came before it in its batch is kept first, so that it is the first of the next batch: then
//! undoing what its handler did is to take the state that was kept. That is done before anybody else sees
//! the state, also when the handler panicked.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::kept::{DeadLetter, Kept, encode};
use super::options::{OnFailure, ProjectionOptions};
use super::view::{ProjectionView, Shown};
use crate::error::{Error, Result};
use crate::event::RecordedEvent;
use crate::position::GlobalPosition;
use crate::projection::{Handled, HandlerError, Projection};
use crate::record::RecordKind;
use crate::store::{Claim, EventStore, RecordStore};
use crate::subscription::{Delivery, Patience, StopHandle, Subscription};

/// Runs one projection over the events of a store, under a name.
///
/// It begins where it ended the last time. It is run by whoever calls [`catch_up`](Self::catch_up) or
/// [`run`](Self::run), usually a thread of its own; others look at its state with
/// [`view`](Self::view) and end it with [`stop_handle`](Self::stop_handle).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
/// use annals::{Handled, Projection, ProjectionOptions, ProjectionRunner, RecordedEvent};
///
/// struct Count;
///
/// impl Projection for Count {
///     type State = u64;
///     type Error = annals::Error;
///
///     fn handle(&mut self, count: &mut u64, _: &RecordedEvent) -> annals::Result<Handled> {
///         *count += 1;
///         Ok(Handled::Applied)
///     }
/// }
///
/// let store = Arc::new(MemoryStore::new());
/// let options = ProjectionOptions::new();
/// let mut runner = ProjectionRunner::open(Arc::clone(&store), "count", Count, options)?;
/// let (view, stop) = (runner.view(), runner.stop_handle());
/// let thread = std::thread::spawn(move || runner.run());
///
/// let task = StreamId::new("Task", "task-1")?;
/// store.append(&task, ExpectedVersion::Any, vec![NewEvent::new("Created", "tea")])?;
/// while view.read(|count| *count) < 1 {
///     std::thread::yield_now();
/// }
/// stop.stop();
/// # thread.join().unwrap()?;
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias = "ProjectionCoordinator")]
pub struct ProjectionRunner<S: EventStore + RecordStore, P: Projection> {
    subscription: Subscription<S>,
    record: (RecordKind, String),
    claim: Claim,
    projection: P,
    options: ProjectionOptions,
    /// What is kept on the disk.
    kept: Kept,
    view: ProjectionView<P::State>,
    /// How often the event behind the position was tried.
    attempts: u32,
    /// Whether the state may have something that is not kept: after a panic, or when it could not be
    /// encoded, it has, and is taken back before anything else is done with it.
    is_unkept: bool,
}

/// What a run has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Events that counted.
    pub applied: u64,
    /// Events that the projection said are of no interest.
    pub ignored: u64,
    /// Events that were set aside.
    pub set_aside: u64,
}

/// What handling the dead letters again has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Redriven {
    /// Dead letters that were handled and are gone from the list.
    pub handled: u64,
    /// Dead letters that failed again and are still there.
    pub failed: u64,
}

/// What is to be done after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// An event that could not be handled.
struct Failure {
    /// Its place among the events that were handed over.
    place: usize,
    /// What came of those before it.
    before: Progress,
    error: HandlerError,
}

impl<S: EventStore + RecordStore, P: Projection> ProjectionRunner<S, P> {
    /// Opens the projection with a name, 1 to 512 bytes of any text, where it ended the last time.
    ///
    /// # Errors
    ///
    /// [`Error::Claimed`] when it is open already, [`Error::StateVersion`] when what was kept is of
    /// another [`STATE_VERSION`](Projection::STATE_VERSION): make it anew with
    /// [`Rebuild`](crate::Rebuild). [`Error::RecordUnusable`] when what was kept can not be used: it is
    /// not begun anew unasked. [`Error::Payload`] when it is no such state: `State` was changed without
    /// another version.
    ///
    /// [`Error::HistoryChanged`] when it was made in another history of the store, as of before a
    /// backup was restored, unless the options say to make it anew
    /// ([`OnHistoryChange::Rebuild`](crate::OnHistoryChange::Rebuild)). A state of before event ids were
    /// kept is not compared; it is [`Error::BeyondEnd`] when it is ahead of the log.
    ///
    /// Otherwise as [`RecordStore::read_record`].
    pub fn open(
        store: S,
        name: impl Into<String>,
        projection: P,
        options: ProjectionOptions,
    ) -> Result<Self> {
        let (kind, name) = (RecordKind::Projection, name.into());
        let claim = store.claim(kind, &name)?;
        let kept = Kept::read::<P>(&store, kind, &name)?;
        let kept = match kept {
            Some(kept) => kept.in_history_of::<P>(&store, options.on_history_change)?,
            None => Kept::blank::<P>(0)?,
        };
        Self::with(store, (kind, name), claim, kept, projection, options)
    }

    /// Opens a projection with what is kept of it.
    pub(super) fn with(
        store: S,
        record: (RecordKind, String),
        claim: Claim,
        kept: Kept,
        projection: P,
        options: ProjectionOptions,
    ) -> Result<Self> {
        let subscription = Subscription::new(store, kept.reached.start())?;
        let subscription = subscription.matching(projection.query())?;
        let view = ProjectionView::new(kept.state::<P>()?, kept.reached.position);
        let (attempts, is_unkept) = (0, false);
        Ok(Self {
            subscription,
            record,
            claim,
            projection,
            options,
            kept,
            view,
            attempts,
            is_unkept,
        })
    }

    /// Handles the events that are there, and returns at the end of the log, or when it is stopped.
    ///
    /// # Errors
    ///
    /// [`Error::ProjectionStopped`] when an event failed at every attempt and the options say to stop;
    /// called again, it is tried again. The same, whatever they say, when
    /// [`flush`](Projection::flush) fails. [`Error::Limit`] when the list of dead letters or the state is
    /// full. Otherwise as [`Subscription::next_within`] and [`RecordStore::write_record`]. What is kept
    /// is never ahead of what was handled, so it may always be called again.
    pub fn catch_up(&mut self) -> Result<Progress> {
        let mut progress = Progress::default();
        self.drive(&Patience::of(Duration::ZERO), &mut progress)?;
        Ok(progress)
    }

    /// Handles events as they come, until it is stopped or the store is closed.
    ///
    /// # Errors
    ///
    /// As [`catch_up`](Self::catch_up).
    pub fn run(&mut self) -> Result<Progress> {
        let mut progress = Progress::default();
        match self.drive(&Patience::endless(), &mut progress) {
            // What is not kept by now is handled again when the store is opened again.
            Ok(()) | Err(Error::Closed) => Ok(progress),
            Err(error) => Err(error),
        }
    }

    /// Returns a view of the state.
    pub fn view(&self) -> ProjectionView<P::State> {
        self.view.clone()
    }

    /// Returns a handle that stops it from another thread, also while it waits to try again.
    pub fn stop_handle(&self) -> StopHandle {
        self.subscription.stop_handle()
    }

    /// Returns up to which position everything is kept.
    pub fn reached(&self) -> GlobalPosition {
        self.kept.reached.position
    }

    /// Returns the events that were set aside, in the order in which that was done: at most 256.
    #[doc(alias("DLQRepository", "get_failed_events"))]
    pub fn dead_letters(&self) -> &[DeadLetter] {
        &self.kept.dead_letters
    }

    /// Handles the dead letters again, each behind all events that were handled since: a projection that
    /// depends on the order of events is made anew instead, with [`Rebuild`](crate::Rebuild). What is
    /// handled leaves the list together with the change of the state.
    ///
    /// # Errors
    ///
    /// As [`catch_up`](Self::catch_up), but that an event which fails again stays in the list.
    #[doc(alias = "mark_retrying")]
    pub fn redrive(&mut self) -> Result<Redriven> {
        self.take_back_what_is_not_kept()?;
        let mut redriven = Redriven::default();
        for letter in self.kept.dead_letters.clone() {
            let outcome = match self.subscription.store().event(letter.event_id)? {
                Some(event) => self.handle(std::slice::from_ref(&event))?.map_err(|it| it.error),
                None => Err("the event is not there any more".into()),
            };
            let mut kept = self.kept.clone();
            match outcome {
                Ok(_) => {
                    kept.dead_letters.retain(|other| other.position != letter.position);
                    kept.state = self.view.read(encode)?;
                    self.keep(kept)?;
                    redriven.handled += 1;
                }
                Err(error) => {
                    let failed_at = self.options.clock.now();
                    let mut letters = kept.dead_letters.iter_mut();
                    if let Some(own) = letters.find(|other| other.position == letter.position) {
                        *own = letter.failed_again(failed_at, error.to_string());
                    }
                    self.keep(kept)?;
                    redriven.failed += 1;
                }
            }
        }
        Ok(redriven)
    }

    /// Gives a dead letter up: its event is never handled. Tells whether it was there.
    ///
    /// # Errors
    ///
    /// As [`RecordStore::write_record`].
    #[doc(alias = "mark_resolved")]
    pub fn give_up(&mut self, position: GlobalPosition) -> Result<bool> {
        self.take_back_what_is_not_kept()?;
        let mut kept = self.kept.clone();
        kept.dead_letters.retain(|letter| letter.position != position);
        let was_there = kept.dead_letters.len() < self.kept.dead_letters.len();
        if was_there {
            self.keep(kept)?;
        }
        Ok(was_there)
    }

    /// Takes the place of the projection in use, whose record this one's replaces in one step.
    pub(super) fn take_the_place_of_the_one_in_use(&mut self) -> Result<()> {
        let (own_kind, name) = self.record.clone();
        let store = self.subscription.store();
        let claim = store.claim(RecordKind::Projection, &name)?;
        self.kept.write::<P>(store, RecordKind::Projection, &name)?;
        store.remove_record(own_kind, &name)?;
        (self.claim, self.record) = (claim, (RecordKind::Projection, name));
        Ok(())
    }

    /// As [`catch_up`](Self::catch_up), where being stopped before the end is an error.
    pub(super) fn catch_up_to_the_end(&mut self) -> Result<()> {
        let end = self.subscription.store().global_position()?;
        self.catch_up()?;
        match self.reached() >= end {
            true => Ok(()),
            false => {
                Err(self.stopped_before(self.reached().next(), 0, "it was told to stop".into()))
            }
        }
    }

    /// Removes what is kept.
    pub(super) fn remove_record(self) -> Result<()> {
        let (kind, name) = &self.record;
        self.subscription.store().remove_record(*kind, name)
    }

    fn drive(&mut self, patience: &Patience, progress: &mut Progress) -> Result<()> {
        self.take_back_what_is_not_kept()?;
        loop {
            let (batch, is_last) = self.next_batch(patience)?;
            let is_stopped = self.handle_batch(&batch, progress)? == Next::End;
            if is_stopped || is_last {
                // What was filtered out since is not looked at again.
                return self.keep_up_to(self.subscription.reached());
            }
        }
    }

    /// Waits for events and returns them, and whether the run ends with them.
    fn next_batch(&mut self, patience: &Patience) -> Result<(Vec<RecordedEvent>, bool)> {
        let mut batch = Vec::new();
        let at_hand = Patience::of(Duration::ZERO);
        while batch.len() < self.options.batch_events.0 {
            let patience = if batch.is_empty() { patience } else { &at_hand };
            match self.subscription.deliver(patience) {
                Ok(Delivery::Event(event)) => batch.push(event),
                Ok(Delivery::Nothing) => {
                    let is_last = batch.is_empty();
                    return Ok((batch, is_last));
                }
                Ok(Delivery::Ended) => return Ok((batch, true)),
                // What came before is handled first; then the error comes again.
                Err(_) if !batch.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok((batch, false))
    }

    /// Handles a batch and keeps what came of it. When an event fails, what is before it is kept, and
    /// the state is then the one that was kept.
    fn handle_batch(&mut self, batch: &[RecordedEvent], progress: &mut Progress) -> Result<Next> {
        let (mut part, mut failure) = (batch, None);
        let handled = loop {
            match self.handle(part)? {
                Ok(handled) => break handled,
                Err(Failure { place, before, error }) => {
                    let event = part.get(place);
                    part = part.get(..place).unwrap_or_default();
                    failure = event.map(|event| (event, error));
                    if self.state_is_elsewhere() {
                        // There is nothing to undo, and nothing is handled again without need.
                        break before;
                    }
                }
            }
        };
        if !part.is_empty() {
            let up_to = match failure {
                Some((event, _)) => event.global_position().previous(),
                None => self.subscription.reached(),
            };
            self.keep_up_to(up_to)?;
            progress.applied += handled.applied;
            progress.ignored += handled.ignored;
            self.attempts = 0;
        }
        match failure {
            Some((event, error)) => self.answer_failure(event, error, progress),
            None => Ok(Next::GoOn),
        }
    }

    /// Hands events over, and returns what came of it, or which failed and why. When one failed, or its
    /// handler panicked, the state is again the one that was kept before others see it.
    fn handle(&mut self, events: &[RecordedEvent]) -> Result<Result<Progress, Failure>> {
        self.is_unkept |= !events.is_empty();
        let state_is_elsewhere = self.state_is_elsewhere();
        let (projection, kept) = (&mut self.projection, &self.kept);
        self.view.change(|shown| {
            let handing = AssertUnwindSafe(|| hand_over(projection, &mut shown.state, events));
            let outcome = catch_unwind(handing);
            let undone = match &outcome {
                Ok(Ok(_)) => Ok(()),
                _ if state_is_elsewhere => Ok(()),
                _ => kept.state::<P>().map(|state| shown.state = state),
            };
            let handled = outcome.unwrap_or_else(|panic| resume_unwind(panic));
            undone.map(|()| handled)
        })
    }

    /// Decides about an event that has failed, behind which nothing was handled: it is tried again, or
    /// set aside, or it ends the run.
    fn answer_failure(
        &mut self,
        event: &RecordedEvent,
        error: HandlerError,
        progress: &mut Progress,
    ) -> Result<Next> {
        self.subscription.rewind(self.kept.reached);
        self.attempts += 1;
        if let Some(delay) = self.options.retries.delay_after(self.attempts) {
            let is_stopped = self.subscription.pause(&Patience::of(delay));
            return Ok(if is_stopped { Next::End } else { Next::GoOn });
        }
        let attempts = std::mem::take(&mut self.attempts);
        if self.options.on_failure == OnFailure::Stop {
            return Err(self.stopped_before(event.global_position(), attempts, error));
        }
        let letter = DeadLetter::new(event, attempts, self.options.clock.now(), &error);
        let mut kept = self.kept.clone();
        kept.set_aside(letter)?;
        self.keep(kept)?;
        self.subscription.rewind(self.kept.reached);
        progress.set_aside += 1;
        Ok(Next::GoOn)
    }

    /// Keeps the state as that behind all events up to a position.
    fn keep_up_to(&mut self, position: GlobalPosition) -> Result<()> {
        if position <= self.reached() {
            return Ok(());
        }
        let reached = self.subscription.reached_at(position)?;
        let state = self.view.read(encode)?;
        self.keep(Kept { reached, state, ..self.kept.clone() })
    }

    /// Keeps something in the place of what was kept before; what can not be kept is undone.
    fn keep(&mut self, kept: Kept) -> Result<()> {
        let flushed = self
            .projection
            .flush()
            .map_err(|error| self.stopped_before(self.reached().next(), 1, error.into()));
        let (kind, name) = &self.record;
        let store = self.subscription.store();
        let written = flushed.and_then(|()| kept.write::<P>(store, *kind, name));
        match written {
            Ok(()) => {
                self.view.change(|shown| shown.reached = kept.reached.position);
                self.kept = kept;
                self.is_unkept = false;
                Ok(())
            }
            Err(error) => {
                self.take_back()?;
                Err(error)
            }
        }
    }

    /// Goes back to the state and the position that were kept.
    fn take_back(&mut self) -> Result<()> {
        let state = self.kept.state::<P>()?;
        let reached = self.kept.reached;
        self.view.change(|shown| *shown = Shown { state, reached: reached.position });
        self.subscription.rewind(reached);
        self.is_unkept = false;
        Ok(())
    }

    fn take_back_what_is_not_kept(&mut self) -> Result<()> {
        if self.is_unkept {
            self.take_back()?;
        }
        Ok(())
    }

    /// Tells whether the store keeps no state, so that there is none to undo.
    fn state_is_elsewhere(&self) -> bool {
        size_of::<P::State>() == 0
    }

    fn stopped_before(
        &self,
        position: GlobalPosition,
        attempts: u32,
        source: HandlerError,
    ) -> Error {
        let projection = self.record.1.clone();
        Error::ProjectionStopped { projection, position, attempts, source }
    }
}

/// Hands events over to a projection, up to the first that fails.
fn hand_over<P: Projection>(
    projection: &mut P,
    state: &mut P::State,
    events: &[RecordedEvent],
) -> Result<Progress, Failure> {
    let mut progress = Progress::default();
    for (place, event) in events.iter().enumerate() {
        match projection.handle(state, event) {
            Ok(Handled::Applied) => progress.applied += 1,
            Ok(Handled::Ignored) => progress.ignored += 1,
            Err(error) => return Err(Failure { place, before: progress, error: error.into() }),
        }
    }
    Ok(progress)
}

impl<S: EventStore + RecordStore, P: Projection> fmt::Debug for ProjectionRunner<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = &self.record;
        let mut shown = f.debug_struct("ProjectionRunner");
        shown.field("kind", kind).field("name", name).field("reached", &self.reached());
        shown.field("dead_letters", &self.kept.dead_letters.len()).finish_non_exhaustive()
    }
}
