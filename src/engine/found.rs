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

use std::collections::HashMap;

use super::heads::Head;
use super::reader::Reader;
use crate::error::Result;
use crate::event::EventId;
use crate::index::{Term, TermHash, TermList};
use crate::io::Disk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::Commit;
use crate::stream::StreamId;

/// What was found for one commit as of a durable position.
#[derive(Debug, Default)]
pub(crate) struct Found {
    as_of: GlobalPosition,
    versions: HashMap<StreamId, (Head, StreamVersion)>,
    /// Whether no event of the commit was recorded.
    is_new: bool,
}

impl Found {
    /// Looks up the streams of a commit, of which `heads` has one an append, and its events, of which
    /// `terms` has one list each.
    pub(crate) fn look_up<D: Disk>(
        reader: &Reader<D>,
        commit: &Commit,
        heads: &[(Head, StreamVersion)],
        terms: &TermList,
    ) -> Result<Self> {
        let as_of = reader.durable();
        let mut versions = HashMap::with_capacity(commit.appends.len());
        for (append, (head, _)) in commit.appends.iter().zip(heads) {
            if !versions.contains_key(&append.stream) {
                let version = reader.version_as_of(&append.stream, head, as_of)?;
                versions.insert(append.stream.clone(), (*head, version));
            }
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

    /// Returns the version of a stream of the commit, if it is still the one that was found.
    pub(crate) fn version<D: Disk>(
        &self,
        reader: &Reader<D>,
        stream: &StreamId,
    ) -> Option<StreamVersion> {
        let (head, version) = self.versions.get(stream)?;
        self.is_current(reader, || head.hash()).then_some(*version)
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
