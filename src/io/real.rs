//! The disk of the operating system.
//!
//! Owns the directory and its files as the system's handles, and whether they are mapped. What differs
//! between systems is in `platform`.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::io::map::{self, Map};
use crate::io::platform::{self, Directory};
use crate::io::{
    Disk, DiskFile, DiskLock, Guard, Identity, MakeDirectory, OpenMode, Process, check_name,
};

/// How often a lock is tried. A process that is being started holds copies of its parent's
/// descriptors, and with them its locks, for a moment: a lock that was just let go may look held.
const LOCK_TRIES: u32 = 20;

/// How long is waited between two tries: about 100 ms in all.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReadMode {
    /// Borrowed from a map of the file, where it can be mapped. A block that the device can not
    /// read, or a file that another program cuts short, then ends the process with a signal.
    #[default]
    Map,
    /// Read, so that every failure is an error: for network file systems and doubtful devices.
    Read,
}

/// A directory on the disk.
///
/// Holds the directory itself, so that neither a rename of it nor another working directory leads
/// it astray.
#[derive(Clone)]
pub(crate) struct RealDisk {
    path: Arc<Path>,
    directory: Arc<Directory>,
    read_mode: ReadMode,
    guard: Option<Arc<dyn Guard>>,
}

/// A file on the disk.
#[derive(Debug)]
pub(crate) struct RealFile {
    file: File,
    read_mode: ReadMode,
}

/// A lock on a file or a directory.
///
/// A process that is forked from this one holds it as well. So it is let go by name: a forked process that
/// lives on does not keep it, and one that closes its copy does not let it go.
#[derive(Debug)]
pub(crate) struct RealLock {
    file: File,
    process: Process,
}

impl RealDisk {
    /// Opens an existing directory; the path itself may lead over symbolic links.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let directory = Directory::open(&path)?;
        Ok(Self {
            path: path.into(),
            directory: Arc::new(directory),
            read_mode: ReadMode::default(),
            guard: None,
        })
    }

    /// Opens a directory, and makes it and its parents, for their owner only, when absent.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)?;
        make_directories(&path)?;
        Self::open(&path)
    }

    /// Says how the files are looked at that are opened from now on.
    #[must_use]
    pub(crate) fn with_read_mode(self, read_mode: ReadMode) -> Self {
        Self { read_mode, ..self }
    }

    /// Asks the guard before a name is changed.
    fn check_guard(&self) -> Result<()> {
        self.guard.as_ref().map_or(Ok(()), |guard| guard.check())
    }
}

impl fmt::Debug for RealDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealDisk").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RealLock {
    /// Locks an open file. Somebody who has just let go of it may seem to hold it for a moment.
    fn take(file: File) -> Result<Self> {
        let mut tries = 1;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file, process: Process::current() }),
                Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(error.into()),
            }
            tries += 1;
        }
    }

    /// As [`take`](Self::take); where the system has no lock for such a file it is only kept open.
    fn take_if_possible(open: impl Fn() -> Result<File>) -> Result<Self> {
        let kept = |file| Self { file, process: Process::current() };
        if !platform::LOCKS_LET_READ {
            return open().map(kept);
        }
        match Self::take(open()?) {
            Err(error) if platform::is_no_lock(&error) => open().map(kept),
            outcome => outcome,
        }
    }
}

impl DiskLock for RealLock {
    fn identity(&self) -> Result<Identity> {
        platform::identity(&self.file)
    }
}

impl Drop for RealLock {
    fn drop(&mut self) {
        if self.process.is_current() {
            // Closing the file lets go of it as well, unless somebody has a copy.
            let _closed_next = self.file.unlock();
        }
    }
}

/// Makes a directory and its parents where they are absent, each durable in the one above.
///
/// The parent of a directory that is there is synced too: who made it may have been killed before
/// that.
fn make_directories(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let made = match platform::make_directory(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_directories(parent)?;
            platform::make_directory(path)
        }
        outcome => outcome,
    };
    match made {
        Ok(()) => Directory::open(parent)?.sync(),
        // A parent that may not be read can not be synced by this user, nor made by it.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match Directory::open(parent) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            parent => parent?.sync(),
        },
        // On a read-only file system an existing directory may be refused for that reason first.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

impl Disk for RealDisk {
    type File = RealFile;
    type Lock = RealLock;

    fn path(&self) -> &Path {
        &self.path
    }

    fn unmapped(self) -> Self {
        self.with_read_mode(ReadMode::Read)
    }

    fn directory(&self, name: &str, make: MakeDirectory) -> Result<Self> {
        check_name(name)?;
        if make == MakeDirectory::IfAbsent {
            self.check_guard()?;
            match self.directory.make_directory(name) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => self.directory.sync()?,
            }
        }
        Ok(Self {
            path: self.path.join(name).into(),
            directory: Arc::new(self.directory.open_directory(name)?),
            read_mode: self.read_mode,
            guard: self.guard.clone(),
        })
    }

    fn list(&self) -> Result<Vec<String>> {
        let mut names = self.directory.list()?;
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<RealFile> {
        check_name(name)?;
        if mode == OpenMode::CreateNew {
            self.check_guard()?;
        }
        let file = refuse_special(self.directory.open_file(name, mode)?)?;
        Ok(RealFile { file, read_mode: self.read_mode })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.check_guard()?;
        self.directory.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.check_guard()?;
        self.directory.rename_new(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.check_guard()?;
        self.directory.remove(name)
    }

    fn sync_dir(&self) -> Result<()> {
        self.directory.sync()
    }

    fn lock(&self, name: &str) -> Result<RealLock> {
        check_name(name)?;
        RealLock::take(refuse_special(self.directory.open_lock_file(name)?)?)
    }

    fn lock_existing(&self, name: &str) -> Result<RealLock> {
        check_name(name)?;
        RealLock::take_if_possible(|| refuse_special(self.directory.open_to_keep(name)?))
    }

    fn lock_directory(&self) -> Result<RealLock> {
        RealLock::take_if_possible(|| self.directory.open_itself())
    }

    fn identity(&self) -> Result<Identity> {
        self.directory.identity()
    }

    fn identity_of(&self, name: &str) -> Result<Identity> {
        check_name(name)?;
        self.directory.identity_of(name)
    }

    fn guarded(self, guard: Arc<dyn Guard>) -> Self {
        Self { guard: Some(guard), ..self }
    }
}

/// Refuses directories, pipes and devices, which do not behave as files do.
fn refuse_special(file: File) -> Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(Error::new(ErrorKind::InvalidInput, "not a regular file"))
}

impl DiskFile for RealFile {
    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn identity(&self) -> Result<Identity> {
        platform::identity(&self.file)
    }

    fn allocated_bytes(&self) -> Result<u64> {
        platform::allocated_bytes(&self.file)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        platform::read_at(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        platform::write_at(&self.file, bytes, offset)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        platform::allocate(&self.file, len)
    }

    fn give_back(&self, offset: u64, len: u64) -> Result<()> {
        platform::give_back(&self.file, offset, len)
    }

    fn sync_data(&self) -> Result<()> {
        platform::sync_data(&self.file)
    }

    fn write_out(&self, offset: u64, len: u64) -> Result<()> {
        map::write_out(&self.file, offset, len)
    }

    fn begin_write_out(&self, offset: u64, len: u64) -> Result<()> {
        map::begin_write_out(&self.file, offset, len)
    }

    fn evict(&self) -> Result<()> {
        platform::evict(&self.file)
    }

    fn read_finely(&self, offset: u64, len: u64) -> Result<()> {
        platform::read_finely(&self.file, offset, len)
    }

    fn map(&self) -> Result<Option<Map>> {
        match self.read_mode {
            ReadMode::Map => Map::of(&self.file),
            ReadMode::Read => Ok(None),
        }
    }
}
