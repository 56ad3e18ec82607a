//! The threads of a store. One prepares segments, writes full memtables as runs, and marks the log as
//! durable when appends pause; one merges runs, which may take long; one writes the commits for which
//! nobody waits.
//!
//! They do nothing that a commit waits for, and sleep without a timer when there is nothing to do.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::commit_queue::CommitQueue;
use super::rotation::Rotation;
use crate::index::{Index, Pace};
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
    /// A memtable is full and is to be written.
    Index,
    /// Commits have gathered for which nobody waits.
    Write,
    /// The store is closing.
    Stop,
}

/// Who does what nobody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Workers {
    /// Threads of the store.
    #[default]
    Threads,
    /// Whoever asks for it, so that a test decides when what happens.
    #[cfg(any(test, feature = "testing"))]
    Caller,
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
    index: bool,
    write: bool,
    stop: bool,
}

impl Bell {
    pub(crate) fn ring(&self, call: Call) {
        let mut calls = self.calls.lock();
        match call {
            Call::Prepare => calls.prepare = true,
            Call::Mark => calls.mark = true,
            Call::Index => calls.index = true,
            Call::Write => calls.write = true,
            Call::Stop => calls.stop = true,
        }
        drop(calls);
        self.rung.notify_all();
    }

    /// Tells whether it was rung for a call, which is then answered.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn take(&self, call: Call) -> bool {
        let mut calls = self.calls.lock();
        std::mem::take(match call {
            Call::Prepare => &mut calls.prepare,
            Call::Mark => &mut calls.mark,
            Call::Index => &mut calls.index,
            Call::Write => &mut calls.write,
            Call::Stop => &mut calls.stop,
        })
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
            if std::mem::take(&mut calls.index) {
                return Call::Index;
            }
            if std::mem::take(&mut calls.write) {
                return Call::Write;
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
        if calls.stop || calls.prepare || calls.index {
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
    index: Arc<Index<D>>,
    merging: Arc<Bell>,
) -> io::Result<JoinHandle<()>> {
    let newest = {
        let queue = Arc::clone(&queue);
        move || queue.newest().get()
    };
    std::thread::Builder::new().name("annals".to_owned()).spawn(move || {
        loop {
            match bell.next(&newest) {
                Call::Stop => return,
                call => answer(call, &queue, &rotation, &index, &merging),
            }
        }
    })
}

/// Does what the thread is called for.
pub(crate) fn answer<D: Disk>(
    call: Call,
    queue: &CommitQueue<D>,
    rotation: &Rotation<D>,
    index: &Index<D>,
    merging: &Bell,
) {
    match call {
        Call::Prepare => {
            rotation.prepare_wanted();
            rotation.settle_sealed();
        }
        Call::Mark => {
            // A failure poisons the queue: the next commit is told.
            let _poisoned = queue.mark();
        }
        Call::Index => {
            // After a failure the append that needs the room tries again, and reports.
            if index.write_frozen().is_ok() {
                merging.ring(Call::Index);
            }
        }
        Call::Write => queue.write_unattended(),
        Call::Stop => {}
    }
}

/// Starts the thread that writes what nobody waits for. It ends when called to stop.
pub(crate) fn start_writing<D: Disk>(
    bell: Arc<Bell>,
    queue: Arc<CommitQueue<D>>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("annals-write".to_owned()).spawn(move || {
        while bell.next(|| 0) != Call::Stop {
            queue.write_unattended();
        }
    })
}

/// Starts the thread that merges runs, which may take long. It ends when called to stop.
pub(crate) fn start_merging<D: Disk>(
    bell: Arc<Bell>,
    index: Arc<Index<D>>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("annals-merge".to_owned()).spawn(move || {
        while bell.next(|| 0) != Call::Stop {
            // A failure leaves more runs than there could be; the next call tries again.
            while matches!(index.merge_once(Pace::Aside), Ok(true)) {}
        }
    })
}
