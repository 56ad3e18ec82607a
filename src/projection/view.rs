//! The state of a projection, for whoever wants to know it while the runner goes on.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::position::GlobalPosition;

/// The state of a projection, readable from any thread while its runner goes on. Clones show the same.
///
/// What is seen is the state behind all events up to one position; what a handler is doing is never
/// seen half done. It may be ahead of what is kept on the disk by the batch that is being kept.
///
/// # Examples
///
/// ```
/// # use annals::{Handled, MemoryStore, Projection, ProjectionOptions, ProjectionRunner, RecordedEvent};
/// # struct Count;
/// # impl Projection for Count {
/// #     type State = u64;
/// #     type Error = annals::Error;
/// #     fn handle(&mut self, count: &mut u64, _: &RecordedEvent) -> annals::Result<Handled> {
/// #         *count += 1;
/// #         Ok(Handled::Applied)
/// #     }
/// # }
/// # let store = MemoryStore::new();
/// let runner = ProjectionRunner::open(&store, "count", Count, ProjectionOptions::new())?;
/// let view = runner.view();
/// assert_eq!(view.read(|count| *count), 0);
/// # Ok::<(), annals::Error>(())
/// ```
pub struct ProjectionView<T>(Arc<RwLock<Shown<T>>>);

/// A state and how far it is.
pub(crate) struct Shown<T> {
    pub(crate) state: T,
    pub(crate) reached: GlobalPosition,
}

impl<T> ProjectionView<T> {
    pub(crate) fn new(state: T, reached: GlobalPosition) -> Self {
        Self(Arc::new(RwLock::new(Shown { state, reached })))
    }

    /// Looks at the state. The runner waits meanwhile, so the closure copies out what it needs. Neither a
    /// handler nor such a closure looks at the view of its own projection: it would wait for itself.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.read().state)
    }

    /// Returns up to which position every event is in the state or was set aside.
    pub fn reached(&self) -> GlobalPosition {
        self.0.read().reached
    }

    /// Changes what is shown, seen by others only when all is done.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Shown<T>) -> R) -> R {
        change(&mut self.0.write())
    }
}

impl<T> Clone for ProjectionView<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for ProjectionView<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionView").field("reached", &self.reached()).finish_non_exhaustive()
    }
}
