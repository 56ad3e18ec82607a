//! Small records beside the log, as a backend offers them.

use crate::error::{Error, Result};
use crate::record::{Record, RecordKind, RecordList};
use crate::store::Claim;

/// A place for small records beside the events of a store: snapshots, checkpoints, the states of
/// projections.
///
/// Object safe and shared between threads by reference. A record has a kind and a name, and is replaced
/// as a whole. A store that wraps another hands these calls on.
///
/// # Examples
///
/// ```
/// use annals::{MemoryStore, RecordKind, RecordStore};
///
/// let store = MemoryStore::new();
/// store.write_record(RecordKind::Checkpoint, "mailer", b"17")?;
/// store.write_record(RecordKind::Checkpoint, "mailer", b"18")?;
/// let content = store.read_record(RecordKind::Checkpoint, "mailer")?.content();
/// assert_eq!(content.as_deref(), Some(&b"18"[..]));
/// # Ok::<(), annals::Error>(())
/// ```
pub trait RecordStore: Send + Sync {
    /// Writes a record in the place of the one before. When it returns `Ok`, a durable backend keeps
    /// the record for good; whatever happens before that, the old record or the new one is there.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) for an empty name,
    /// [`Error::Limit`](crate::Error::Limit) for a name or content over the limits of
    /// [`limits`](crate::limits), [`Error::ReadOnly`](crate::Error::ReadOnly),
    /// [`Error::Closed`](crate::Error::Closed), [`Error::NoSpace`](crate::Error::NoSpace), and
    /// [`Error::Io`](crate::Error::Io) when the system does not let it.
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> Result<()>;

    /// Reads a record. One that is missing or can not be used is no error.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) and [`Error::Limit`](crate::Error::Limit) for a
    /// name that no record has, [`Error::Io`](crate::Error::Io) and
    /// [`Error::Read`](crate::Error::Read) when the system does not let it be read.
    fn read_record(&self, kind: RecordKind, name: &str) -> Result<Record>;

    /// Removes a record; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// As [`write_record`](Self::write_record).
    fn remove_record(&self, kind: RecordKind, name: &str) -> Result<()>;

    /// Lists the records of a kind: the names of all that can be used, sorted, and what is wrong with the
    /// others. Memory grows with their number. Every record is read, to tell whether it can be used.
    ///
    /// A store that does not override this cannot tell.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a store that cannot tell, [`Error::Io`] when the system does not let a
    /// folder be read.
    ///
    /// # Examples
    ///
    /// Removes the checkpoints of followers that are not needed any more:
    ///
    /// ```
    /// use annals::{MemoryStore, RecordKind, RecordStore};
    ///
    /// # let store = MemoryStore::new();
    /// # store.write_record(RecordKind::Checkpoint, "old-mailer", b"17")?;
    /// # store.write_record(RecordKind::Checkpoint, "mailer", b"17")?;
    /// for name in store.list(RecordKind::Checkpoint)?.names {
    ///     if name.starts_with("old-") {
    ///         store.remove_record(RecordKind::Checkpoint, &name)?;
    ///     }
    /// }
    /// assert_eq!(store.list(RecordKind::Checkpoint)?.names, ["mailer"]);
    /// # Ok::<(), annals::Error>(())
    /// ```
    #[doc(alias = "get_all_checkpoints")]
    fn list(&self, kind: RecordKind) -> Result<RecordList> {
        let _ = kind;
        Err(Error::Unsupported { operation: "listing the records of a kind" })
    }

    /// Claims the name of a record until the claim is dropped, for who must be the only one to write it.
    /// A backend keeps [`Claims`](crate::Claims) for this; records are read and written without, too.
    ///
    /// # Errors
    ///
    /// [`Error::Claimed`](crate::Error::Claimed) while somebody else has it.
    fn claim(&self, kind: RecordKind, name: &str) -> Result<Claim>;
}
