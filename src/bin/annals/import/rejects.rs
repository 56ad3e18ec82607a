//! Keeps the lines that were refused, exactly as they were, in a file for that.
//!
//! The file is made with the first refused line. One that is there already is never written to.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// Where refused lines go: nowhere, or into a file.
#[derive(Debug, Default)]
pub(crate) struct Rejects {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl Rejects {
    /// Returns what keeps lines in a new file at a path.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) when something is there.
    pub(crate) fn new(path: Option<PathBuf>) -> io::Result<Self> {
        match path.as_ref().is_some_and(|path| path.symlink_metadata().is_ok()) {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => Ok(Self { path, file: None }),
        }
    }

    /// Returns whether lines are kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Keeps a line, or the next part of one.
    ///
    /// # Errors
    ///
    /// What the system says when the file can not be made or written.
    pub(crate) fn keep(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::create_new(path)?),
        };
        file.write_all(line)
    }

    /// Makes what was kept durable.
    ///
    /// # Errors
    ///
    /// What the system says when it can not.
    pub(crate) fn close(self) -> io::Result<()> {
        self.file.map_or(Ok(()), |file| file.sync_all())
    }
}
