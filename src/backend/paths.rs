//! The path of a store: opened, made, or refused with what is wrong with it.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::{Error, Result};
use crate::io::{Place, RealDisk, lies_inside, other_than_a_directory, place_at};

/// Opens the directory of a store that must exist.
pub(super) fn existing(path: &Path) -> Result<RealDisk> {
    RealDisk::open(path).map_err(|source| match (source.kind(), place_at(path)) {
        (ErrorKind::NotFound, Place::Nothing) => Error::Missing { path: path.to_owned() },
        _ => refused(path, "open", source),
    })
}

/// Opens the directory of a store, and makes it where nothing is.
pub(super) fn made(path: &Path) -> Result<RealDisk> {
    RealDisk::create(path).map_err(|source| match place_at(path) {
        Place::Something => refused(path, "open", source),
        _ => refused(path, "make", source),
    })
}

/// Returns the error for a path at which no store can be.
fn refused(path: &Path, operation: &'static str, source: io::Error) -> Error {
    match (source.kind(), place_at(path)) {
        (ErrorKind::NotADirectory | ErrorKind::AlreadyExists, _) => {
            let path = other_than_a_directory(path).unwrap_or(path).to_owned();
            Error::NotADirectory { path }
        }
        (ErrorKind::NotFound, Place::DanglingLink) => {
            let why = "it is a symbolic link to where nothing is";
            Error::io(operation, path, io::Error::new(ErrorKind::NotFound, why))
        }
        _ => Error::io(operation, path, source),
    }
}

/// Refuses a place for a copy that is the store itself or lies inside it.
pub(super) fn check_outside(copy: &Path, store: &Path) -> Result<()> {
    match lies_inside(copy, store) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::InsideStore { path: copy.to_owned(), store: store.to_owned() }),
        Err(source) => Err(Error::io("look for", copy, source)),
    }
}
