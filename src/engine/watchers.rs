//! Who waits for something new, and is called when it is there.
//!
//! Whoever follows the log registers when it has read everything, and asks then whether something came
//! meanwhile; a writer publishes first and looks then whether somebody is registered. So one of the two
//! always sees the other. A writer that finds nobody does nothing else, and one that finds somebody takes
//! them out and calls them once: a follower that is slow is not registered and costs nothing. One that
//! waits costs the writer its call.
//!
//! Invariants:
//!
//! 1. Whoever was told to wait is called when an event beyond its position is published, or at the end.
//! 2. Nobody is kept alive by waiting, and the list holds no more than are alive, but for those that
//!    were dropped since somebody last registered.
//! 3. Nobody is called under the lock.
//! 4. A watcher that panics harms neither the writer that calls it nor the others who wait.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::sync::{AtomicUsize, Mutex};
use crate::error::{Error, Result};
use crate::store::{Watch, Watcher, WeakWatcher};

/// Those who wait for something new.
pub(crate) struct Watchers {
    /// How many are in the list, for a writer to look at without the lock.
    waiting: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    watchers: Vec<WeakWatcher>,
    /// Nothing new ever comes any more.
    has_ended: bool,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { waiting: AtomicUsize::new(0), list: Mutex::new(List::default()) }
    }
}

impl std::fmt::Debug for Watchers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watchers(..)")
    }
}

impl Watchers {
    /// Registers a watcher, unless what it waits for is there: `is_beyond` tells, from what was stored
    /// in sequentially consistent order before [`call_all`](Self::call_all).
    pub(crate) fn watch(
        &self,
        watcher: &Watcher,
        is_beyond: impl FnOnce() -> bool,
    ) -> Result<Watch> {
        let has_ended = {
            let mut list = self.list.lock();
            list.watchers.retain(|other| other.is_alive() && !other.is_of(watcher));
            if !list.has_ended {
                list.watchers.push(watcher.downgrade());
            }
            self.waiting.store(list.watchers.len(), Ordering::SeqCst);
            list.has_ended
        };
        match is_beyond() {
            true => Ok(Watch::Beyond),
            false if has_ended => Err(Error::Closed),
            false => Ok(Watch::Waiting),
        }
    }

    /// Calls everybody who waits, after something was published.
    pub(crate) fn call_all(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let watchers = self.take();
            watchers.iter().filter_map(WeakWatcher::upgrade).for_each(call);
        }
    }

    /// Calls everybody who waits for the last time: nothing new comes any more.
    pub(crate) fn end(&self) {
        self.list.lock().has_ended = true;
        let watchers = self.take();
        watchers.iter().filter_map(WeakWatcher::upgrade).for_each(call);
    }

    fn take(&self) -> Vec<WeakWatcher> {
        let mut list = self.list.lock();
        self.waiting.store(0, Ordering::SeqCst);
        mem::take(&mut list.watchers)
    }
}

/// Calls a watcher, which is somebody else's code, and lets go of it: the thread that does this has made
/// events durable and owes others to go on.
fn call(watcher: Watcher) {
    let _told_by_the_panic_hook = catch_unwind(AssertUnwindSafe(move || watcher.call()));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counting() -> (Watcher, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        (Watcher::new(move || _ = counted.fetch_add(1, Ordering::SeqCst)), calls)
    }

    fn count(calls: &AtomicUsize) -> usize {
        calls.load(Ordering::SeqCst)
    }

    #[test]
    fn a_watcher_is_called_once_for_each_time_that_it_waits() {
        let watchers = Watchers::default();
        let (watcher, calls) = counting();
        watchers.call_all();
        assert_eq!(watchers.watch(&watcher, || false).unwrap(), Watch::Waiting);
        assert_eq!(watchers.watch(&watcher, || false).unwrap(), Watch::Waiting);
        watchers.call_all();
        watchers.call_all();
        assert_eq!(count(&calls), 1);
        watchers.watch(&watcher, || false).unwrap();
        watchers.call_all();
        assert_eq!(count(&calls), 2);
    }

    #[test]
    fn what_is_there_already_is_not_waited_for() {
        let watchers = Watchers::default();
        assert_eq!(watchers.watch(&counting().0, || true).unwrap(), Watch::Beyond);
        watchers.end();
        assert_eq!(watchers.watch(&counting().0, || true).unwrap(), Watch::Beyond);
    }

    #[test]
    fn at_the_end_everybody_is_called_and_nobody_waits_any_more() {
        let watchers = Watchers::default();
        let (watcher, calls) = counting();
        watchers.watch(&watcher, || false).unwrap();
        watchers.end();
        assert_eq!(count(&calls), 1);
        assert!(matches!(watchers.watch(&watcher, || false), Err(Error::Closed)));
        watchers.call_all();
        assert_eq!(count(&calls), 1);
    }

    #[test]
    fn a_watcher_that_panics_harms_neither_the_writer_nor_the_others() {
        let watchers = Watchers::default();
        let panicking = Watcher::new(|| panic!("told to panic"));
        let (waits, calls) = counting();
        for _ in 0..2 {
            watchers.watch(&panicking, || false).unwrap();
            watchers.watch(&waits, || false).unwrap();
            watchers.call_all();
        }
        watchers.watch(&panicking, || false).unwrap();
        watchers.watch(&waits, || false).unwrap();
        watchers.end();
        assert_eq!(count(&calls), 3);
    }

    #[test]
    fn the_list_does_not_grow_with_watchers_that_are_gone_or_come_back() {
        let watchers = Watchers::default();
        let (stays, calls) = counting();
        for _ in 0..100 {
            watchers.watch(&stays, || false).unwrap();
            watchers.watch(&counting().0, || false).unwrap();
        }
        assert!(watchers.list.lock().watchers.len() <= 2);
        watchers.call_all();
        assert_eq!(count(&calls), 1);
        assert!(watchers.list.lock().watchers.is_empty());
    }
}
