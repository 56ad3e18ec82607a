//! Commits that are submitted: their callers go on while others write, and may come back to wait.
//!
//! What is said here is kept by the [commit queue](super::commit_queue). Whoever waits leads like any
//! other caller; what nobody waits for is written by a thread of the store, which
//! [`write_unattended`](CommitQueue::write_unattended) is for.

use std::sync::Arc;

use super::background::Call;
use super::commit_queue::CommitQueue;
use super::waiter::{Presence, Waiter};
use crate::error::Result;
use crate::io::Disk;
use crate::store::{Commit, CommitResult};

/// When a commit is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it is durable.
    #[default]
    Synced,
    /// Once it is checked and has its positions. It is written and synced right behind, by a thread
    /// of the store, a group at a time and in order: the end of the process or a loss of power can
    /// lose the last commits that were acknowledged, never one before another that is kept.
    /// [`FileStore::sync`](crate::FileStore::sync) waits until all are durable, and only what is
    /// durable can be read.
    ///
    /// For loading what can be loaded again. When writing fails, whatever the reason, the store takes
    /// no more commits until it is opened again, since nobody waits to be told.
    MayLoseLast,
}

/// A commit that was submitted.
pub(crate) struct Submission<D: Disk> {
    queue: Arc<CommitQueue<D>>,
    result: CommitResult,
    /// `None` when there was nothing to write.
    caller: Option<Arc<Waiter>>,
}

impl<D: Disk> Submission<D> {
    /// Tells whether waiting would end at once.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.check_process().is_err()
            || self.caller.as_ref().is_none_or(|caller| caller.has_ended())
    }

    /// Waits until the commit is durable, leading its group if nobody does.
    pub(crate) fn wait(self) -> Result<CommitResult> {
        match self.caller {
            None => Ok(self.result),
            Some(caller) => self.queue.come_back(&caller).map(|()| self.result),
        }
    }
}

impl<D: Disk> CommitQueue<D> {
    /// As `commit`, without waiting for the events to be durable.
    pub(crate) fn submit(self: &Arc<Self>, commit: Commit) -> Result<Submission<D>> {
        let (result, caller) = self.leave(commit)?;
        Ok(Submission { queue: Arc::clone(self), result, caller })
    }

    /// Admits a commit and has it written by whoever leads its group.
    pub(super) fn leave(&self, commit: Commit) -> Result<(CommitResult, Option<Arc<Waiter>>)> {
        let (result, queued) = self.enter(commit, Presence::Away)?;
        let caller = queued.map(|(state, caller)| {
            let is_led = state.is_led;
            drop(state);
            if !is_led {
                self.writing.ring(Call::Write);
            }
            caller
        });
        Ok((result, caller))
    }

    /// Waits for a part that was left to others.
    fn come_back(&self, caller: &Arc<Waiter>) -> Result<()> {
        self.check_process()?;
        let state = self.state.lock();
        if caller.has_ended() {
            return caller.outcome();
        }
        // Nobody leads: then its group is the one that gathers.
        caller.arrive();
        self.take_part(state, caller)
    }

    /// Leads the gathering group if nobody does.
    pub(crate) fn write_unattended(&self) {
        let mut state = self.state.lock();
        if !state.is_led && !state.gathering.frames.is_empty() {
            state.is_led = true;
            drop(state);
            self.lead();
        }
    }

    /// Waits until everything that was admitted is durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.check_process()?;
        let mut state = self.state.lock();
        state.check_open()?;
        if state.is_led || !state.gathering.frames.is_empty() {
            let onlooker = state.gathering.add_onlooker();
            self.take_part(state, &onlooker)?;
            state = self.state.lock();
        }
        state.check_sound()
    }
}
