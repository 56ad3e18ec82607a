//! The directory of a store: made, recognised, locked, identified.
//!
//! A store is made in an order that a crash can interrupt anywhere: the lock file, the log with its
//! first segment, and last the file `STORE`. A directory without `STORE` whose log holds no event is
//! a store whose making was interrupted, and is made anew.

use std::io::ErrorKind;
use std::sync::Arc;

use super::holes::{Holes, LOST_UNFINISHED};
use super::known_end::{self, END, END_UNFINISHED};
use super::ownership::Hold;
use super::rotation::Rotation;
use super::tail::CUT_DIRECTORY;
use crate::bugs::{self, Bug};
use crate::chance;
use crate::clock::Clock;
use crate::error::{Damage, Error, Result};
use crate::format::{EndFile, Fault, STORE_FILE_BYTES_MAX, StoreFile};
use crate::io::{Disk, DiskFile, MakeDirectory, OpenMode};
use crate::position::GlobalPosition;
use crate::segment::{self, Preallocation, Scan, Scanned, Segment, prepare};
use crate::sidecar::{Sidecar, Writing};

pub(crate) const LOCK: &str = "LOCK";
pub(crate) const STORE: &str = "STORE";
const STORE_UNFINISHED: &str = "STORE.tmp";
pub(crate) const LOG: &str = "log";
/// Marks the copy of a store that is not finished.
pub(crate) const SALVAGE: &str = "SALVAGE";
/// What is derived from the log.
pub(crate) const INDEX: &str = "index";

/// The directory of a store that exists.
pub(crate) struct Directory<D: Disk> {
    pub(crate) root: D,
    pub(crate) log: D,
    pub(crate) identity: StoreFile,
    /// What a repair has given up of the log.
    pub(crate) holes: Arc<Holes>,
    /// Held for writing.
    pub(crate) hold: Option<Hold<D>>,
}

impl<D: Disk> Directory<D> {
    /// Returns the records beside the log.
    pub(crate) fn sidecar(&self, writing: Writing) -> Sidecar<D> {
        let StoreFile { store_id, hash_key, .. } = self.identity;
        Sidecar::new(self.root.clone(), store_id, hash_key, writing)
    }
}

/// Opens a store for writing; makes it where there is none and nothing else is.
pub(crate) fn open_or_make<D: Disk>(
    root: D,
    clock: &Clock,
    segment_bytes: u64,
) -> Result<Directory<D>> {
    let names = list(&root)?;
    check_finished(&root, &names)?;
    let is_store = names.iter().any(|name| name == STORE);
    if !is_store {
        check_nothing_else(&root, &names)?;
    }
    let hold = Hold::take(&root)?;
    let root = hold.guard(root);
    // Between listing and locking another process may have made the store.
    let identity = match is_store || list(&root)?.iter().any(|name| name == STORE) {
        true => read_identity(&root)?,
        false => {
            let identity = make(&root, clock, segment_bytes)?;
            hold.lock_store()?;
            identity
        }
    };
    let log = log_directory(&root)?;
    remove_unfinished(&root, &log)?;
    let holes = Arc::new(Holes::read(&root, identity.store_id)?);
    Ok(Directory { root, log, identity, holes, hold: Some(hold) })
}

/// Opens a store for reading.
pub(crate) fn open<D: Disk>(root: D) -> Result<Directory<D>> {
    let names = list(&root)?;
    check_finished(&root, &names)?;
    if !names.iter().any(|name| name == STORE) {
        check_nothing_else(&root, &names)?;
        return Err(Error::Missing { path: root.path().to_owned() });
    }
    let identity = read_identity(&root)?;
    let log = log_directory(&root)?;
    let holes = Arc::new(Holes::read(&root, identity.store_id)?);
    Ok(Directory { root, log, identity, holes, hold: None })
}

fn list<D: Disk>(disk: &D) -> Result<Vec<String>> {
    disk.list().map_err(|source| Error::io("list", disk.path(), source))
}

/// Refuses the copy of a store that is not finished.
pub(crate) fn check_finished<D: Disk>(root: &D, names: &[String]) -> Result<()> {
    match names.iter().any(|name| name == SALVAGE) {
        true => {
            let found = format!("{SALVAGE}, the mark of a copy that was not finished");
            Err(Error::NotAStore { path: root.path().to_owned(), found })
        }
        false => Ok(()),
    }
}

/// Refuses a directory without `STORE` that holds something else than a store in the making.
fn check_nothing_else<D: Disk>(root: &D, names: &[String]) -> Result<()> {
    let refused = |found: &str| {
        Err(Error::NotAStore { path: root.path().to_owned(), found: found.to_owned() })
    };
    let log = match names.iter().any(|name| name == LOG) {
        true => match root.directory(LOG, MakeDirectory::Never) {
            Ok(log) => Some(log),
            Err(source) if source.kind() == ErrorKind::NotADirectory => return refused(LOG),
            Err(source) => return Err(Error::io("open", root.path().join(LOG), source)),
        },
        false => None,
    };
    let mut is_log_blank = true;
    if let Some(log) = log {
        for name in list(&log)? {
            let content = match segment::number_of(&name) {
                Some(number) => content(&log, number)?,
                None if segment::is_unfinished(&name) || name == END_UNFINISHED => Content::Blank,
                None if name == END => claimed_content(&log)?,
                None => Content::Foreign,
            };
            if content == Content::Events {
                return Err(Error::StoreFileMissing { path: root.path().to_owned() });
            }
            is_log_blank &= content == Content::Blank;
        }
    }
    let is_ours =
        |name: &str| matches!(name, LOCK | STORE_UNFINISHED | LOG | INDEX | CUT_DIRECTORY);
    match names.iter().find(|name| !is_ours(name)) {
        Some(foreign) => refused(foreign),
        None if !is_log_blank => refused("log with other files than segments, and no file STORE"),
        None => Ok(()),
    }
}

/// What a file of the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// No frame.
    Blank,
    /// What stands in a segment behind its header, as far as it is known.
    Events,
    /// Nothing that can be told to be of a store.
    Foreign,
}

/// Returns what a segment holds, as far as its header and what follows tell.
fn content<D: Disk>(log: &D, number: u64) -> Result<Content> {
    let segment = match Segment::open(log, number, OpenMode::Read) {
        Ok(segment) => segment,
        Err(Error::Damage(_)) => return Ok(Content::Foreign),
        Err(error) => return Err(error),
    };
    match Scan::new(&segment).advance()? {
        Scanned::Blank => Ok(Content::Blank),
        _ => Ok(Content::Events),
    }
}

/// Returns what the log holds, or held, as far as `END` tells.
fn claimed_content<D: Disk>(log: &D) -> Result<Content> {
    Ok(match known_end::claim_of_any_store(log)? {
        Some(claim) if claim.next_position == GlobalPosition::FIRST => Content::Blank,
        Some(_) => Content::Events,
        None => Content::Foreign,
    })
}

pub(crate) fn log_directory<D: Disk>(root: &D) -> Result<D> {
    root.directory(LOG, MakeDirectory::Never).map_err(|source| match source.kind() {
        ErrorKind::NotFound => Damage {
            file: root.path().join(LOG),
            offset: 0,
            reason: "the directory of the log is missing".to_owned(),
            first_lost: None,
            first_good_after: None,
        }
        .into(),
        _ => Error::io("open", root.path().join(LOG), source),
    })
}

pub(crate) fn read_identity<D: Disk>(root: &D) -> Result<StoreFile> {
    let path = root.path().join(STORE);
    let file = root.open(STORE, OpenMode::Read);
    let file = file.map_err(|source| Error::io("open", &path, source))?;
    // Longer than this version's, so that one of a newer format is judged by its own checksum.
    let mut bytes = [0; STORE_FILE_BYTES_MAX];
    let length = file.read_up_to(&mut bytes, 0);
    let length = length.map_err(|source| Error::Read { path: path.clone(), offset: 0, source })?;
    StoreFile::decode(bytes.get(..length).unwrap_or_default()).map_err(|fault| match fault {
        Fault::Newer { found, supported } => {
            Error::Incompatible { file: path.clone(), found, supported }
        }
        fault => Damage {
            file: path.clone(),
            offset: 0,
            reason: format!("store file: {fault}"),
            first_lost: None,
            first_good_after: None,
        }
        .into(),
    })
}

/// Makes a store, `STORE` last.
fn make<D: Disk>(root: &D, clock: &Clock, segment_bytes: u64) -> Result<StoreFile> {
    let failed = |source| Error::io("make a store in", root.path(), source);
    let identity = StoreFile {
        store_id: chance::unique(),
        hash_key: *chance::unique().as_bytes(),
        created_at: clock.now(),
    };
    let log = root.directory(LOG, MakeDirectory::IfAbsent).map_err(failed)?;
    for name in list(&log)? {
        log.remove(&name).map_err(failed)?;
    }
    // From the beginning, so that every copy of the log has one, and brings its own back.
    known_end::write(&log, &EndFile::of_nothing(identity.store_id))?;
    let header = Rotation::<D>::first_header(identity.store_id, segment_bytes);
    prepare(&log, header, Preallocation::Zeros)?;
    write_identity(root, &identity, Before::Nothing)?;
    Ok(identity)
}

/// What may stand in the place of a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// A file that is replaced.
    File,
}

/// Writes `STORE`, whole or not at all.
pub(crate) fn write_identity<D: Disk>(
    root: &D,
    identity: &StoreFile,
    before: Before,
) -> Result<()> {
    let failed = |source| Error::io("write", root.path().join(STORE), source);
    remove_if_there(root, STORE_UNFINISHED)?;
    let file = root.open(STORE_UNFINISHED, OpenMode::CreateNew).map_err(failed)?;
    file.write_all_at(&identity.encode(), 0).map_err(failed)?;
    if !bugs::on(Bug::StoreFileUnsynced) {
        file.sync_data().map_err(failed)?;
    }
    match before {
        Before::Nothing => root.rename_new(STORE_UNFINISHED, STORE).map_err(failed)?,
        Before::File => root.rename(STORE_UNFINISHED, STORE).map_err(failed)?,
    }
    root.sync_dir().map_err(failed)
}

/// Removes what an interrupted preparation left; nothing was ever recorded in it.
fn remove_unfinished<D: Disk>(root: &D, log: &D) -> Result<()> {
    remove_if_there(root, STORE_UNFINISHED)?;
    remove_if_there(root, LOST_UNFINISHED)?;
    remove_if_there(log, END_UNFINISHED)?;
    for name in list(log)?.iter().filter(|name| segment::is_unfinished(name)) {
        remove_if_there(log, name)?;
    }
    Ok(())
}

pub(crate) fn remove_if_there<D: Disk>(disk: &D, name: &str) -> Result<()> {
    match disk.remove(name) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::io("remove", disk.path().join(name), source))
        }
        _ => Ok(()),
    }
}
