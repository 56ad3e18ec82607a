//! What the decision on a commit depends on, looked up before the lock of the commit queue is
//! taken.
//!
//! A look-up may have to read the disk; under the lock it would hold up every other append. There
//! it is only checked that what was found is still true, by what is in memory: nothing with the
//! same term has been published since. If something has, or that can not be told from memory, it is
//! looked up anew.
//!
//! Events that are admitted and not published yet are unknown here: whoever holds the lock asks
//! what is staged first. Nothing leaves there before it is published, so nothing is missed between
//! the two.

use super::commit_queue::Admission;
use super::prepared::{Keys, Prepared};
use super::reader::Reader;
use super::staged::DurableView;
use crate::error::{Error, Result};
use crate::event::EventId;
use crate::few::Few;
use crate::index::{Term, TermHash};
use crate::io::Disk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::{Commit, Decision, FirstAppends, decide};

/// What was found for one commit as of a durable position.
#[derive(Debug, Default)]
pub(crate) struct Found {
    as_of: GlobalPosition,
    /// The version of the stream of each append, at the first append to it.
    versions: Few<StreamVersion>,
    /// Whether no event of the commit was recorded.
    is_new: bool,
}

impl Found {
    /// Looks up the streams and the events of a commit.
    pub(crate) fn look_up<D: Disk>(
        reader: &Reader<D>,
        commit: &Commit,
        prepared: &Prepared,
    ) -> Result<Self> {
        let as_of = reader.durable();
        let Prepared { keys: Keys { terms, heads, .. }, firsts, .. } = prepared;
        let mut versions = Few::with_capacity(heads.len());
        for (index, (append, (head, _))) in commit.appends.iter().zip(heads).enumerate() {
            versions.push(match firsts.is_first(index) {
                true => reader.version_as_of(&append.stream, head, as_of)?,
                false => StreamVersion::ZERO,
            });
        }
        let mut is_new = reader.index().knows_no_id_of(terms);
        if !is_new {
            // Nearly always it is a retry. It could be ids that share hashes with others.
            is_new = true;
            for event in commit.appends.iter().flat_map(|append| &append.events) {
                is_new = is_new && reader.event(event.event_id)?.is_none();
            }
        }
        Ok(Self { as_of, versions, is_new })
    }

    /// Returns the version of the stream of an append, the first one to it, if it is still the one that
    /// was found.
    pub(crate) fn version<D: Disk>(
        &self,
        reader: &Reader<D>,
        append: usize,
        keys: &Keys,
    ) -> Option<StreamVersion> {
        let (version, (head, _)) = (self.versions.get(append)?, keys.heads.get(append)?);
        self.is_current(reader, || head.hash()).then_some(*version)
    }

    /// Tells whether all events of the commit are known to be new.
    pub(crate) fn are_new<D: Disk>(&self, reader: &Reader<D>, keys: &Keys) -> bool {
        let is_current = || !reader.index().may_have_id_of_from(&keys.terms, self.as_of.next());
        self.is_new && (reader.durable() == self.as_of || is_current())
    }

    /// Tells whether an event of the commit is known to be new.
    pub(crate) fn is_new<D: Disk>(&self, reader: &Reader<D>, event_id: EventId) -> bool {
        let term = || reader.hasher().hash(Term::EventId(event_id));
        self.is_new && self.is_current(reader, term)
    }

    /// Tells whether nothing with a term was published since. What shares its hash counts too.
    fn is_current<D: Disk>(&self, reader: &Reader<D>, term: impl FnOnce() -> TermHash) -> bool {
        reader.durable() == self.as_of || !reader.index().may_have_from(term(), self.as_of.next())
    }
}

/// Answers a commit that writes nothing, if what is durable alone leads to the same.
pub(super) fn settle_durably<D: Disk>(
    commit: &Commit,
    firsts: &FirstAppends,
    durable: &DurableView<'_, D>,
    seen: Result<Decision>,
) -> Result<Admission> {
    if let Err(error) = &seen
        && !error.is_rejection()
    {
        return seen.map(|decision| Admission::Settled(decision.result));
    }
    let decision = match decide(commit, firsts, durable) {
        // A condition looks after a position that is staged: its caller has been told of it already.
        Err(Error::BeyondEnd { .. }) if !matches!(seen, Err(Error::BeyondEnd { .. })) => {
            return Ok(Admission::Later);
        }
        decision => decision?,
    };
    match decision.writes.is_empty() {
        true => Ok(Admission::Settled(decision.result)),
        false => Ok(Admission::Later),
    }
}
