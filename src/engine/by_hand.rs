//! A store whose background work and groups of commits are done by hand, so that a test decides when
//! what happens and replays it exactly.

use super::Engine;
use super::background::{self, Call};
use crate::error::{Error, Result};
use crate::index::Pace;
use crate::io::Disk;
use crate::store::{Commit, CommitResult};

/// Work that no commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The next segment is prepared.
    Prepare,
    /// The last commit gets its watermark.
    Mark,
    /// A full memtable is written as a run.
    Freeze,
    /// Runs are merged, if enough of them have come together.
    Merge,
    /// Commits are written for which nobody waits.
    Write,
}

impl<D: Disk> Engine<D> {
    /// Does work that is due, and tells whether it was.
    pub(crate) fn work(&self, work: Work) -> bool {
        let Some(writer) = &self.writer else { return false };
        let call = match work {
            Work::Prepare => Call::Prepare,
            Work::Mark => Call::Mark,
            Work::Freeze => Call::Index,
            Work::Write => Call::Write,
            Work::Merge => {
                let is_due = writer.merging.take(Call::Index);
                // A failure leaves more runs than there could be; the next call tries again.
                while is_due && matches!(self.reader.index().merge_once(Pace::Full), Ok(true)) {}
                return is_due;
            }
        };
        let bell = if call == Call::Write { &writer.writing } else { &writer.bell };
        let is_due = bell.take(call);
        if is_due {
            let index = self.reader.index();
            background::answer(call, &writer.queue, &writer.rotation, index, &writer.merging);
        }
        is_due
    }

    /// Commits several at once, in one group: as callers do who come while another group is written.
    pub(crate) fn commit_together(&self, commits: &[Commit]) -> Vec<Result<CommitResult>> {
        match &self.writer {
            Some(writer) => writer.queue.commit_together(commits),
            None => commits.iter().map(|_| Err(Error::ReadOnly)).collect(),
        }
    }
}
