//! One caller of a group: parked until its group is done or it is called to lead, or not there yet.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sync::{Condvar, Mutex};
use crate::error::{Error, PoisonCause, Result};

/// How a caller's part in a group ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is durable.
    Done,
    /// Nothing of it was written.
    Rejected(Arc<Error>),
    /// It was being written when writing failed.
    Unknown(Arc<PoisonCause>),
    /// Nothing of it was written, and nothing will be.
    Poisoned(Arc<PoisonCause>),
}

impl Outcome {
    /// Returns the same outcome for another caller.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Done => Self::Done,
            Self::Rejected(error) => Self::Rejected(Arc::clone(error)),
            Self::Unknown(cause) => Self::Unknown(Arc::clone(cause)),
            Self::Poisoned(cause) => Self::Poisoned(Arc::clone(cause)),
        }
    }
}

/// Whether a caller waits for its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Waits,
    /// It may come back later, or never.
    Away,
}

/// Why a caller was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Summons {
    /// It is to lead.
    Lead,
    /// Its outcome is there.
    Ended,
}

/// A caller.
#[derive(Debug)]
pub(crate) struct Waiter {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether it waits, or is just about to. Only who does can be called to lead. Changed and asked
    /// under the lock of the queue.
    is_present: AtomicBool,
}

#[derive(Debug)]
enum State {
    Waiting,
    Promoted,
    Ended(Outcome),
}

impl Waiter {
    pub(crate) fn new(presence: Presence) -> Self {
        let is_present = AtomicBool::new(presence == Presence::Waits);
        Self { state: Mutex::new(State::Waiting), changed: Condvar::new(), is_present }
    }

    /// Takes note that the caller is about to wait.
    pub(crate) fn arrive(&self) {
        self.is_present.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_present(&self) -> bool {
        self.is_present.load(Ordering::Relaxed)
    }

    /// Tells whether the caller's part has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.state.lock(), State::Ended(_))
    }

    /// Sleeps until there is something to do or to know.
    pub(crate) fn wait(&self) -> Summons {
        let mut state = self.state.lock();
        loop {
            match *state {
                State::Waiting => self.changed.wait(&mut state),
                State::Promoted => return Summons::Lead,
                State::Ended(_) => return Summons::Ended,
            }
        }
    }

    /// Calls the caller to lead.
    pub(crate) fn promote(&self) {
        *self.state.lock() = State::Promoted;
        self.changed.notify_one();
    }

    /// Tells the caller how its part ended.
    pub(crate) fn finish(&self, outcome: Outcome) {
        *self.state.lock() = State::Ended(outcome);
        self.changed.notify_one();
    }

    /// Returns how the caller's part ended, once it has.
    pub(crate) fn outcome(&self) -> Result<()> {
        match &*self.state.lock() {
            State::Ended(Outcome::Done) => Ok(()),
            State::Ended(Outcome::Rejected(error)) => Err(again(error)),
            State::Ended(Outcome::Unknown(cause)) => {
                Err(Error::OutcomeUnknown { cause: Arc::clone(cause) })
            }
            State::Ended(Outcome::Poisoned(cause)) => {
                Err(Error::Poisoned { cause: Arc::clone(cause) })
            }
            State::Waiting | State::Promoted => Err(Error::Closed),
        }
    }
}

/// Returns an error of preparing a segment for one more caller.
fn again(error: &Error) -> Error {
    let same = |source: &io::Error| match source.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(source.kind(), source.to_string()),
    };
    match error {
        Error::NoSpace { path, source } => {
            Error::NoSpace { path: path.clone(), source: same(source) }
        }
        Error::Io { operation, path, source } => {
            Error::Io { operation, path: path.clone(), source: same(source) }
        }
        other => Error::Io {
            operation: "prepare",
            path: std::path::PathBuf::new(),
            source: io::Error::other(other.to_string()),
        },
    }
}
