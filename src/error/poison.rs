//! Poison: the failure after which a store refuses writes.

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

impl PoisonCause {
    /// Takes an error of annals itself for the cause, of writing to a file.
    #[cold]
    pub(crate) fn internal(error: Error, path: PathBuf) -> Self {
        Self { operation: "write to", path, source: io::Error::other(error) }
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
