//! The one door to the disk: a flat directory and its files, behind two traits.
//!
//! Owns every call that reaches a file system. What is above is generic over [`Disk`], so that the
//! same code runs on the real disk, in memory and on a disk that fails on purpose. It decides
//! nothing: what is written where, when it is synced and what a failure means is up to the caller.
//!
//! What every implementation keeps:
//!
//! 1. Names are single names: never a path, never a symbolic link.
//! 2. Reads and writes are positioned and may be short; [`DiskFile::read_up_to`] and
//!    [`DiskFile::write_all_at`] loop over short and interrupted calls.
//! 3. A failed sync is reported as it is and never tried again.
//! 4. What a map or a read gave stays valid and unchanged when its file grows, is closed or is removed.

mod map;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod places;
mod platform;
mod process;
mod real;
#[cfg(any(test, feature = "testing"))]
mod simulated;
#[cfg(test)]
mod tests;
mod view;

use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::bugs::{self, Bug};

pub(crate) use map::{Map, fetch};
#[cfg(any(test, feature = "testing"))]
pub(crate) use memory::MemoryDisk;
#[cfg(test)]
pub(crate) use memory::Operation;
pub(crate) use places::{Place, lies_inside, other_than_a_directory, place_at};
pub(crate) use process::Process;
pub(crate) use real::{ReadMode, RealDisk};
#[cfg(any(test, feature = "testing"))]
pub use simulated::{Call, Crash, Failure, Moment, SimulatedDisk};
pub(crate) use view::{Piece, ViewedFile};

/// Bytes of a page, in which systems cache files and file systems give out space.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Bytes of a large page. A file that is written in pieces of this size, each at a multiple of it, may
/// be cached in large pages, and a map of it is then translated by far fewer entries.
pub(crate) const LARGE_PAGE_BYTES: usize = 2 << 20;

/// Bytes that are written out and waited for at once, so that a commit's sync never finds more of a
/// background writer's pages in its way.
const WRITE_OUT_BYTES: u64 = 64 << 10;

/// Whether [`Disk::directory`] makes what is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MakeDirectory {
    /// An absent directory is made, for its owner only, and the parent is synced.
    IfAbsent,
    /// An absent directory is an error.
    Never,
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing; an error when the name is taken.
    CreateNew,
}

/// What tells a file or a directory from every other one as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) number: u64,
}

/// Judges whether names in a directory may still be changed: its files may be another writer's by now.
pub(crate) trait Guard: Send + Sync + 'static {
    /// Refuses the change with an error.
    fn check(&self) -> Result<()>;
}

/// A lock that is held until it is dropped.
pub(crate) trait DiskLock: Send + Sync + 'static {
    /// Returns what tells the locked file from every other.
    fn identity(&self) -> Result<Identity>;
}

/// A flat directory.
///
/// Clones are the same directory.
pub(crate) trait Disk: Clone + Send + Sync + 'static {
    /// A file of this disk.
    type File: DiskFile;

    /// A lock, held until it is dropped.
    type Lock: DiskLock;

    /// Returns where the directory is, for messages.
    fn path(&self) -> &Path;

    /// Returns the same directory, whose files are never mapped: a block that the device cannot read is
    /// then an error of reading and never a signal.
    #[must_use]
    fn unmapped(self) -> Self {
        self
    }

    /// Opens the directory `name` inside this one.
    fn directory(&self, name: &str, make: MakeDirectory) -> Result<Self>;

    /// Returns the names of the files and directories in this one, sorted; what is not UTF-8 in a
    /// name is replaced.
    fn list(&self) -> Result<Vec<String>>;

    /// Opens a file.
    fn open(&self, name: &str, mode: OpenMode) -> Result<Self::File>;

    /// Renames a file, replacing the file that has the name.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Renames a file to a name that must be free.
    ///
    /// [`ErrorKind::AlreadyExists`] when it is taken; nothing has changed then.
    fn rename_new(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> Result<()>;

    /// Makes the names in this directory durable.
    fn sync_dir(&self) -> Result<()>;

    /// Takes the exclusive lock on the file `name`, made when absent and never removed.
    ///
    /// [`ErrorKind::WouldBlock`] when the lock is held elsewhere, in this process or another.
    fn lock(&self, name: &str) -> Result<Self::Lock>;

    /// As [`lock`](Self::lock), of a file that is there. Readers of the file are not held up. Where the
    /// system cannot lock such a file, the lock only keeps it open.
    fn lock_existing(&self, name: &str) -> Result<Self::Lock>;

    /// As [`lock_existing`](Self::lock_existing), of the directory itself.
    fn lock_directory(&self) -> Result<Self::Lock>;

    /// Returns what tells this directory from every other.
    fn identity(&self) -> Result<Identity>;

    /// Returns what tells the file or directory from every other that a name in this directory leads to.
    fn identity_of(&self, name: &str) -> Result<Identity>;

    /// Returns this directory, such that a guard is asked before a name in it, or in a directory that is
    /// opened from it, is made, replaced or removed.
    #[must_use]
    fn guarded(self, guard: Arc<dyn Guard>) -> Self;
}

/// A file, read and written at positions.
pub(crate) trait DiskFile: Send + Sync + 'static {
    /// Returns the file's length in bytes.
    fn len(&self) -> Result<u64>;

    /// Returns what tells the file from every other.
    fn identity(&self) -> Result<Identity>;

    /// Returns how many bytes the file takes up on the disk, or its length where that is unknown.
    fn allocated_bytes(&self) -> Result<u64>;

    /// Reads once, and returns how many bytes were read: any number up to the buffer's length, 0 at
    /// the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes once, and returns how many bytes were written: any number up to all.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize>;

    /// Sets the file's length; what is added reads as zeros.
    ///
    /// A file that is mapped is never made shorter.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Reserves space for the first `len` bytes and makes the file at least that long; what is
    /// added reads as zeros.
    ///
    /// [`ErrorKind::Unsupported`] where the file system can not; the file is then as it was.
    fn allocate(&self, len: u64) -> Result<()>;

    /// Gives the space of a range of whole pages back to the file system. The length stays, and the
    /// range reads as zeros; whether it does so after a crash is as with a write.
    ///
    /// [`ErrorKind::Unsupported`] where the file system can not; the file is then as it was.
    fn give_back(&self, offset: u64, len: u64) -> Result<()>;

    /// Makes the file's contents durable, and its length.
    ///
    /// After a failure it is unknown what is durable, and a later success does not tell.
    fn sync_data(&self) -> Result<()>;

    /// Writes out a range and waits for it, without making it durable: it paces a writer in the
    /// background, so that a sync does not find everything still to be done.
    ///
    /// Does nothing where the system has no such call. A failure counts as a failed sync: the
    /// system tells of lost bytes only once.
    fn write_out(&self, offset: u64, len: u64) -> Result<()>;

    /// Begins to write a range out and does not wait for it, so that the device is at work before
    /// [`sync_data`](Self::sync_data), which alone makes anything durable.
    ///
    /// Does nothing where the system has no such call. A failure counts as a failed sync.
    fn begin_write_out(&self, offset: u64, len: u64) -> Result<()>;

    /// Drops what the system caches of the file, if it is written out, so that what is read next
    /// comes from the disk.
    ///
    /// Does nothing where the system has no such call.
    fn evict(&self) -> Result<()>;

    /// Lets reads of a range, and those that come after it, reach the device by the smallest unit: the
    /// system caches what is read in a row in large pieces, and one block that the device cannot read
    /// makes every byte of its piece an error.
    ///
    /// Does nothing where the system has no such call.
    fn read_finely(&self, offset: u64, len: u64) -> Result<()>;

    /// Maps the file as long as it is now; `None` where files are read, and for an empty one.
    ///
    /// The caller looks only at ranges that nobody writes to any more.
    fn map(&self) -> Result<Option<Map>> {
        Ok(None)
    }

    /// Reads until the buffer is full or the file ends, and returns how many bytes were read. What the
    /// device cannot read is read once more, finely, before it is an error.
    fn read_up_to(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        let mut is_fine = false;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, advanced(offset, filled)?) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if !is_fine && is_of_device(&error) => {
                    is_fine = true;
                    let len = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    if self.read_finely(advanced(offset, filled)?, len).is_err() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Writes all of `bytes`.
    ///
    /// [`ErrorKind::WriteZero`] when the file takes no more. After a failure any part of the bytes
    /// may be written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.write_at(rest, advanced(offset, written)?) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) if bugs::on(Bug::ShortWriteTaken) => return Ok(()),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` and waits until they are written out, piece by piece: for files that are
    /// written in the background.
    fn write_through_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.write_all_at(bytes, offset)?;
        let end = advanced(offset, bytes.len())?;
        let mut written_out = offset;
        while written_out < end {
            let length = (end - written_out).min(WRITE_OUT_BYTES);
            self.write_out(written_out, length)?;
            written_out += length;
        }
        Ok(())
    }

    /// Returns the bytes of a range as a copy, fewer only at the end of the file.
    ///
    /// Takes no more memory than the file has bytes, whatever is asked for.
    fn read_bytes(&self, offset: u64, len: usize) -> Result<Bytes> {
        let there = usize::try_from(self.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; len.min(there)];
        let filled = self.read_up_to(&mut buffer, offset)?;
        buffer.truncate(filled);
        Ok(buffer.into())
    }
}

/// Returns whether an error says that the device could not give bytes back.
fn is_of_device(error: &Error) -> bool {
    error.raw_os_error() == Some(platform::DEVICE_ERROR)
}

/// Returns an offset moved on, or an error for one that no file can have.
fn advanced(offset: u64, by: usize) -> Result<u64> {
    let end = u64::try_from(by).ok().and_then(|by| offset.checked_add(by));
    end.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the range ends beyond any file"))
}

/// Refuses what is not a single name.
fn check_name(name: &str) -> Result<()> {
    let refused = ["", ".", ".."].contains(&name) || name.contains(['/', '\\', ':', '\0']);
    if refused {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{name:?} is no file name")));
    }
    Ok(())
}
