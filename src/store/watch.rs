//! How a store tells that there is something new.

use std::fmt;
use std::sync::{Arc, Weak};

/// Whom a store calls when there may be something new; made by whoever waits for it.
///
/// A store keeps no watcher alive: when the last clone is dropped, nobody is called any more.
///
/// # Examples
///
/// Waits in a task of its own, in a program that has other things to do:
///
/// ```
/// use std::sync::mpsc;
/// use annals::{EventStore, ExpectedVersion, GlobalPosition, MemoryStore, NewEvent, StreamId};
/// use annals::{Watch, Watcher};
///
/// let store = MemoryStore::new();
/// let (sender, receiver) = mpsc::sync_channel(1);
/// let watcher = Watcher::new(move || _ = sender.try_send(()));
/// assert_eq!(store.watch(GlobalPosition::ZERO, &watcher)?, Watch::Waiting);
///
/// let task = StreamId::new("Task", "task-1")?;
/// store.append(&task, ExpectedVersion::Any, vec![NewEvent::new("Created", "tea")])?;
/// assert!(receiver.try_recv().is_ok());
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone)]
pub struct Watcher(Arc<dyn Fn() + Send + Sync>);

/// A watcher as a store keeps it.
pub(crate) struct WeakWatcher(Weak<dyn Fn() + Send + Sync>);

/// What watching has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// There is an event beyond the position already: read.
    Beyond,
    /// There is none yet. The watcher is called once, as soon as there may be one or the store is
    /// closed; ask again then.
    Waiting,
    /// The store does not call anybody: ask again after a while.
    Unwatched,
}

impl Watcher {
    /// Returns a watcher that does this when it is called. It is called by the thread that made events
    /// durable, so it does little and waits for nothing. Should it panic, neither the append nor anybody
    /// else who waits is harmed.
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    /// Calls it.
    pub fn call(&self) {
        (self.0)();
    }

    pub(crate) fn downgrade(&self) -> WeakWatcher {
        WeakWatcher(Arc::downgrade(&self.0))
    }
}

impl WeakWatcher {
    /// Returns the watcher, if somebody still has it.
    pub(crate) fn upgrade(&self) -> Option<Watcher> {
        self.0.upgrade().map(Watcher)
    }

    /// Tells whether somebody still has the watcher.
    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    pub(crate) fn is_of(&self, watcher: &Watcher) -> bool {
        std::ptr::addr_eq(self.0.as_ptr(), Arc::as_ptr(&watcher.0))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher(..)")
    }
}
