//! The one error type: what went wrong, where, and what the caller can do about it.
//!
//! Four kinds are told apart by type (CONTRACT E1): rejections, after which nothing was written and
//! the store goes on; an unknown outcome; damage, with file and offset; and misuse or an environment
//! that does not let the store work.

#![forbid(unsafe_code)]

mod damage;
mod decode;
mod poison;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::escaped::Escaped;
use crate::event::{EventId, RecordedEvent};
use crate::position::{GlobalPosition, StreamVersion};
use crate::record::{RecordKind, Unusable};
use crate::store::{CheckFailure, ExpectedVersion};
use crate::stream::{StreamId, TenantId, shown};

pub use damage::Damage;
pub(crate) use damage::lost_positions;
pub use decode::{DecodeFailure, Difference};
pub(crate) use poison::Displaced;
pub use poison::PoisonCause;

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong.
///
/// # Examples
///
/// ```
/// use annals::{Error, EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
///
/// let store = MemoryStore::new();
/// let stream = StreamId::new("Task", "task-1")?;
/// let refused = store.append(&stream, ExpectedVersion::StreamExists, vec![NewEvent::new("Done", "")]);
/// assert!(matches!(refused, Err(Error::Conflict { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[doc(alias = "EventSourceError")]
pub enum Error {
    /// The stream was not at the expected version; nothing was written.
    ///
    /// What to do: load the stream again, decide anew, retry with its version.
    #[error(
        "conflict on stream {}: expected {expected}, but its version is {actual}",
        Escaped(stream)
    )]
    #[doc(alias = "OptimisticLockError")]
    #[doc(alias = "conflict")]
    Conflict {
        /// The stream that was to be appended to.
        stream: StreamId,
        /// What the caller expected.
        expected: ExpectedVersion,
        /// The version the stream has.
        actual: StreamVersion,
    },

    /// A commit was refused by its expected versions or conditions; nothing was written.
    ///
    /// What to do: read again what the failures name, decide anew, retry.
    #[error("commit refused: {}", shown_failures(failures))]
    CommitRefused {
        /// Every check that failed, in the order of the commit: versions, then conditions.
        failures: Vec<CheckFailure>,
    },

    /// An event id is already recorded and the commit asked for `OnDuplicate::Reject`; nothing was
    /// written.
    ///
    /// What to do: leave the event out, or let duplicates be skipped.
    #[error("event {event_id} is already in stream {}", Escaped(stream))]
    #[doc(alias = "DuplicateEventError")]
    DuplicateEvent {
        /// The id that was there already.
        event_id: EventId,
        /// The stream that holds it.
        stream: StreamId,
        /// Where it is recorded; `None` when its double is in the same commit.
        global_position: Option<GlobalPosition>,
    },

    /// An event id is already taken by a different event; nothing was written.
    ///
    /// What to do: this is a mistake of the caller: give every event an id of its own.
    #[error(
        "event id {event_id} is taken by an event of stream {} with another {difference}",
        Escaped(stream)
    )]
    EventIdTaken {
        /// The id that was given twice.
        event_id: EventId,
        /// The stream that holds the other event.
        stream: StreamId,
        /// Where the other is recorded; `None` when it is in the same commit.
        global_position: Option<GlobalPosition>,
        /// In what the two differ first.
        difference: Difference,
    },

    /// An event claimed a stream version other than the one it would get; nothing was written.
    ///
    /// What to do: load the stream again and number the events after its version, or claim none.
    #[error(
        "event {event_id} claims version {claimed} of stream {}, but it is version {assigned}",
        Escaped(stream)
    )]
    VersionMismatch {
        /// The stream that was to be appended to.
        stream: StreamId,
        /// The event that made the claim.
        event_id: EventId,
        /// The version it claimed.
        claimed: StreamVersion,
        /// The version it would get, or was recorded with.
        assigned: StreamVersion,
    },

    /// Something was larger than it may be; nothing was written.
    ///
    /// What to do: make it smaller, or split the commit; see [`crate::limits`].
    #[error("{what}: {actual} is over the limit of {limit}")]
    Limit {
        /// What was too large.
        what: &'static str,
        /// How large it may be.
        limit: u64,
        /// How large it was.
        actual: u64,
    },

    /// A name breaks the rules for names; nothing was written.
    ///
    /// What to do: correct the name as the message says.
    #[error("invalid {what} \"{name}\": {reason}")]
    InvalidName {
        /// What the name was for.
        what: &'static str,
        /// The name, shortened and escaped.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },

    /// An option has a value that the store can not work with.
    ///
    /// What to do: correct the option as the message says.
    #[error("invalid option {option}: {reason}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// A payload or metadata map could not be encoded or decoded.
    ///
    /// What to do: check that the type is the one that was recorded.
    #[error("payload: {0}")]
    Payload(#[source] Source),

    /// A recorded event can not be read as an event of the domain.
    ///
    /// What to do: see [`DecodeFailure`], which says for each cause what is missing.
    #[error(
        "event {global_position}, {} with schema version {event_version}, can not be decoded: {cause}",
        Escaped(event_type)
    )]
    Decode {
        /// Where the event is recorded.
        global_position: GlobalPosition,
        /// Its event type.
        event_type: String,
        /// The version of its schema.
        event_version: u32,
        /// Why not.
        #[source]
        cause: DecodeFailure,
    },

    /// An event of one tenant was to be recorded in a stream of another; nothing was written.
    ///
    /// What to do: use the tenant that the stream belongs to, or another id.
    #[error(
        "events of {} can not be recorded in stream {}, which holds events of others",
        shown_tenant(tenant.as_ref()),
        Escaped(stream)
    )]
    OtherTenant {
        /// The stream.
        stream: StreamId,
        /// The tenant for whom something was to be recorded; `None` for events of no tenant.
        tenant: Option<TenantId>,
    },

    /// There is no room on the device for the next segment; nothing was written.
    ///
    /// What to do: make room and retry; the store goes on by itself.
    #[error("no space left on the device for {}: make room and retry", Escaped(path.display()))]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Writing or syncing a commit failed: it may or may not be there after reopening.
    ///
    /// What to do: open the store again and retry with the same event ids: what was recorded is
    /// recognised. Until then the store refuses writes.
    #[error("outcome unknown: {cause}; open the store again and retry with the same event ids")]
    OutcomeUnknown {
        /// The failure that left the outcome unknown.
        #[source]
        cause: Arc<PoisonCause>,
    },

    /// An earlier write or sync failed, or the files of the store were removed or replaced while it was open
    /// ([`PoisonCause::is_displaced`]), and the store refuses writes; nothing was written.
    ///
    /// What to do: open the store again; where files were replaced, see first what is there now (`annals
    /// verify`) and which other process writes to it.
    #[error("the store takes no more writes since {cause}; open it again")]
    Poisoned {
        /// The failure that poisoned the store.
        #[source]
        cause: Arc<PoisonCause>,
    },

    /// Bytes that had been durable no longer verify.
    ///
    /// What to do: restore a backup; or open the store read-only to read all that still verifies; or
    /// give up what is lost with [`FileStore::repair`](crate::FileStore::repair) or, into a new place,
    /// with [`FileStore::salvage`](crate::FileStore::salvage) (`annals repair`, `annals salvage`).
    #[error("{0}; restore a backup, or see what `annals repair --dry-run` would give up")]
    Damage(Box<Damage>),

    /// The device could not give bytes back.
    ///
    /// What to do: check the device; if it is failing, restore a backup on another, or copy what it can
    /// still read there with [`FileStore::salvage`](crate::FileStore::salvage) (`annals salvage`).
    #[error(
        "can not read {} at offset {offset}: {source}; restore a backup on another device, or see \
         what `annals salvage --dry-run` would copy",
        Escaped(path.display())
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },

    /// A position is beyond the end of the store: that of a follower, or the one after which a
    /// condition of a commit looks. Nothing was written.
    ///
    /// What to do: see whether this is the store that the position comes from. If it was restored from a
    /// backup, what followed it may have seen events that are not there any more: begin anew. A commit
    /// was decided by events that are gone: read again, and decide again.
    #[error(
        "the log ends at position {end}, before position {position}, which comes from another store or \
         from before a backup was restored: begin with what the store has now"
    )]
    BeyondEnd {
        /// The position that the store does not have.
        position: GlobalPosition,
        /// The last position of the store.
        end: GlobalPosition,
    },

    /// A follower is to continue after an event that the store does not have at its position: the store
    /// has another history than the one that was followed.
    ///
    /// What to do: see whether this is the store that was followed, and whether an older state of it was
    /// restored. Then what was made of events after that state is wrong. Discard it and begin with the
    /// first event: remove a [`Checkpoint`](crate::Checkpoint); make a projection with
    /// [`Rebuild`](crate::Rebuild), or open it with [`OnHistoryChange::Rebuild`](crate::OnHistoryChange).
    #[error(
        "the history has changed: event {kept} was at position {position}, and now {}; discard what was \
         made of the events that are gone, and begin with the first event",
        shown_found(*found)
    )]
    HistoryChanged {
        /// The position that was kept.
        position: GlobalPosition,
        /// The id that was kept with it.
        kept: EventId,
        /// The id of the event that is there now; `None` where the store ends before the position.
        found: Option<EventId>,
    },

    /// Somebody else works under the name already.
    ///
    /// What to do: end the other one first; one at a time runs a projection.
    #[error("the {kind} \"{}\" is in use already", Escaped(name))]
    Claimed {
        /// What it is.
        kind: RecordKind,
        /// Its name.
        name: String,
    },

    /// The kept state of a projection has another version than the projection.
    ///
    /// What to do: make it anew with [`Rebuild`](crate::Rebuild).
    #[error(
        "the state of projection \"{}\" has version {found}, not {expected}: make it anew",
        Escaped(projection)
    )]
    StateVersion {
        /// The name of the projection.
        projection: String,
        /// The version that was kept.
        found: u32,
        /// The version that the projection has.
        expected: u32,
    },

    /// An event could not be handled by a projection, which has stopped before it. Nothing of the event
    /// is in the state.
    ///
    /// What to do: correct what the source says and run it again: it goes on with this event. Or run it
    /// with [`OnFailure::SetAside`](crate::OnFailure::SetAside).
    #[error(
        "projection \"{}\" has stopped before position {position} after {attempts} attempts: {source}",
        Escaped(projection)
    )]
    ProjectionStopped {
        /// The name of the projection.
        projection: String,
        /// The position of the event.
        position: GlobalPosition,
        /// How often it was tried.
        attempts: u32,
        /// What the handler said.
        source: Source,
    },

    /// A record beside the log is there and can not be used.
    ///
    /// What to do: remove the record, which makes who wrote it begin anew, or restore it.
    #[error("the {kind} record \"{}\" can not be used: {reason}", Escaped(name))]
    RecordUnusable {
        /// The kind of the record.
        kind: RecordKind,
        /// The name of the record.
        name: String,
        /// What is wrong with it.
        reason: Unusable,
    },

    /// There is no store at the path.
    ///
    /// What to do: check the path; a store is made by opening it for writing.
    #[error("there is no store at {}", Escaped(path.display()))]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },

    /// The path, or a part of it, is something else than a directory.
    ///
    /// What to do: give the path of the directory of a store, or one where nothing is yet.
    #[error("{} is not a directory: a store is a directory", Escaped(path.display()))]
    NotADirectory {
        /// The part of the path that is there and is no directory.
        path: PathBuf,
    },

    /// The directory holds files but no store.
    ///
    /// What to do: give the path of a store or of an empty directory.
    #[error(
        "{} holds other files and no store ({}): choose an empty directory",
        Escaped(path.display()),
        Escaped(found)
    )]
    NotAStore {
        /// The path that was given.
        path: PathBuf,
        /// A file that is there, or what is missing.
        found: String,
    },

    /// The directory holds the log of a store, and its file `STORE` is missing.
    ///
    /// What to do: write it anew from the log with [`FileStore::repair`](crate::FileStore::repair)
    /// (`annals repair`), which loses nothing; or restore the file from a backup of this store.
    #[error(
        "the file STORE is missing in {}: `annals repair` can write it anew from the log and loses nothing",
        Escaped(path.display())
    )]
    StoreFileMissing {
        /// The directory of the store.
        path: PathBuf,
    },

    /// There is a store where a copy was to be made.
    ///
    /// What to do: give the path of an empty directory, or one where nothing is.
    #[error("there is a store at {} already: choose an empty directory", Escaped(path.display()))]
    StoreExists {
        /// The path that was given.
        path: PathBuf,
    },

    /// The copy of a store was to be made inside the store itself, which it would change.
    ///
    /// What to do: give the path of a directory outside of the store.
    #[error(
        "{} lies inside the store at {}: choose a directory outside of it",
        Escaped(path.display()),
        Escaped(store.display())
    )]
    InsideStore {
        /// The path that was given for the copy.
        path: PathBuf,
        /// The store that was to be copied.
        store: PathBuf,
    },

    /// The store is open for writing elsewhere: in another process, or in this one.
    ///
    /// What to do: close it there, or open it read-only.
    #[error("the store at {} is already open for writing", Escaped(path.display()))]
    Locked {
        /// The path that was given.
        path: PathBuf,
    },

    /// A file has a format that this version does not know.
    ///
    /// What to do: use a version of annals that knows it.
    #[error("{} has format {found}, this version of annals knows up to {supported}", Escaped(file.display()))]
    Incompatible {
        /// The file with the other format.
        file: PathBuf,
        /// What was found: a version, or feature flags.
        found: String,
        /// What this version supports.
        supported: String,
    },

    /// The store does not offer this: a wrapper of another store that does not hand it on, or a backend
    /// that cannot.
    ///
    /// What to do: ask the store that is wrapped, or override the method.
    #[error("the store does not offer {operation}: ask the store that it wraps")]
    Unsupported {
        /// What was asked for.
        operation: &'static str,
    },

    /// This process was forked from the one that opened the store; nothing was written.
    ///
    /// The process that opened the store goes on with it, and its files would not bear two writers.
    ///
    /// What to do: append in the process that opened the store, or let go of it before the fork and open it in
    /// one of the two. A store that is dropped here does nothing.
    #[error(
        "the store at {} was opened by the process that this one was forked from: use it there",
        Escaped(path.display())
    )]
    Forked {
        /// The path of the store.
        path: PathBuf,
    },

    /// The store was opened read-only.
    ///
    /// What to do: open it with [`FileStore::open`](crate::FileStore::open).
    #[error("the store was opened read-only")]
    ReadOnly,

    /// The store has been closed.
    ///
    /// What to do: open it again.
    #[error("the store is closed")]
    Closed,

    /// Something that annals keeps true did not hold: an error in annals, or memory that has changed by itself.
    ///
    /// No answer was made up for it. A call that only asks has changed nothing. A commit has written nothing; where
    /// that can not be told, it is [`OutcomeUnknown`](Self::OutcomeUnknown) with this as its cause, and the store
    /// takes no more writes.
    ///
    /// What to do: report it with the text. Close the store, check it with
    /// [`FileStore::verify`](crate::FileStore::verify) and open it again.
    #[error(
        "internal error: it does not hold that {invariant}; this is a bug of annals, please report it"
    )]
    Internal {
        /// What should have held.
        invariant: &'static str,
    },

    /// The system refused an operation on a file.
    ///
    /// What to do: mend what the source says; nothing was written by the call that failed.
    #[error("can not {operation} {}: {source}", Escaped(path.display()))]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Tells whether the commit was refused because somebody else wrote first: load again, decide
    /// anew, retry.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::CommitRefused { .. })
    }

    /// Tells whether nothing was written and the store goes on.
    pub fn is_rejection(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::CommitRefused { .. }
                | Self::DuplicateEvent { .. }
                | Self::EventIdTaken { .. }
                | Self::VersionMismatch { .. }
                | Self::Limit { .. }
                | Self::InvalidName { .. }
                | Self::NoSpace { .. }
                | Self::OtherTenant { .. }
                | Self::BeyondEnd { .. }
        )
    }

    pub(crate) fn invalid_name(what: &'static str, name: &str, reason: &'static str) -> Self {
        Self::InvalidName { what, name: shown(name), reason }
    }

    pub(crate) fn payload(source: impl Into<Source>) -> Self {
        Self::Payload(source.into())
    }

    /// Says of a recorded event why it can not be read as an event of the domain.
    pub(crate) fn decode(event: &RecordedEvent, cause: DecodeFailure) -> Self {
        Self::Decode {
            global_position: event.global_position(),
            event_type: event.event_type().to_owned(),
            event_version: event.event_version(),
            cause,
        }
    }

    /// Wraps what the system said of a file; a full device has an error of its own.
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path, source }
            }
            _ => Self::Io { operation, path, source },
        }
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Self::Damage(Box::new(damage))
    }
}

fn shown_failures(failures: &[CheckFailure]) -> String {
    failures.iter().map(CheckFailure::to_string).collect::<Vec<_>>().join("; ")
}

fn shown_found(found: Option<EventId>) -> String {
    found.map_or_else(
        || "the log ends before it".to_owned(),
        |found| format!("event {found} is there"),
    )
}

fn shown_tenant(tenant: Option<&TenantId>) -> String {
    tenant.map_or_else(|| "no tenant".to_owned(), |tenant| format!("tenant {}", Escaped(tenant)))
}
