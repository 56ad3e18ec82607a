//! Directories and files of Unix: names are resolved against an open directory, and never through a
//! symbolic link.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

#[cfg(target_os = "linux")]
use crate::io::LARGE_PAGE_BYTES;
use crate::io::{Identity, OpenMode};

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIRECTORY_MODE: Mode = Mode::RWXU;

/// Whether others can read a file that is locked: locks are advice.
pub(in crate::io) const LOCKS_LET_READ: bool = true;

/// The number of the error for what the device cannot do.
pub(in crate::io) const DEVICE_ERROR: i32 = Errno::IO.raw_os_error();

/// The unit in which systems count the space that a file takes up.
const BLOCK_BYTES: u64 = 512;

/// An open directory.
#[derive(Debug)]
pub(in crate::io) struct Directory(OwnedFd);

impl Directory {
    pub(in crate::io) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?))
    }

    pub(in crate::io) fn open_directory(&self, name: &str) -> Result<Self> {
        Ok(Self(self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY)?))
    }

    pub(in crate::io) fn make_directory(&self, name: &str) -> Result<()> {
        Ok(rustix::fs::mkdirat(&self.0, name, DIRECTORY_MODE)?)
    }

    pub(in crate::io) fn list(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    pub(in crate::io) fn open_file(&self, name: &str, mode: OpenMode) -> Result<File> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::Write => OFlags::RDWR,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        Ok(self.open_at(name, flags)?.into())
    }

    pub(in crate::io) fn open_lock_file(&self, name: &str) -> Result<File> {
        Ok(self.open_at(name, OFlags::RDWR | OFlags::CREATE)?.into())
    }

    /// Opens a file that is there, to be locked and kept open. Some network file systems lock exclusively only
    /// what is open for writing, which not every writer of a store may do with every file.
    pub(in crate::io) fn open_to_keep(&self, name: &str) -> Result<File> {
        match self.open_at(name, OFlags::RDWR) {
            Ok(file) => Ok(file.into()),
            Err(_) => Ok(self.open_at(name, OFlags::RDONLY)?.into()),
        }
    }

    /// Opens the directory once more, as a file that has a lock of its own.
    pub(in crate::io) fn open_itself(&self) -> Result<File> {
        Ok(self.open_at(".", OFlags::RDONLY | OFlags::DIRECTORY)?.into())
    }

    pub(in crate::io) fn identity(&self) -> Result<Identity> {
        Ok(identity_in(&rustix::fs::fstat(&self.0)?))
    }

    pub(in crate::io) fn identity_of(&self, name: &str) -> Result<Identity> {
        Ok(identity_in(&rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Opens a name. It does not wait, as opening a pipe would, which is no file of a store anyway.
    fn open_at(&self, name: &str, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(retry_on_intr(|| rustix::fs::openat(&self.0, name, flags, FILE_MODE))?)
    }

    pub(in crate::io) fn rename(&self, from: &str, to: &str) -> Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Renames to a name that is free, with one call where the system has it, else by a second link.
    pub(in crate::io) fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        match self.rename_no_replace(from, to) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            outcome => return Ok(outcome?),
        }
        match rustix::fs::linkat(&self.0, from, &self.0, to, AtFlags::empty()) {
            Ok(()) => self.remove(from),
            // A file system without hard links: the lock alone keeps others away between the two calls.
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK) => {
                match self.identity_of(to) {
                    Ok(_) => Err(ErrorKind::AlreadyExists.into()),
                    Err(error) if error.kind() == ErrorKind::NotFound => self.rename(from, to),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    fn rename_no_replace(&self, from: &str, to: &str) -> rustix::io::Result<()> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&self.0, from, &self.0, to, flags)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    fn rename_no_replace(&self, _from: &str, _to: &str) -> rustix::io::Result<()> {
        Err(Errno::NOSYS)
    }

    pub(in crate::io) fn remove(&self, name: &str) -> Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Syncs the directory. Some network file systems know no sync of a directory and say `EINVAL`;
    /// their names are as durable as their server makes them.
    pub(in crate::io) fn sync(&self) -> Result<()> {
        match rustix::fs::fsync(&self.0) {
            Err(Errno::INVAL) => Ok(()),
            outcome => Ok(outcome?),
        }
    }
}

/// Returns whether two paths lead to one and the same file or directory.
pub(in crate::io) fn is_same(one: &Path, other: &Path) -> Result<bool> {
    let (one, other) = (std::fs::metadata(one)?, std::fs::metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Makes a directory for its owner only.
pub(in crate::io) fn make_directory(path: &Path) -> Result<()> {
    Ok(rustix::fs::mkdir(path, DIRECTORY_MODE)?)
}

pub(in crate::io) fn identity(file: &File) -> Result<Identity> {
    Ok(identity_in(&rustix::fs::fstat(file)?))
}

#[expect(clippy::unnecessary_cast, reason = "systems have their numbers in different types")]
fn identity_in(stat: &rustix::fs::Stat) -> Identity {
    Identity { device: stat.st_dev as u64, number: stat.st_ino as u64 }
}

/// Returns whether an error of locking says that the file system has no such lock: network file systems may
/// have none for directories, or for what is open for reading only.
pub(in crate::io) fn is_no_lock(error: &Error) -> bool {
    let none = [Errno::BADF, Errno::INVAL, Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP];
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    error.kind() == ErrorKind::Unsupported || errno.is_some_and(|errno| none.contains(&errno))
}

pub(in crate::io) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize> {
    file.read_at(buffer, offset)
}

pub(in crate::io) fn write_at(file: &File, bytes: &[u8], offset: u64) -> Result<usize> {
    file.write_at(bytes, offset)
}

pub(in crate::io) fn allocated_bytes(file: &File) -> Result<u64> {
    Ok(file.metadata()?.blocks().saturating_mul(BLOCK_BYTES))
}

/// Reserves space with the call that fails where the file system can not, and not with the one that
/// then writes zeros instead.
#[cfg(target_os = "linux")]
pub(in crate::io) fn allocate(file: &File, len: u64) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    let mode = rustix::fs::FallocateFlags::empty();
    Ok(retry_on_intr(|| rustix::fs::fallocate(file, mode, 0, len))?)
}

#[cfg(not(target_os = "linux"))]
pub(in crate::io) fn allocate(_file: &File, _len: u64) -> Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
pub(in crate::io) fn give_back(file: &File, offset: u64, len: u64) -> Result<()> {
    let mode = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    Ok(retry_on_intr(|| rustix::fs::fallocate(file, mode, offset, len))?)
}

#[cfg(not(target_os = "linux"))]
pub(in crate::io) fn give_back(_file: &File, _offset: u64, _len: u64) -> Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Syncs with one call: the standard library would try again after an interruption.
#[cfg(not(target_vendor = "apple"))]
pub(in crate::io) fn sync_data(file: &File) -> Result<()> {
    Ok(rustix::fs::fdatasync(file)?)
}

/// Syncs with `F_FULLFSYNC`, without which the device's own cache is not flushed.
#[cfg(target_vendor = "apple")]
pub(in crate::io) fn sync_data(file: &File) -> Result<()> {
    Ok(rustix::fs::fcntl_fullfsync(file)?)
}

#[cfg(target_os = "linux")]
pub(in crate::io) fn evict(file: &File) -> Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
pub(in crate::io) fn evict(_file: &File) -> Result<()> {
    Ok(())
}

/// Drops what is cached around a range, and has the file read page by page from now on.
#[cfg(target_os = "linux")]
pub(in crate::io) fn read_finely(file: &File, offset: u64, len: u64) -> Result<()> {
    use rustix::fs::{Advice, fadvise};

    const LARGEST: u64 = LARGE_PAGE_BYTES as u64;
    fadvise(file, 0, None, Advice::Random)?;
    // A cached piece lies at a multiple of its size, and is dropped only as a whole.
    let start = offset / LARGEST * LARGEST;
    let end = offset.saturating_add(len).checked_next_multiple_of(LARGEST);
    let length = end.and_then(|end| NonZeroU64::new(end - start));
    Ok(fadvise(file, start, length, Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
pub(in crate::io) fn read_finely(_file: &File, _offset: u64, _len: u64) -> Result<()> {
    Ok(())
}
