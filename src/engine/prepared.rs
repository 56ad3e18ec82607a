//! A commit, encoded and hashed: what takes long and needs nothing of the store.
//!
//! Done before the lock of the commit queue is taken. Only a commit of which some events are recorded
//! already is prepared anew under it, when it is known which ones. Versions and positions come later:
//! here every event that is written has one list of terms, and every append one head, in their order.

use std::sync::Arc;

use super::heads::Head;
use crate::error::{Error, Result};
use crate::event::EventId;
use crate::few::Few;
use crate::format::PackedFrame;
use crate::index::{NewTerms, TermHasher, TermList};
use crate::limits::Limits;
use crate::position::StreamVersion;
use crate::store::{Commit, FirstAppends, Write};
use crate::stream::StreamId;

/// A range of event ids, both ends included.
pub(crate) type IdRange = (EventId, EventId);

/// Returns the range that holds both, where either is given.
pub(crate) fn joined(one: Option<IdRange>, other: Option<IdRange>) -> Option<IdRange> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}

/// What the events of a commit are looked up by.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// One list for each event that is written.
    pub(crate) terms: TermList,
    /// The stream of each append, with the version that the commit gives it; 0 where it writes nothing.
    pub(crate) heads: Few<(Head, StreamVersion)>,
    /// The least and the greatest event id that is written.
    pub(crate) ids: Option<IdRange>,
}

/// A commit on its way to the commit queue.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) frame: PackedFrame,
    pub(crate) keys: Keys,
    pub(crate) firsts: FirstAppends,
}

impl Prepared {
    /// Encodes the events of a commit, or those that are to be written.
    ///
    /// # Errors
    ///
    /// `Error::Limit` for more bytes than a commit may have, `Error::Payload` for metadata that can
    /// not be encoded.
    pub(crate) fn of(
        commit: &Commit,
        hasher: &TermHasher,
        limits: &Limits,
        writes: Option<&[Write]>,
    ) -> Result<Self> {
        let events = || commit.appends.iter().flat_map(|append| &append.events);
        let mut frame = PackedFrame::with_room_for(events().map(|event| event.payload.len()));
        let mut keys = Keys {
            terms: TermList::with_room_for(events().count()),
            heads: Few::with_capacity(commit.appends.len()),
            ids: None,
        };
        let mut terms = NewTerms::new(hasher);
        let mut wanted = writes.map(|writes| writes.iter().peekable());
        let mut before: Option<(&StreamId, Head)> = None;
        for (append_index, append) in commit.appends.iter().enumerate() {
            let head = match before {
                Some((stream, head)) if *stream == append.stream => head,
                _ => Head::of(hasher, &append.stream),
            };
            before = Some((&append.stream, head));
            let aggregate_type = append.stream.aggregate_type();
            for (event_index, event) in append.events.iter().enumerate() {
                let place = (append_index, event_index);
                let is_wanted = wanted.as_mut().is_none_or(|wanted| {
                    wanted.next_if(|write| (write.append, write.event) == place).is_some()
                });
                if is_wanted {
                    frame.push(&append.stream, event)?;
                    terms.push(&mut keys.terms, (head.hash(), aggregate_type), event);
                    keys.ids = joined(keys.ids, Some((event.event_id, event.event_id)));
                }
            }
            keys.heads.push((head, StreamVersion::ZERO));
        }
        let (limit, actual) = (limits.commit_bytes_max.into(), frame.length() as u64);
        if actual > limit {
            return Err(Error::Limit { what: "bytes of a commit", limit, actual });
        }
        let hashes = keys.heads.iter().map(|(head, _)| head.hash().get());
        let firsts = FirstAppends::of(commit, hashes)?;
        Ok(Self { frame, keys, firsts })
    }

    /// Gives the streams the versions that the commit brings them to, and ends the preparation.
    ///
    /// # Errors
    ///
    /// `Error::Internal` for a write of an append that the commit does not have.
    pub(crate) fn finish(mut self, writes: &[Write]) -> Result<(PackedFrame, Arc<Keys>)> {
        for write in writes {
            match self.keys.heads.get_mut(write.append) {
                Some((_, version)) => *version = write.stream_version,
                None => return Err(Error::Internal { invariant: "a write is of its commit" }),
            }
        }
        Ok((self.frame, Arc::new(self.keys)))
    }
}
