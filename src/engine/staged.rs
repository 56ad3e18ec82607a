//! What has been admitted to the log but is not durable yet, so that a later commit of the same
//! group sees an earlier one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::found::Found;
use super::reader::Reader;
use crate::error::Result;
use crate::event::{EventId, RecordedEvent};
use crate::index::{TermHash, TermList, Unhashed};
use crate::io::Disk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::{Commit, Query, View, Write};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

/// The commits of one group.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    versions: HashMap<StreamId, StreamVersion>,
    /// The hashes of the event ids. Whoever has another id with the same hash waits in vain, once.
    ids: HashSet<TermHash, Unhashed>,
    commits: Vec<(Commit, Vec<Write>)>,
}

impl Staged {
    /// Adds a commit of which these are written; `terms` has a list for each of them.
    pub(crate) fn add(&mut self, commit: Commit, writes: Vec<Write>, terms: &TermList) {
        self.ids.extend(terms.event_ids().map(|(id, _)| id));
        let last_ones = writes.chunk_by(|one, next| one.append == next.append);
        for last in last_ones.filter_map(<[Write]>::last) {
            let Some(append) = commit.appends.get(last.append) else { continue };
            match self.versions.get_mut(&append.stream) {
                Some(version) => *version = last.stream_version,
                None => _ = self.versions.insert(append.stream.clone(), last.stream_version),
            }
        }
        self.commits.push((commit, writes));
    }

    pub(crate) fn clear(&mut self) {
        self.versions.clear();
        self.ids.clear();
        self.commits.clear();
    }

    /// Tells whether one of the events of which these are the terms may be staged.
    pub(crate) fn may_know(&self, terms: &TermList) -> bool {
        !self.ids.is_empty() && terms.event_ids().any(|(id, _)| self.ids.contains(&id))
    }

    fn first_match(&self, query: &Query, first: GlobalPosition) -> Result<Option<RecordedEvent>> {
        for (commit, writes) in &self.commits {
            for (stream, event, write) in written(commit, writes) {
                if write.global_position < first {
                    continue;
                }
                let (version, position) = (write.stream_version, write.global_position);
                let event =
                    RecordedEvent::from_new(event, stream, version, position, Timestamp::MAX)?;
                if query.matches(&event) {
                    return Ok(Some(event));
                }
            }
        }
        Ok(None)
    }
}

/// The events of a commit that are written, each with its stream.
fn written<'a>(
    commit: &'a Commit,
    writes: &'a [Write],
) -> impl Iterator<Item = (&'a StreamId, &'a crate::event::NewEvent, &'a Write)> {
    writes.iter().filter_map(|write| {
        let append = commit.appends.get(write.append)?;
        Some((&append.stream, append.events.get(write.event)?, write))
    })
}

/// What is durable, for the decision on one commit.
pub(crate) struct DurableView<'a, D: Disk> {
    pub(crate) reader: &'a Arc<Reader<D>>,
    /// What was looked up for the commit before.
    pub(crate) found: &'a Found,
}

impl<D: Disk> View for DurableView<'_, D> {
    fn version(&self, stream: &StreamId) -> Result<StreamVersion> {
        match self.found.version(self.reader, stream) {
            Some(version) => Ok(version),
            None => self.reader.version(stream),
        }
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        match self.found.is_new(self.reader, event_id) {
            true => Ok(None),
            false => self.reader.event(event_id),
        }
    }

    fn first_match(&self, query: &Query, first: GlobalPosition) -> Result<Option<RecordedEvent>> {
        self.reader.first_match(query, first)
    }

    fn global_position(&self) -> GlobalPosition {
        self.reader.durable()
    }
}

/// What is durable and what will be before the next commit. Event ids are looked up among the
/// durable ones only: a commit with a staged id waits until it is durable.
pub(crate) struct StagedView<'a, D: Disk> {
    pub(crate) durable: DurableView<'a, D>,
    /// The group that is being written, then the one that gathers.
    pub(crate) staged: [&'a Staged; 2],
    pub(crate) newest: GlobalPosition,
}

impl<D: Disk> View for StagedView<'_, D> {
    fn version(&self, stream: &StreamId) -> Result<StreamVersion> {
        let staged = self.staged.iter().rev().find_map(|staged| staged.versions.get(stream));
        staged.map_or_else(|| self.durable.version(stream), |version| Ok(*version))
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        self.durable.event(event_id)
    }

    fn first_match(&self, query: &Query, first: GlobalPosition) -> Result<Option<RecordedEvent>> {
        let durable = self.durable.first_match(query, first)?;
        let mut staged = self.staged.iter();
        match durable {
            Some(event) => Ok(Some(event)),
            None => {
                staged.find_map(|staged| staged.first_match(query, first).transpose()).transpose()
            }
        }
    }

    fn global_position(&self) -> GlobalPosition {
        self.newest
    }
}
