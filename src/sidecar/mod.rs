//! Small durable records beside the log: snapshots, checkpoints, the states of projections.
//!
//! Owns the folder `sidecar` of a store's directory: a folder for each kind of record, in it up to 256
//! folders, so that none gets too many files, and in these one file for each record, named by a hash of
//! the record's name. Knows nothing of what is in a record, and makes the folder only for the first one.
//!
//! Invariants:
//!
//! 1. When a write returns, the record is durable. A loss of power at any moment leaves the record that
//!    was there before or the new one, never a mixture: a file gets its name only once it is durable.
//! 2. What does not verify, or belongs elsewhere, is never given out as a record.
//! 3. No name of a record leaves the folder: files are named by hashes, and read by their exact names.
//! 4. One thread at a time writes to one of the folders of files.
//! 5. After closing nothing is written any more: another process may have the store.

#![forbid(unsafe_code)]

mod name;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::format::{Fault, RECORD_FILE_BYTES_MAX, RecordFile};
use crate::io::{Disk, DiskFile, MakeDirectory, OpenMode, Process};
use crate::record::{
    Record, RecordKind, RecordList, Unusable, UnusableRecord, check_content, check_name,
};
use name::{FileName, is_folder};

/// The folder of the records.
pub(crate) const SIDECAR: &str = "sidecar";

/// Locks of folders; each is for several.
const LOCKS: usize = 16;

/// The records of a store.
pub(crate) struct Sidecar<D: Disk> {
    /// The store's directory.
    root: D,
    store_id: Uuid,
    hash_key: [u8; 16],
    writing: RwLock<Writing>,
    /// For each share of the folders, those that are known to be there for good.
    made: [Mutex<BTreeSet<(RecordKind, String)>>; LOCKS],
    /// The process that opened the store.
    process: Process,
}

/// Whether records may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    /// They may.
    Allowed,
    /// The store is open for reading only.
    ReadOnly,
    /// The store is closed.
    Closed,
}

/// What is done with each file that has the name of a record, opened or not.
type Visit<'a, F> = &'a mut dyn FnMut(&FileName, std::io::Result<F>);

/// How much there is of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RecordSizes {
    /// Records, usable or not.
    pub(crate) records: u64,
    /// Bytes that they take up on the disk.
    pub(crate) disk_bytes: u64,
}

impl<D: Disk> Sidecar<D> {
    /// Returns the records of the store in a directory; nothing is looked at yet.
    pub(crate) fn new(root: D, store_id: Uuid, hash_key: [u8; 16], writing: Writing) -> Self {
        let made = std::array::from_fn(|_| Mutex::default());
        let (writing, process) = (RwLock::new(writing), Process::current());
        Self { root, store_id, hash_key, writing, made, process }
    }

    /// Writes a record in the place of the one before; it is durable when this returns.
    pub(crate) fn write(&self, kind: RecordKind, name: &str, content: &[u8]) -> Result<()> {
        check_name(name)?;
        check_content(content)?;
        let bytes = RecordFile::encode(self.store_id, kind, name, content);
        let file_name = self.file_name(name);
        self.change(kind, &file_name, MakeDirectory::IfAbsent, |folder| {
            let written = replace(folder, &file_name, &bytes);
            if written.is_err() {
                // Space may be what was missing. If this fails too, the next write does it.
                let _left_to_the_next = folder.remove(&file_name.unfinished());
            }
            written
        })
    }

    /// Removes a record, for good when this returns; one that is not there is no error.
    pub(crate) fn remove(&self, kind: RecordKind, name: &str) -> Result<()> {
        check_name(name)?;
        let file_name = self.file_name(name);
        self.change(kind, &file_name, MakeDirectory::Never, |folder| {
            remove_if_there(folder, &file_name.name())?;
            folder.sync_dir()
        })
    }

    /// Reads a record.
    pub(crate) fn read(&self, kind: RecordKind, name: &str) -> Result<Record> {
        check_name(name)?;
        let file_name = self.file_name(name);
        let path = || self.path_of(kind, &file_name);
        let file = self
            .folder(kind, file_name.folder())
            .and_then(|folder| folder.open(&file_name.name(), OpenMode::Read));
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Record::Absent),
            Err(error) => return Err(Error::io("open", path(), error)),
        };
        let record = decode(&file)
            .map_err(|source| Error::Read { path: path(), offset: 0, source })?
            .map_err(|fault| unusable(&fault));
        Ok(match record {
            Ok(record) if self.is_own(&record, kind, name) => Record::Found(record.content),
            Ok(_) => Record::Unusable(Unusable::Foreign),
            Err(why) => Record::Unusable(why),
        })
    }

    /// Refuses to write from now on, once what is being written is done.
    pub(crate) fn close(&self) {
        *self.writing.write() = Writing::Closed;
    }

    /// Looks at every record of a kind. One that can not be read does not keep the others from being
    /// looked at.
    pub(crate) fn list(&self, kind: RecordKind) -> Result<RecordList> {
        let (mut names, mut unusable) = (Vec::new(), Vec::new());
        self.walk(kind, &mut |file_name, file| match self.look(kind, file_name, file) {
            Ok(name) => names.push(name),
            Err(why) => unusable.push(UnusableRecord { file: self.path_of(kind, file_name), why }),
        })?;
        Ok(RecordList::new(names, unusable))
    }

    /// Looks at every record, and returns those that can not be used.
    pub(crate) fn check(&self) -> Result<Vec<UnusableRecord>> {
        let lists = RecordKind::ALL.into_iter().map(|kind| self.list(kind));
        Ok(lists.collect::<Result<Vec<_>>>()?.into_iter().flat_map(|it| it.unusable).collect())
    }

    /// Returns the name that a record has, or why it can not be used.
    fn look(
        &self,
        kind: RecordKind,
        file_name: &FileName,
        file: std::io::Result<D::File>,
    ) -> std::result::Result<String, String> {
        match file.and_then(|file| decode(&file)) {
            Ok(Ok(record)) => {
                let is_own = self.is_own(&record, kind, &record.name);
                let is_placed = self.file_name(&record.name).name() == file_name.name();
                if is_own && is_placed {
                    Ok(record.name)
                } else {
                    Err(Unusable::Foreign.to_string())
                }
            }
            Ok(Err(fault)) => Err(unusable(&fault).to_string()),
            Err(error) => Err(format!("it can not be read: {error}")),
        }
    }

    /// Gives every record of this store the file that it has under the store's key, which is another one once
    /// a repair has written the store's own file anew. What was interrupted is completed when this is done
    /// again, with any key.
    pub(crate) fn name_by_key(&self) -> Result<()> {
        let mut misnamed = Vec::new();
        for kind in RecordKind::ALL {
            self.walk(kind, &mut |file_name, file| {
                let record = file.and_then(|file| decode(&file));
                if let Ok(Ok(record)) = record
                    && self.is_own(&record, kind, &record.name)
                    && self.file_name(&record.name) != *file_name
                {
                    misnamed.push((kind, file_name.clone()));
                }
            })?;
        }
        for (kind, file_name) in misnamed {
            let path = || self.path_of(kind, &file_name);
            let file = self.folder(kind, file_name.folder());
            let file = file.and_then(|folder| folder.open(&file_name.name(), OpenMode::Read));
            let record = file.and_then(|file| decode(&file));
            let record = record.map_err(|source| Error::io("read", path(), source))?;
            let Ok(record) = record else { continue };
            self.write(kind, &record.name, &record.content)?;
            self.change(kind, &file_name, MakeDirectory::Never, |folder| {
                remove_if_there(folder, &file_name.name())?;
                folder.sync_dir()
            })?;
        }
        Ok(())
    }

    /// Counts the records and measures them, as far as they can be looked at.
    pub(crate) fn sizes(&self) -> Result<RecordSizes> {
        let mut sizes = RecordSizes::default();
        for kind in RecordKind::ALL {
            self.walk(kind, &mut |_, file| {
                sizes.records += 1;
                let bytes = file.and_then(|file| file.allocated_bytes());
                sizes.disk_bytes += bytes.unwrap_or_default();
            })?;
        }
        Ok(sizes)
    }

    /// Changes something in a folder that nobody else writes to meanwhile.
    fn change(
        &self,
        kind: RecordKind,
        file_name: &FileName,
        make: MakeDirectory,
        change: impl FnOnce(&D) -> std::io::Result<()>,
    ) -> Result<()> {
        if !self.process.is_current() {
            return Err(Error::Forked { path: self.root.path().to_owned() });
        }
        let writing = self.writing.read();
        match *writing {
            Writing::Allowed => {}
            Writing::ReadOnly => return Err(Error::ReadOnly),
            Writing::Closed => return Err(Error::Closed),
        }
        let lock = self.made.get(file_name.share(LOCKS));
        let lock =
            lock.ok_or(Error::Internal { invariant: "every folder of records has a lock" })?;
        let mut made = lock.lock();
        let folder_name = file_name.folder();
        let is_made = made.contains(&(kind, folder_name.to_owned()));
        let folder = match (is_made, make) {
            // A process that was killed may not have come to making the name of a folder durable.
            (false, MakeDirectory::IfAbsent) => self.make_folder(kind, folder_name),
            (true, MakeDirectory::IfAbsent) => match if_there(self.folder(kind, folder_name)) {
                // Somebody has removed it: nothing in it is needed.
                Ok(None) => self.make_folder(kind, folder_name),
                Ok(Some(folder)) => Ok(folder),
                Err(error) => Err(error),
            },
            (_, MakeDirectory::Never) => self.folder(kind, folder_name),
        };
        let changed = folder.and_then(|folder| change(&folder));
        match changed {
            Ok(()) if make == MakeDirectory::IfAbsent => {
                made.insert((kind, folder_name.to_owned()));
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) if make == MakeDirectory::Never && error.kind() == ErrorKind::NotFound => {
                Ok(())
            }
            Err(error) => Err(Error::io("write", self.path_of(kind, file_name), error)),
        }
    }

    fn make_folder(&self, kind: RecordKind, folder: &str) -> std::io::Result<D> {
        let make = MakeDirectory::IfAbsent;
        let kinds = self.root.directory(SIDECAR, make)?;
        kinds.directory(kind.name(), make)?.directory(folder, make)
    }

    fn folder(&self, kind: RecordKind, folder: &str) -> std::io::Result<D> {
        let never = MakeDirectory::Never;
        let kinds = self.root.directory(SIDECAR, never)?;
        kinds.directory(kind.name(), never)?.directory(folder, never)
    }

    /// Calls `visit` for every file of a kind that has the name of a record.
    fn walk(&self, kind: RecordKind, visit: Visit<'_, D::File>) -> Result<()> {
        self.walk_kind(kind, visit).map_err(|source| {
            Error::io("look at records in", self.root.path().join(SIDECAR), source)
        })
    }

    fn walk_kind(&self, kind: RecordKind, visit: Visit<'_, D::File>) -> std::io::Result<()> {
        let never = MakeDirectory::Never;
        let kinds = self.root.directory(SIDECAR, never);
        let Some(folders) = if_there(kinds.and_then(|it| it.directory(kind.name(), never)))? else {
            return Ok(());
        };
        for folder_name in folders.list()?.iter().filter(|name| is_folder(name)) {
            let Some(folder) = if_there(folders.directory(folder_name, never))? else { continue };
            for file_name in folder.list()?.iter().filter_map(|name| FileName::parse(name)) {
                // A writer may have removed it meanwhile.
                let file = if_there(folder.open(&file_name.name(), OpenMode::Read));
                if let Some(file) = file.transpose() {
                    visit(&file_name, file);
                }
            }
        }
        Ok(())
    }

    fn file_name(&self, name: &str) -> FileName {
        FileName::of(&self.hash_key, name)
    }

    fn is_own(&self, record: &RecordFile, kind: RecordKind, name: &str) -> bool {
        (record.store_id, record.kind, record.name.as_str()) == (self.store_id, kind, name)
    }

    fn path_of(&self, kind: RecordKind, file_name: &FileName) -> PathBuf {
        let folder = self.root.path().join(SIDECAR).join(kind.name());
        folder.join(file_name.folder()).join(file_name.name())
    }
}

/// Writes a file beside the one that is there, and in its place once it is durable.
fn replace(folder: &impl Disk, file_name: &FileName, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = file_name.unfinished();
    remove_if_there(folder, &unfinished)?;
    let file = folder.open(&unfinished, OpenMode::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    folder.rename(&unfinished, &file_name.name())?;
    folder.sync_dir()
}

/// Reads a file as a record; one byte more than the longest has is read, and refused.
fn decode(file: &impl DiskFile) -> std::io::Result<std::result::Result<RecordFile, Fault>> {
    Ok(RecordFile::decode(&file.read_bytes(0, RECORD_FILE_BYTES_MAX + 1)?))
}

fn unusable(fault: &Fault) -> Unusable {
    match fault {
        Fault::Short => Unusable::Cut,
        Fault::Magic | Fault::Checksum | Fault::Invalid(_) => Unusable::Damaged,
        Fault::Newer { .. } => Unusable::Newer,
    }
}

fn remove_if_there(disk: &impl Disk, name: &str) -> std::io::Result<()> {
    if_there(disk.remove(name)).map(drop)
}

fn if_there<T>(outcome: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match outcome {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
