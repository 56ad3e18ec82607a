//! The calls to a simulated disk, and how they are made to fail.

use std::io::ErrorKind;

/// A call that changes something, or makes a change durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Bytes are written.
    Write,
    /// A file gets a length.
    SetLen,
    /// Space is reserved.
    Allocate,
    /// Space is given back.
    GiveBack,
    /// A file is synced.
    Sync,
    /// A range is written out.
    WriteOut,
    /// A range is begun to be written out.
    BeginWriteOut,
    /// A file is made.
    Create,
    /// A file is renamed.
    Rename,
    /// A file is removed.
    Remove,
    /// A directory is made.
    MakeDirectory,
    /// A directory is synced.
    SyncDirectory,
    /// The file of a lock is made.
    Lock,
}

/// A failure to come.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// How many calls that change something it waits for, that which fails included.
    pub after: u64,
    /// How many calls fail then.
    pub calls: u64,
    /// What the caller is told.
    pub kind: ErrorKind,
    /// Whether a write that fails has written its first half.
    pub is_partial: bool,
}
