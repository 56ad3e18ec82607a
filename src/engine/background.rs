//! The one thread of a store: it prepares segments and marks the log as durable when appends pause.
//!
//! It does nothing that a commit waits for, and sleeps without a timer when there is nothing to do.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::commit_queue::CommitQueue;
use super::rotation::Rotation;
use crate::io::Disk;

/// How long no commit comes before the last one gets its watermark.
const IDLE: Duration = Duration::from_millis(100);

/// What the background thread is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A segment is wanted.
    Prepare,
    /// A commit has no watermark behind it.
    Mark,
    /// The store is closing.
    Stop,
}

/// Calls the background thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    calls: Mutex<Calls>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct Calls {
    prepare: bool,
    mark: bool,
    stop: bool,
}

impl Bell {
    pub(crate) fn ring(&self, call: Call) {
        let mut calls = self.calls.lock();
        match call {
            Call::Prepare => calls.prepare = true,
            Call::Mark => calls.mark = true,
            Call::Stop => calls.stop = true,
        }
        drop(calls);
        self.rung.notify_all();
    }

    /// Waits for the next thing to do. `Mark` is given out only after a pause in which `newest`,
    /// what was last admitted, did not change.
    fn next(&self, newest: impl Fn() -> u64) -> Call {
        let mut calls = self.calls.lock();
        loop {
            if calls.stop {
                return Call::Stop;
            }
            if std::mem::take(&mut calls.prepare) {
                return Call::Prepare;
            }
            if !calls.mark {
                self.rung.wait(&mut calls);
            } else if self.is_idle(&mut calls, &newest) {
                calls.mark = false;
                return Call::Mark;
            }
        }
    }

    fn is_idle(&self, calls: &mut MutexGuard<'_, Calls>, newest: impl Fn() -> u64) -> bool {
        let before = MutexGuard::unlocked(calls, &newest);
        if calls.stop || calls.prepare {
            // It was rung for while nobody listened.
            return false;
        }
        let timed_out = self.rung.wait_for(calls, IDLE).timed_out();
        timed_out && MutexGuard::unlocked(calls, &newest) == before
    }
}

/// Starts the thread. It ends when called to stop.
pub(crate) fn start<D: Disk>(
    bell: Arc<Bell>,
    queue: Arc<CommitQueue<D>>,
    rotation: Arc<Rotation<D>>,
) -> io::Result<JoinHandle<()>> {
    let newest = {
        let queue = Arc::clone(&queue);
        move || queue.newest().get()
    };
    std::thread::Builder::new().name("annals".to_owned()).spawn(move || {
        loop {
            match bell.next(&newest) {
                Call::Prepare => rotation.prepare_wanted(),
                Call::Mark => {
                    // A failure poisons the queue: the next commit is told.
                    let _poisoned = queue.mark();
                }
                Call::Stop => return,
            }
        }
    })
}
