//! Why a store takes no more writes: an operation that failed, or files that are no longer the writer's.

use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use crate::escaped::Escaped;

/// The failed operation after which a store refuses writes.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {} failed: {source}", Escaped(path.display()))]
pub struct PoisonCause {
    /// What was tried.
    pub operation: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// What a writer finds in the place of what it has locked.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} {what} while the store was open, so another process may be writing to it; what was acknowledged is in \
     the files that were there before: see `annals verify`", Escaped(path.display())
)]
pub(crate) struct Displaced {
    /// The file or directory.
    pub(crate) path: PathBuf,
    /// What happened to it.
    pub(crate) what: &'static str,
}

impl Displaced {
    /// Returns whether this is why an operation on a file failed.
    pub(crate) fn is_in(source: &io::Error) -> bool {
        matches!(source.get_ref(), Some(inner) if inner.is::<Self>())
    }
}

impl From<Displaced> for io::Error {
    fn from(displaced: Displaced) -> Self {
        Self::other(displaced)
    }
}

impl PoisonCause {
    /// Takes an error of annals itself for the cause, of writing to a file.
    #[cold]
    pub(crate) fn internal(error: Error, path: PathBuf) -> Self {
        Self { operation: "write to", path, source: io::Error::other(error) }
    }

    /// Returns whether files of the store were removed or replaced while it was open, as by another writer
    /// that got past the lock. Nothing failed then, and nothing was written into the files that are there now.
    pub fn is_displaced(&self) -> bool {
        Displaced::is_in(&self.source)
    }

    /// Takes an error of preparing to write for the cause.
    pub(crate) fn of(error: Error, log: &Path) -> Self {
        match error {
            Error::NoSpace { path, source } => Self { operation: "make room in", path, source },
            Error::Io { operation, path, source } => Self { operation, path, source },
            other => {
                let source = io::Error::other(other.to_string());
                Self { operation: "prepare", path: log.to_owned(), source }
            }
        }
    }
}
