//! What a writer holds of a store, and whether the names in its directory still lead there.
//!
//! A writer locks, in this order, the directory of the store, the file `LOCK` and the file `STORE`. One of
//! them alone could be removed or replaced, and a second writer would lock what is there then; with each
//! of the others held it is refused. Versions before this one lock `LOCK` alone, and are refused by it.
//! While a store is made it has no `STORE` yet; the directory is locked by then.
//!
//! What is locked is compared with what the names lead to before a name is changed (the [`Guard`] of the
//! directories), at every rollover and when the store is closed, and never at a commit.
//!
//! The path of the store is not compared. A writer works in the directory that it opened, wherever that was
//! moved to, and a store that is made at the old path is in another directory.
//!
//! Invariants:
//!
//! 1. Nothing is made, replaced or removed in a directory whose names lead elsewhere by then, in a process
//!    that was forked from the one that opened the store, or once the store is closed.
//! 2. A forked process never lets go of a lock of its parent.

use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use super::directory::{LOCK, LOG, STORE};
use crate::error::{Displaced, Error, PoisonCause, Result};
use crate::io::{Disk, DiskFile, DiskLock, Guard, Identity, Process};
use crate::segment::{self, Segment};

/// What one writer holds of a store.
pub(crate) struct Ownership<D: Disk> {
    /// The directory of the store, without a guard.
    root: D,
    process: Process,
    /// `None` once the store is closed.
    held: RwLock<Option<Held<D>>>,
}

struct Held<D: Disk> {
    /// Each with the name that leads to it.
    files: Vec<(&'static str, Identity)>,
    log: Option<Log<D>>,
    /// Of `STORE`, once there is one. It is let go first.
    store: Option<D::Lock>,
    /// Of `LOCK`.
    _lock: D::Lock,
    /// Of the directory.
    _directory: D::Lock,
}

/// The directory of the log and the segment that takes commits.
struct Log<D> {
    disk: D,
    identity: Identity,
    active: Option<(u64, Identity)>,
}

/// Lets go of what a writer holds when it is dropped.
pub(crate) struct Hold<D: Disk>(Arc<Ownership<D>>);

impl<D: Disk> Hold<D> {
    /// Locks the store in a directory, or the directory of a store that is to be made.
    pub(crate) fn take(root: &D) -> Result<Self> {
        let directory = root.lock_directory().map_err(|source| refused(root, "", source))?;
        let lock = root.lock(LOCK).map_err(|source| refused(root, LOCK, source))?;
        let lock_identity =
            lock.identity().map_err(|source| Error::io("look at", path_of(root, LOCK), source))?;
        let files = vec![(LOCK, lock_identity)];
        let held = Held { files, log: None, store: None, _lock: lock, _directory: directory };
        let hold = Self(Arc::new(Ownership {
            root: root.clone(),
            process: Process::current(),
            held: RwLock::new(Some(held)),
        }));
        match hold.0.root.identity_of(STORE) {
            Ok(_) => hold.lock_store()?,
            Err(source) if source.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(Error::io("look at", path_of(root, STORE), source)),
        }
        // What was locked may have been replaced between its opening and its locking.
        hold.0.check().map_err(|source| refused(root, LOCK, source))?;
        Ok(hold)
    }

    /// Locks the file `STORE`, which is there by now, or another than before.
    pub(crate) fn lock_store(&self) -> Result<()> {
        let root = &self.0.root;
        if let Some(held) = &mut *self.0.held.write() {
            // The one before was replaced by whoever holds the directory and `LOCK`, which is this writer.
            held.files.retain(|(name, _)| *name != STORE);
            held.store = None;
        }
        let store = root.lock_existing(STORE).map_err(|source| refused(root, STORE, source))?;
        let identity = store
            .identity()
            .map_err(|source| Error::io("look at", path_of(root, STORE), source))?;
        if let Some(held) = &mut *self.0.held.write() {
            held.files.push((STORE, identity));
            held.store = Some(store);
        }
        Ok(())
    }

    /// Returns the directory of the store, in which no name is changed that is not this writer's.
    pub(crate) fn guard(&self, root: D) -> D {
        root.guarded(Arc::clone(&self.0) as Arc<dyn Guard>)
    }

    pub(crate) fn ownership(&self) -> &Arc<Ownership<D>> {
        &self.0
    }
}

impl<D: Disk> Drop for Hold<D> {
    fn drop(&mut self) {
        // In a forked process a thread that is not there may have been looking at it.
        if self.0.process.is_current() {
            drop(self.0.held.write().take());
        }
    }
}

impl<D: Disk> Ownership<D> {
    /// Takes note of the directory of the log and of the segment that takes commits from now on.
    pub(crate) fn follow(&self, log: &D, active: &Segment<D::File>) -> IoResult<()> {
        let identity = log.identity()?;
        let active = Some((active.header().number, active.file().identity()?));
        if let Some(held) = &mut *self.held.write() {
            held.log = Some(Log { disk: log.clone(), identity, active });
        }
        Ok(())
    }

    /// As [`Guard::check`], with the error of a store that takes no more commits.
    pub(crate) fn check_kept(&self) -> Result<(), NotKept> {
        self.check().map_err(|source| NotKept::of(Error::io("look at", self.root.path(), source)))
    }

    fn compare(&self, held: &Held<D>) -> IoResult<()> {
        for (name, identity) in &held.files {
            compare(&self.root, name, *identity)?;
        }
        let Some(log) = &held.log else { return Ok(()) };
        compare(&self.root, LOG, log.identity)?;
        match &log.active {
            Some((number, identity)) => compare(&log.disk, &segment::name(*number), *identity),
            None => Ok(()),
        }
    }
}

impl<D: Disk> Guard for Ownership<D> {
    fn check(&self) -> IoResult<()> {
        if !self.process.is_current() {
            return Err(IoError::other(
                "the store was opened by the process that this is a fork of",
            ));
        }
        match &*self.held.read() {
            Some(held) => self.compare(held),
            None => Err(IoError::other("the store is closed")),
        }
    }
}

/// Why a commit is not written.
pub(crate) enum NotKept {
    /// The files are no longer this writer's, now and for good.
    Displaced(PoisonCause),
    /// Nobody could tell.
    Unknown(Error),
}

impl NotKept {
    /// Tells a store that is gone from a failure that may pass.
    pub(crate) fn of(error: Error) -> Self {
        match error {
            Error::Io { path, source, .. } if Displaced::is_in(&source) => {
                Self::Displaced(PoisonCause { operation: "keep hold of", path, source })
            }
            other => Self::Unknown(other),
        }
    }
}

/// Compares what a name leads to with what it has led to.
fn compare(disk: &impl Disk, name: &str, identity: Identity) -> IoResult<()> {
    let what = match disk.identity_of(name) {
        Ok(found) if found == identity => return Ok(()),
        Ok(_) => "was replaced",
        Err(error) if error.kind() == ErrorKind::NotFound => "was removed",
        Err(error) => return Err(error),
    };
    Err(Displaced { path: disk.path().join(name), what }.into())
}

fn path_of(root: &impl Disk, name: &str) -> PathBuf {
    root.path().join(name)
}

/// Returns the error of a store that could not be locked.
fn refused(root: &impl Disk, name: &str, source: IoError) -> Error {
    match source.kind() {
        ErrorKind::WouldBlock => Error::Locked { path: root.path().to_owned() },
        _ if Displaced::is_in(&source) => Error::Locked { path: root.path().to_owned() },
        _ => Error::io("lock", path_of(root, name), source),
    }
}
