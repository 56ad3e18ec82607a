//! What has been admitted to the log but is not durable yet, so that a later commit of the same
//! group sees an earlier one.

use std::collections::{HashMap, HashSet, hash_map};
use std::iter::repeat_n;
use std::mem;
use std::sync::Arc;

use super::found::Found;
use super::prepared::{IdRange, Keys, Prepared, joined};
use super::reader::Reader;
use crate::error::Result;
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::few::{Few, few};
use crate::index::{TermHash, Unhashed};
use crate::io::Disk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::{Commit, Query, View, Write};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

/// The commits of one group.
///
/// Tables of what they hold are made when another commit asks: a lone appender never does. Nor is there
/// need for one of the event ids where those of the other commit come before all of them, or behind, as those
/// of one program mostly do.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    commits: Few<StagedCommit>,
    /// The range of the event ids of all commits.
    id_range: Option<IdRange>,
    /// Of how many of the commits `versions` tells.
    versions_noted: usize,
    /// Of how many of the commits `ids` tells.
    ids_noted: usize,
    /// The version of each stream, by its hash; `None` where streams share it.
    versions: HashMap<TermHash, Option<Newest>, Unhashed>,
    /// The hashes of the event ids. Whoever has another id with the same hash waits in vain, once.
    ids: HashSet<TermHash, Unhashed>,
}

/// A commit that is not durable yet.
#[derive(Debug)]
pub(crate) struct StagedCommit {
    commit: Commit,
    writes: Few<Write>,
    keys: Arc<Keys>,
}

/// The last append to a stream.
#[derive(Debug, Clone, Copy)]
struct Newest {
    /// Which commit of the group.
    commit: usize,
    /// Which append of that.
    append: usize,
    version: StreamVersion,
}

impl Staged {
    /// Adds a commit of which these events are written.
    pub(crate) fn add(&mut self, commit: Commit, writes: Few<Write>, keys: Arc<Keys>) {
        self.id_range = joined(self.id_range, keys.ids);
        self.commits.push(StagedCommit { commit, writes, keys });
    }

    /// Forgets everything, and gives the commits back: to free them takes a while.
    pub(crate) fn clear(&mut self) -> Few<StagedCommit> {
        self.versions.clear();
        self.ids.clear();
        self.id_range = None;
        (self.versions_noted, self.ids_noted) = (0, 0);
        mem::take(&mut self.commits)
    }

    /// Brings the table of versions up to date.
    fn note_versions(&mut self) {
        let new = self.commits.iter().enumerate().skip(self.versions_noted);
        for (commit, staged) in new {
            for (append, (head, version)) in staged.keys.heads.iter().enumerate() {
                if *version == StreamVersion::ZERO {
                    continue;
                }
                let newest = Newest { commit, append, version: *version };
                match self.versions.entry(head.hash()) {
                    hash_map::Entry::Vacant(vacant) => _ = vacant.insert(Some(newest)),
                    hash_map::Entry::Occupied(mut occupied) => {
                        let before = occupied.get().and_then(|it| stream_of(&self.commits, &it));
                        let is_same = before == stream_of(&self.commits, &newest);
                        occupied.insert(is_same.then_some(newest));
                    }
                }
            }
        }
        self.versions_noted = self.commits.len();
    }

    /// Tells whether one of the events of a commit may be staged.
    fn may_know(&mut self, keys: &Keys) -> bool {
        let (Some((first, last)), Some((least, greatest))) = (self.id_range, keys.ids) else {
            return false;
        };
        if last < least || greatest < first {
            return false;
        }
        for staged in self.commits.iter().skip(self.ids_noted) {
            self.ids.extend(staged.keys.terms.event_ids().map(|(id, _)| id));
        }
        self.ids_noted = self.commits.len();
        keys.terms.event_ids().any(|(id, _)| self.ids.contains(&id))
    }

    /// Returns the version that a stream has here, if any; an error where that can not be told.
    fn version(&self, hash: TermHash, stream: &StreamId) -> Result<Option<StreamVersion>, Unclear> {
        match self.versions.get(&hash) {
            None => Ok(None),
            Some(Some(newest)) if stream_of(&self.commits, newest) == Some(stream) => {
                Ok(Some(newest.version))
            }
            Some(_) => Err(Unclear),
        }
    }

    fn first_match(&self, query: &Query, first: GlobalPosition) -> Result<Option<RecordedEvent>> {
        for StagedCommit { commit, writes, .. } in &self.commits {
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

/// What a commit depends on has to become durable before it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unclear;

/// Returns the versions that the streams of a commit have in groups, the newer one last, at the first
/// append to each; empty where the groups are.
///
/// # Errors
///
/// `Unclear` where an event of the commit may be staged, or a stream shares its hash with a staged one.
pub(crate) fn staged_versions(
    groups: [&mut Staged; 2],
    commit: &Commit,
    prepared: &Prepared,
) -> Result<Few<Option<StreamVersion>>, Unclear> {
    let mut versions = Few::new();
    for staged in groups.into_iter().filter(|staged| !staged.commits.is_empty()) {
        staged.note_versions();
        if staged.may_know(&prepared.keys) {
            return Err(Unclear);
        }
        if versions.is_empty() {
            versions = few(repeat_n(None, commit.appends.len()));
        }
        let appends = commit.appends.iter().zip(&prepared.keys.heads);
        for (index, (version, (append, (head, _)))) in versions.iter_mut().zip(appends).enumerate()
        {
            if prepared.firsts.is_first(index) {
                *version = staged.version(head.hash(), &append.stream)?.or(*version);
            }
        }
    }
    Ok(versions)
}

fn stream_of<'a>(commits: &'a [StagedCommit], newest: &Newest) -> Option<&'a StreamId> {
    commits.get(newest.commit)?.commit.appends.get(newest.append).map(|append| &append.stream)
}

/// The events of a commit that are written, each with its stream.
fn written<'a>(
    commit: &'a Commit,
    writes: &'a [Write],
) -> impl Iterator<Item = (&'a StreamId, &'a NewEvent, &'a Write)> {
    writes.iter().filter_map(|write| {
        let append = commit.appends.get(write.append)?;
        Some((&append.stream, append.events.get(write.event)?, write))
    })
}

/// What is durable, for the decision on one commit.
pub(crate) struct DurableView<'a, D: Disk> {
    pub(crate) reader: &'a Arc<Reader<D>>,
    pub(crate) commit: &'a Commit,
    pub(crate) keys: &'a Keys,
    /// What was looked up for the commit before.
    pub(crate) found: &'a Found,
}

impl<D: Disk> View for DurableView<'_, D> {
    fn version(&self, append: usize) -> Result<StreamVersion> {
        let found = self.found.version(self.reader, append, self.keys);
        match (found, self.commit.appends.get(append)) {
            (Some(version), _) => Ok(version),
            (None, Some(append)) => self.reader.version(&append.stream),
            (None, None) => Ok(StreamVersion::ZERO),
        }
    }

    fn knows_no_event(&self) -> bool {
        self.found.are_new(self.reader, self.keys)
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
    /// What the streams of the commit have come to there.
    pub(crate) versions: Few<Option<StreamVersion>>,
    pub(crate) newest: GlobalPosition,
}

impl<D: Disk> View for StagedView<'_, D> {
    fn version(&self, append: usize) -> Result<StreamVersion> {
        match self.versions.get(append) {
            Some(Some(version)) => Ok(*version),
            _ => self.durable.version(append),
        }
    }

    fn knows_no_event(&self) -> bool {
        self.durable.knows_no_event()
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

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::index::{COLLIDING_KEY, Term, TermHasher};
    use crate::limits::Limits;
    use crate::store::ExpectedVersion;

    fn hash_of(stream: &StreamId) -> TermHash {
        TermHasher::new(COLLIDING_KEY).hash(Term::stream(stream))
    }

    /// Returns two streams that share a hash.
    fn neighbours() -> [StreamId; 2] {
        let streams: Vec<_> =
            (0..5).map(|id| StreamId::new("Test", id.to_string()).unwrap()).collect();
        let pairs = streams.iter().enumerate().flat_map(|(index, one)| {
            streams.iter().skip(index + 1).map(move |other| [one.clone(), other.clone()])
        });
        // The colliding key leaves four hashes.
        pairs.into_iter().find(|[one, other]| hash_of(one) == hash_of(other)).unwrap()
    }

    /// Returns a commit of an event to each stream, and its preparation.
    fn commit_to(streams: &[&StreamId]) -> (Commit, Prepared) {
        let commit = streams.iter().fold(Commit::new(), |commit, stream| {
            commit.append(stream, ExpectedVersion::Any, vec![NewEvent::new("Noted", "")])
        });
        let hasher = TermHasher::new(COLLIDING_KEY);
        let prepared = Prepared::of(&commit, &hasher, &Limits::default(), None).unwrap();
        (commit, prepared)
    }

    /// Stages a commit of an event to each stream, which brings them to these versions.
    fn stage(staged: &mut Staged, streams: &[(&StreamId, u64)]) {
        let names: Vec<_> = streams.iter().map(|(stream, _)| *stream).collect();
        let (commit, prepared) = commit_to(&names);
        let writes: Few<_> = (0..)
            .zip(streams)
            .map(|(append, (_, version))| Write {
                append,
                event: 0,
                stream_version: StreamVersion::new(*version),
                global_position: GlobalPosition::FIRST,
            })
            .collect();
        let (_, keys) = prepared.finish(&writes).unwrap();
        staged.add(commit, writes, keys);
        staged.note_versions();
    }

    fn version(staged: &Staged, stream: &StreamId) -> Result<Option<u64>, Unclear> {
        let version = staged.version(hash_of(stream), stream);
        version.map(|version| version.map(StreamVersion::get))
    }

    #[test]
    fn the_newest_version_of_a_stream_is_told_and_none_of_one_that_is_not_staged() {
        let [one, _] = neighbours();
        let mut staged = Staged::default();
        staged.note_versions();
        assert_eq!(version(&staged, &one), Ok(None));
        stage(&mut staged, &[(&one, 1), (&one, 2)]);
        assert_eq!(version(&staged, &one), Ok(Some(2)));
        stage(&mut staged, &[(&one, 3)]);
        assert_eq!(version(&staged, &one), Ok(Some(3)));
        drop(staged.clear());
        assert_eq!(version(&staged, &one), Ok(None));
    }

    #[test]
    fn no_version_is_told_of_a_stream_that_shares_its_hash_with_a_staged_one() {
        let [one, other] = neighbours();
        let mut staged = Staged::default();
        stage(&mut staged, &[(&one, 1)]);
        assert_eq!(version(&staged, &other), Err(Unclear));
        stage(&mut staged, &[(&other, 4)]);
        assert_eq!(version(&staged, &one), Err(Unclear));
        assert_eq!(version(&staged, &other), Err(Unclear));
        // Nor is it once one of them comes again: which version the other has stays unknown.
        stage(&mut staged, &[(&one, 2)]);
        assert_eq!(version(&staged, &other), Err(Unclear));
    }

    #[test]
    fn a_commit_sees_the_newer_one_of_two_groups_and_waits_where_an_id_may_be_staged() {
        let [one, _] = neighbours();
        let (mut in_flight, mut gathering) = (Staged::default(), Staged::default());
        let checks_only = Commit::new().append(&one, ExpectedVersion::Any, Vec::new());
        let hasher = TermHasher::new(COLLIDING_KEY);
        let prepared = Prepared::of(&checks_only, &hasher, &Limits::default(), None).unwrap();
        let mut versions = |newer: &[(&StreamId, u64)]| {
            if !newer.is_empty() {
                stage(&mut gathering, newer);
            }
            staged_versions([&mut in_flight, &mut gathering], &checks_only, &prepared)
        };
        assert_eq!(versions(&[]), Ok(Few::new()));
        assert_eq!(versions(&[(&one, 5)]), Ok(smallvec![Some(StreamVersion::new(5))]));
        stage(&mut in_flight, &[(&one, 4)]);
        let groups = [&mut in_flight, &mut gathering];
        let seen = staged_versions(groups, &checks_only, &prepared);
        assert_eq!(seen, Ok(smallvec![Some(StreamVersion::new(5))]));
        let (commit, prepared) = commit_to(&[&one]);
        let keys = Prepared::of(&commit, &hasher, &Limits::default(), None).unwrap().keys;
        in_flight.add(commit.clone(), Few::new(), Arc::new(keys));
        let seen = staged_versions([&mut in_flight, &mut gathering], &commit, &prepared);
        assert_eq!(seen, Err(Unclear));
    }

    #[test]
    fn a_commit_waits_for_every_staged_event_with_one_of_its_ids() {
        let hasher = TermHasher::new([5; 16]);
        let of = |numbers: &[u128]| {
            let id = |number: &u128| EventId::from_uuid(uuid::Uuid::from_u128(*number));
            let events = numbers.iter().map(|number| NewEvent::new("Noted", "").id(id(number)));
            let stream = StreamId::new("Test", "one").unwrap();
            let commit = Commit::new().append(&stream, ExpectedVersion::Any, events.collect());
            let prepared = Prepared::of(&commit, &hasher, &Limits::default(), None).unwrap();
            (commit, prepared)
        };
        let mut staged = Staged::default();
        let groups: [&[u128]; 4] = [&[50, 20, 40], &[70, 60], &[10, 30], &[90]];
        for (count, numbers) in groups.iter().enumerate() {
            let (commit, prepared) = of(numbers);
            staged.add(commit, Few::new(), Arc::new(prepared.keys));
            let known = groups.iter().take(count + 1).copied().flatten();
            let known: Vec<_> = known.copied().collect();
            for asked in (5..=95).step_by(5) {
                let (_, prepared) = of(&[asked]);
                assert_eq!(staged.may_know(&prepared.keys), known.contains(&asked), "{asked}");
                let (_, prepared) = of(&[1, asked, 99]);
                assert_eq!(staged.may_know(&prepared.keys), known.contains(&asked), "{asked}");
            }
        }
        let (_, checks_only) = of(&[]);
        assert!(!staged.may_know(&checks_only.keys));
        drop(staged.clear());
        let (commit, prepared) = of(&[80]);
        staged.add(commit, Few::new(), Arc::new(prepared.keys));
        assert_eq!([80, 50].map(|asked| staged.may_know(&of(&[asked]).1.keys)), [true, false]);
    }
}
