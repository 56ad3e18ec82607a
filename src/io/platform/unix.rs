//! Directories and files of Unix: names are resolved against an open directory, and never through a
//! symbolic link.

use std::fs::File;
use std::io::Result;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::io::OpenMode;

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIRECTORY_MODE: Mode = Mode::RWXU;

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

    /// Opens a name. It does not wait, as opening a pipe would, which is no file of a store anyway.
    fn open_at(&self, name: &str, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(retry_on_intr(|| rustix::fs::openat(&self.0, name, flags, FILE_MODE))?)
    }

    pub(in crate::io) fn rename(&self, from: &str, to: &str) -> Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
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
