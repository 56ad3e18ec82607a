//! Small records that a store keeps beside its log: what they are called, and what reading one gives.
//!
//! A record is replaced as a whole. It holds what can be made again from the events, or what says how
//! far somebody has followed them; so a record that can not be used is answered as such and is never
//! taken for damage of the log.

#![forbid(unsafe_code)]

use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::limits::{RECORD_BYTES_MAX, RECORD_NAME_BYTES_MAX};

/// What a record is for. Records of different kinds may have the same name.
///
/// # Examples
///
/// ```
/// use annals::{MemoryStore, RecordKind, RecordStore};
///
/// let store = MemoryStore::new();
/// store.write_record(RecordKind::Checkpoint, "mailer", b"17")?;
/// assert!(store.read_record(RecordKind::Snapshot, "mailer")?.content().is_none());
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecordKind {
    /// The state of an aggregate as of a version. Its name is the text form of the stream, `id:Type`.
    Snapshot,
    /// How far a subscription has come. Its name is the one that was given to
    /// [`Checkpoint::load`](crate::Checkpoint::load).
    Checkpoint,
    /// The state of a projection, how far it has come, and its
    /// [dead letters](crate::DeadLetter::list). Its name is that of the projection.
    Projection,
    /// The same of a projection that is built anew beside the one in use, and has its name.
    Rebuild,
}

impl RecordKind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] =
        [Self::Snapshot, Self::Checkpoint, Self::Projection, Self::Rebuild];

    /// Returns the name of the kind, which is also that of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Checkpoint => "checkpoint",
            Self::Projection => "projection",
            Self::Rebuild => "rebuild",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What reading a record gives.
///
/// # Examples
///
/// ```
/// use annals::{MemoryStore, Record, RecordKind, RecordStore};
///
/// let store = MemoryStore::new();
/// assert_eq!(store.read_record(RecordKind::Snapshot, "plan-1")?, Record::Absent);
/// store.write_record(RecordKind::Snapshot, "plan-1", b"state")?;
/// let content = store.read_record(RecordKind::Snapshot, "plan-1")?.content();
/// assert_eq!(content.as_deref(), Some(&b"state"[..]));
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The content that was written last.
    Found(Bytes),
    /// No such record was written, or it was removed.
    Absent,
    /// Something is there and can not be used.
    Unusable(Unusable),
}

impl Record {
    /// Returns the content, and nothing for a record that is absent or can not be used.
    pub fn content(self) -> Option<Bytes> {
        match self {
            Self::Found(content) => Some(content),
            Self::Absent | Self::Unusable(_) => None,
        }
    }
}

/// The records of one kind, as [`RecordStore::list`](crate::RecordStore::list) finds them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RecordList {
    /// The names of the records that can be used, sorted by their bytes.
    pub names: Vec<String>,
    /// Those that cannot be used, in the order of their files.
    pub unusable: Vec<UnusableRecord>,
}

impl RecordList {
    /// Puts together what a backend found, in any order.
    pub fn new(mut names: Vec<String>, mut unusable: Vec<UnusableRecord>) -> Self {
        names.sort_unstable();
        unusable.sort_unstable_by(|one, other| one.file.cmp(&other.file));
        Self { names, unusable }
    }
}

/// A record that is there and cannot be used, and whose name can therefore not be told for certain.
///
/// What to do: remove it by its name, if that is known, or remove the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableRecord {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, as a sentence.
    pub why: String,
}

/// Why a record can not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unusable {
    /// It ends before the length that it gives itself.
    Cut,
    /// Its checksum does not match, or it is no record at all.
    Damaged,
    /// It is a record of another store, of another name or of another kind.
    Foreign,
    /// A newer version of this crate wrote it.
    Newer,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "it is cut short",
            Self::Damaged => "it is damaged",
            Self::Foreign => "it belongs to another store or has another name",
            Self::Newer => "a newer version wrote it",
        })
    }
}

/// Refuses a name that no record has.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid_name("record name", name, "it is empty"));
    }
    check_size("bytes of a record name", RECORD_NAME_BYTES_MAX, name.len())
}

/// Refuses a content that is larger than that of any record.
pub(crate) fn check_content(content: &[u8]) -> Result<()> {
    check_size("bytes of a record", RECORD_BYTES_MAX, content.len())
}

fn check_size(what: &'static str, limit: u32, actual: usize) -> Result<()> {
    let (limit, actual) = (u64::from(limit), actual as u64);
    match actual <= limit {
        true => Ok(()),
        false => Err(Error::Limit { what, limit, actual }),
    }
}
