//! A store as one tenant sees it.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::{
    CheckFailure, Commit, CommitResult, EventStore, Events, ExpectedVersion, GlobalRead, Query,
    ReadOptions, StreamAppend, StreamRead, Watch, Watcher,
};
use crate::stream::{StreamId, TenantId};

/// A store that shows and takes the events of one tenant only.
///
/// Every read gives the tenant's events; those of others, and those of no tenant, are as if they were not
/// there. Events to be recorded get the tenant; one that has another, and any for a stream whose
/// last event is of somebody else, is refused with [`Error::OtherTenant`]. Positions are those of the whole
/// store.
///
/// Conditions of a commit ([`FailIfMatches`](crate::FailIfMatches)) look at the whole store: let their
/// queries ask for a tag that only this tenant's events have. Event ids are those of the whole store, too:
/// the error for one that is taken ([`Error::EventIdTaken`]) names the stream that has it, whoever owns that,
/// and [`event_id_at`](EventStore::event_id_at) gives the id of any event, which a follower needs for its
/// position.
///
/// A [`Repository`](crate::Repository) on it needs the same tenant in its [context](crate::Context::tenant):
/// without it takes the events for somebody else's, and saves nothing where there are any.
///
/// # Examples
///
/// ```
/// use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId, TenantId, TenantStore};
///
/// let store = MemoryStore::new();
/// let acme = TenantStore::new(&store, TenantId::new("acme")?);
/// let task = StreamId::new("Task", "task-1")?;
/// acme.append(&task, ExpectedVersion::NoStream, vec![NewEvent::new("Created", "tea")])?;
///
/// let other = TenantStore::new(&store, TenantId::new("other")?);
/// assert_eq!(other.read_all(Default::default())?.count(), 0);
/// assert!(other.append(&task, ExpectedVersion::Any, vec![NewEvent::new("Done", "")]).is_err());
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TenantStore<S> {
    store: S,
    tenant: TenantId,
}

impl<S: EventStore> TenantStore<S> {
    /// Shows and takes the events of a tenant in a store.
    pub fn new(store: S, tenant: impl Into<TenantId>) -> Self {
        Self { store, tenant: tenant.into() }
    }

    /// Returns the tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    fn is_own(&self, event: &RecordedEvent) -> bool {
        event.tenant() == Some(self.tenant.as_ref())
    }

    fn refusal(&self, stream: &StreamId) -> Error {
        Error::OtherTenant { stream: stream.clone(), tenant: Some(self.tenant.clone()) }
    }

    /// Gives events the tenant, and refuses those of another.
    fn claim(&self, append: &mut StreamAppend) -> Result<()> {
        for event in &mut append.events {
            let tenant = event.tenant.get_or_insert_with(|| self.tenant.clone());
            if *tenant != self.tenant {
                let (stream, tenant) = (append.stream.clone(), Some(tenant.clone()));
                return Err(Error::OtherTenant { stream, tenant });
            }
        }
        Ok(())
    }

    /// Returns the version of a stream that is the tenant's own or absent, and refuses others.
    fn own_version(&self, stream: &StreamId) -> Result<StreamVersion> {
        let last = StreamRead::new().backward().limit(1);
        match self.store.read_stream(stream, last)?.next().transpose()? {
            None => Ok(StreamVersion::ZERO),
            Some(event) if self.is_own(&event) => Ok(event.stream_version()),
            Some(_) => Err(self.refusal(stream)),
        }
    }

    /// Returns the streams of a commit with the versions at which they were seen to be the tenant's own
    /// or absent, and refuses others.
    fn own_versions(&self, commit: &Commit) -> Result<Vec<Seen>> {
        let streams: BTreeSet<_> = commit.appends.iter().map(|append| &append.stream).collect();
        let seen = streams.into_iter().map(|stream| {
            let version = self.own_version(stream)?;
            Ok(Seen { stream: stream.clone(), version: version.into() })
        });
        seen.collect()
    }

    /// Narrows a read; one that asks for another tenant reads nothing.
    fn narrowed<P>(&self, options: ReadOptions<P>) -> ReadOptions<P> {
        let filter = options.passing().clone();
        let is_others = filter.tenant.as_ref().is_some_and(|tenant| *tenant != self.tenant);
        let options = options.filter(filter.tenant(self.tenant.clone()));
        if is_others { options.limit(0) } else { options }
    }
}

impl<S: EventStore> EventStore for TenantStore<S> {
    fn commit(&self, mut commit: Commit) -> Result<CommitResult> {
        commit.appends.iter_mut().try_for_each(|append| self.claim(append))?;
        loop {
            let seen = self.own_versions(&commit)?;
            match self.store.commit(guarded(&commit, &seen)) {
                Err(Error::CommitRefused { mut failures }) => {
                    leave_out_moved(&mut failures, &commit, &seen);
                    // Somebody else got on meanwhile, which may be all the same to the caller.
                    if !failures.is_empty() {
                        return Err(Error::CommitRefused { failures });
                    }
                }
                Ok(mut result) => {
                    result.appends.drain(..seen.len().min(result.appends.len()));
                    return Ok(result);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> Result<Events> {
        self.store.read_stream(stream, self.narrowed(options))
    }

    fn read(&self, query: &Query, options: GlobalRead) -> Result<Events> {
        self.store.read(query, self.narrowed(options))
    }

    fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion> {
        let last = self.narrowed(StreamRead::new().backward().limit(1));
        let last = self.store.read_stream(stream, last)?.next().transpose()?;
        Ok(last.map_or(StreamVersion::ZERO, |event| event.stream_version()))
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        Ok(self.store.event(event_id)?.filter(|event| self.is_own(event)))
    }

    fn global_position(&self) -> Result<GlobalPosition> {
        self.store.global_position()
    }

    fn event_id_at(&self, position: GlobalPosition) -> Result<Option<EventId>> {
        self.store.event_id_at(position)
    }

    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        self.store.watch(position, watcher)
    }
}

/// A stream that was looked at, and the version that it had.
struct Seen {
    stream: StreamId,
    version: ExpectedVersion,
}

impl Seen {
    fn is_expected_by(&self, append: &StreamAppend) -> bool {
        append.stream == self.stream && append.expected == self.version
    }

    fn has_failed(&self, failure: &CheckFailure) -> bool {
        matches!(failure, CheckFailure::Version { stream, expected, .. }
            if *stream == self.stream && *expected == self.version)
    }
}

/// Puts a check before the commit for every stream that was looked at, so that nobody else's event can
/// come between looking and writing.
fn guarded(commit: &Commit, seen: &[Seen]) -> Commit {
    let guards = seen.iter().map(|seen| StreamAppend {
        stream: seen.stream.clone(),
        expected: seen.version,
        events: Vec::new(),
    });
    let Commit { appends, conditions, on_duplicate } = commit;
    let appends = guards.chain(appends.iter().cloned()).collect();
    Commit { appends, conditions: conditions.clone(), on_duplicate: *on_duplicate }
}

/// Leaves out of what has failed the checks that were put before the commit.
///
/// The caller may expect the same version of the same stream, and later in the commit that can fail alone.
/// In a stream that has moved on, all who expect that version fail.
fn leave_out_moved(failures: &mut Vec<CheckFailure>, commit: &Commit, seen: &[Seen]) {
    for seen in seen {
        let by_caller = commit.appends.iter().filter(|append| seen.is_expected_by(append)).count();
        let failed = failures.iter().filter(|failure| seen.has_failed(failure)).count();
        let first = failures.iter().position(|failure| seen.has_failed(failure));
        if let (Some(first), true) = (first, failed > by_caller) {
            failures.remove(first);
        }
    }
}
