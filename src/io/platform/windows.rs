//! Directories and files of Windows: a directory is its path, and has no sync.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::io::{Identity, OpenMode};

/// Opens a symbolic link itself, which is then refused as no regular file.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

/// Lets a directory be opened as a file.
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;

/// Lets others read and write a file, and not remove or rename it, as long as it is open.
const SHARE_BUT_KEEP: u32 = 0x1 | 0x2;

/// Whether others can read a file that is locked: here they cannot, so what they read is only kept open.
pub(in crate::io) const LOCKS_LET_READ: bool = false;

/// What stands for every file: the names of those that count lead nowhere else as long as they are open.
const ANY: Identity = Identity { device: 0, number: 0 };

/// `ERROR_IO_DEVICE`: the number of the error for what the device cannot do.
pub(in crate::io) const DEVICE_ERROR: i32 = 1117;

/// A directory that was there when it was opened.
#[derive(Debug)]
pub(in crate::io) struct Directory(PathBuf);

impl Directory {
    pub(in crate::io) fn open(path: &Path) -> Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self(path.into()))
    }

    pub(in crate::io) fn open_directory(&self, name: &str) -> Result<Self> {
        let path = self.0.join(name);
        if fs::symlink_metadata(&path)?.is_symlink() {
            return Err(Error::new(ErrorKind::NotADirectory, "a symbolic link"));
        }
        Self::open(&path)
    }

    pub(in crate::io) fn make_directory(&self, name: &str) -> Result<()> {
        fs::create_dir(self.0.join(name))
    }

    pub(in crate::io) fn list(&self) -> Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?;
        names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    pub(in crate::io) fn open_file(&self, name: &str, mode: OpenMode) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        self.open_with(name, options.create_new(mode == OpenMode::CreateNew))
    }

    pub(in crate::io) fn open_lock_file(&self, name: &str) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).share_mode(SHARE_BUT_KEEP);
        self.open_with(name, &mut options)
    }

    /// Opens a file that is there, such that it is neither removed nor renamed.
    pub(in crate::io) fn open_to_keep(&self, name: &str) -> Result<File> {
        self.open_with(name, OpenOptions::new().read(true).share_mode(SHARE_BUT_KEEP))
    }

    /// Opens the directory as a file. It cannot be removed or renamed as long as a file in it is open.
    pub(in crate::io) fn open_itself(&self) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).share_mode(SHARE_BUT_KEEP);
        options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(&self.0)
    }

    pub(in crate::io) fn identity(&self) -> Result<Identity> {
        Ok(ANY)
    }

    pub(in crate::io) fn identity_of(&self, name: &str) -> Result<Identity> {
        fs::symlink_metadata(self.0.join(name)).map(|_| ANY)
    }

    fn open_with(&self, name: &str, options: &mut OpenOptions) -> Result<File> {
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(self.0.join(name))
    }

    pub(in crate::io) fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    /// Renames to a name that is free: by a second link, which never replaces.
    pub(in crate::io) fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        fs::hard_link(self.0.join(from), self.0.join(to))?;
        fs::remove_file(self.0.join(from))
    }

    pub(in crate::io) fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.0.join(name))
    }

    /// Does nothing: the file system keeps its names in a journal of its own.
    pub(in crate::io) fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// Returns whether two paths lead to one and the same file or directory.
pub(in crate::io) fn is_same(one: &Path, other: &Path) -> Result<bool> {
    Ok(fs::canonicalize(one)? == fs::canonicalize(other)?)
}

/// Makes a directory with the access that its parent passes on.
pub(in crate::io) fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir(path)
}

pub(in crate::io) fn identity(_file: &File) -> Result<Identity> {
    Ok(ANY)
}

/// Returns whether an error of locking says that the file system has no such lock.
pub(in crate::io) fn is_no_lock(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

pub(in crate::io) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize> {
    file.seek_read(buffer, offset)
}

pub(in crate::io) fn write_at(file: &File, bytes: &[u8], offset: u64) -> Result<usize> {
    file.seek_write(bytes, offset)
}

pub(in crate::io) fn allocated_bytes(file: &File) -> Result<u64> {
    Ok(file.metadata()?.len())
}

pub(in crate::io) fn allocate(_file: &File, _len: u64) -> Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(in crate::io) fn give_back(_file: &File, _offset: u64, _len: u64) -> Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(in crate::io) fn sync_data(file: &File) -> Result<()> {
    file.sync_data()
}

pub(in crate::io) fn evict(_file: &File) -> Result<()> {
    Ok(())
}

pub(in crate::io) fn read_finely(_file: &File, _offset: u64, _len: u64) -> Result<()> {
    Ok(())
}
