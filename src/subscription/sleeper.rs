//! Waiting that ends early: when the store calls, or when somebody stops it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::Stopwatch;
use crate::store::Watcher;

/// Stops a [`Subscription`](crate::Subscription) or a [`ProjectionRunner`](crate::ProjectionRunner) from
/// another thread. Clones stop the same one.
///
/// # Examples
///
/// ```
/// use annals::{MemoryStore, Start, Subscription};
///
/// let store = MemoryStore::new();
/// let mut subscription = Subscription::new(&store, Start::End)?;
/// let stop = subscription.stop_handle();
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert!(subscription.next().is_none()));
///     stop.stop();
/// });
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone)]
pub struct StopHandle(Arc<Bed>);

/// Where one thread sleeps.
pub(crate) struct Sleeper {
    bed: Arc<Bed>,
    watcher: Watcher,
}

#[derive(Default)]
struct Bed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_called: bool,
    is_stopped: bool,
}

/// How long somebody is ready to wait.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    since: Stopwatch,
    longest: Option<Duration>,
}

impl StopHandle {
    /// Stops it: what it is waiting for ends now, or, when it is not waiting, the next time it is asked.
    /// It may be asked to go on after that.
    pub fn stop(&self) {
        self.0.state.lock().is_stopped = true;
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopHandle(..)")
    }
}

impl Default for Sleeper {
    fn default() -> Self {
        let bed = Arc::<Bed>::default();
        let called = Arc::clone(&bed);
        let watcher = Watcher::new(move || {
            called.state.lock().is_called = true;
            called.changed.notify_all();
        });
        Self { bed, watcher }
    }
}

impl Sleeper {
    pub(crate) fn stop_handle(&self) -> StopHandle {
        StopHandle(Arc::clone(&self.bed))
    }

    /// Returns who calls the sleeper.
    pub(crate) fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// Forgets earlier calls: the next sleep ends with a call from now on.
    pub(crate) fn arm(&self) {
        self.bed.state.lock().is_called = false;
    }

    /// Sleeps until it is called or stopped, or the patience is over.
    pub(crate) fn sleep(&self, patience: &Patience) {
        let mut state = self.bed.state.lock();
        while !state.is_called && !state.is_stopped {
            match patience.left() {
                None => self.bed.changed.wait(&mut state),
                Some(Duration::ZERO) => return,
                Some(left) => _ = self.bed.changed.wait_for(&mut state, left),
            }
        }
    }

    /// Waits until the patience is over, whoever calls, and tells whether it was stopped before that.
    pub(crate) fn pause(&self, patience: &Patience) -> bool {
        let mut state = self.bed.state.lock();
        while !state.is_stopped {
            match patience.left() {
                None => self.bed.changed.wait(&mut state),
                Some(Duration::ZERO) => return false,
                Some(left) => _ = self.bed.changed.wait_for(&mut state, left),
            }
        }
        std::mem::take(&mut state.is_stopped)
    }

    /// Tells whether somebody has stopped it since this was last asked.
    pub(crate) fn take_stop(&self) -> bool {
        std::mem::take(&mut self.bed.state.lock().is_stopped)
    }
}

impl Patience {
    /// Waits as long as this at most, from now on.
    pub(crate) fn of(longest: Duration) -> Self {
        Self { since: Stopwatch::start(), longest: Some(longest) }
    }

    pub(crate) fn endless() -> Self {
        Self { since: Stopwatch::start(), longest: None }
    }

    /// Returns a patience that is over with this one, and in so much time from now at the latest.
    pub(crate) fn at_most(&self, longest: Duration) -> Self {
        Self::of(self.left().map_or(longest, |left| left.min(longest)))
    }

    /// Returns how long there is still to wait; nothing when there is no end.
    fn left(&self) -> Option<Duration> {
        self.longest.map(|longest| longest.saturating_sub(self.since.elapsed()))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}
