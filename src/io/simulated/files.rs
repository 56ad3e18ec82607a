//! What a simulated disk holds: for each file and directory what is durable, what a reader sees,
//! and what lies between.
//!
//! Invariants:
//!
//! 1. What is durable, with every pending change, is what a reader sees; only a failed sync, which
//!    forgets changes that the reader goes on seeing, breaks this until the cache is dropped.
//! 2. Changes are numbered in the order in which they were asked for, over all files.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::contents::Contents;

/// What a device writes whole or not at all, unless it tears.
pub(super) const SECTOR_BYTES: usize = 512;

/// A change of a file or of a directory that is not durable yet.
#[derive(Debug, Clone)]
pub(super) struct Pending<C> {
    /// Its place among the changes of the whole disk.
    pub(super) number: u64,
    pub(super) change: C,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Bytes },
    SetLen(usize),
}

impl Change {
    pub(super) fn apply(&self, contents: &mut Contents) {
        match self {
            Self::Write { offset, bytes } => contents.write(*offset, bytes),
            Self::SetLen(len) => contents.set_len(*len),
        }
    }
}

/// A file.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    pub(super) durable: Contents,
    pub(super) live: Contents,
    pub(super) pending: Vec<Pending<Change>>,
    /// Whether a failed sync has forgotten changes that `live` still shows.
    pub(super) is_diverged: bool,
    /// What durable zeros stand in the place of, by sector: a device that loses the zeros gives it
    /// back.
    pub(super) buried: BTreeMap<usize, [u8; SECTOR_BYTES]>,
}

impl File {
    pub(super) fn change(&mut self, number: u64, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(Pending { number, change });
    }

    /// Makes the pending changes durable.
    pub(super) fn sync(&mut self) {
        for sector in self.written_sectors() {
            self.bury(sector);
        }
        for Pending { change, .. } in &self.pending {
            change.apply(&mut self.durable);
        }
        self.pending.clear();
        if !self.is_diverged {
            self.durable = self.live.clone();
        }
    }

    /// Forgets the pending changes, which readers go on seeing.
    pub(super) fn fail_to_sync(&mut self) {
        self.is_diverged |= !self.pending.is_empty();
        self.pending.clear();
    }

    /// Drops what readers see and the disk has not, but for what is still to be written.
    pub(super) fn evict(&mut self) {
        if self.is_diverged {
            self.live = self.durable.clone();
            for Pending { change, .. } in &self.pending {
                change.apply(&mut self.live);
            }
            self.is_diverged = false;
        }
    }

    /// Returns the sectors that pending writes touch, in order.
    fn written_sectors(&self) -> Vec<usize> {
        let mut sectors: Vec<_> =
            self.pending.iter().flat_map(|pending| sectors(&pending.change)).collect();
        sectors.sort_unstable();
        sectors.dedup();
        sectors
    }

    /// Returns the sectors of which losing the pending writes makes a difference, in order.
    pub(super) fn changed_sectors(&self) -> Vec<usize> {
        let mut sectors = self.written_sectors();
        sectors
            .retain(|sector| !self.durable.agrees(&self.live, sector * SECTOR_BYTES, SECTOR_BYTES));
        sectors
    }

    fn bury(&mut self, sector: usize) {
        let offset = sector * SECTOR_BYTES;
        match self.live.is_blank(offset, SECTOR_BYTES) {
            true if self.durable.is_blank(offset, SECTOR_BYTES) => {}
            true => {
                let mut old = [0; SECTOR_BYTES];
                self.durable.read(offset, &mut old);
                self.buried.insert(sector, old);
            }
            false => _ = self.buried.remove(&sector),
        }
    }
}

/// Returns the sectors that a change writes to.
pub(super) fn sectors(change: &Change) -> std::ops::Range<usize> {
    match change {
        Change::Write { offset, bytes } => {
            offset / SECTOR_BYTES..(offset + bytes.len()).div_ceil(SECTOR_BYTES)
        }
        Change::SetLen(_) => 0..0,
    }
}

/// What a name leads to: the number of a file or of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    File(usize),
    Directory(usize),
}

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Add { name: Arc<str>, entry: Entry },
    Rename { from: Arc<str>, to: Arc<str>, entry: Entry },
    Remove { name: Arc<str>, entry: Entry },
}

pub(super) type Names = BTreeMap<Arc<str>, Entry>;

impl NameChange {
    /// Changes names, also when changes before this one were lost.
    pub(super) fn apply(&self, names: &mut Names) {
        let mut remove = |name: &Arc<str>, entry: &Entry| {
            if names.get(name) == Some(entry) {
                names.remove(name);
            }
        };
        match self {
            Self::Add { name, entry } => _ = names.insert(Arc::clone(name), *entry),
            Self::Remove { name, entry } => remove(name, entry),
            Self::Rename { from, to, entry } => {
                remove(from, entry);
                names.insert(Arc::clone(to), *entry);
            }
        }
    }
}

/// A directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    pub(super) durable: Names,
    pub(super) live: Names,
    pub(super) pending: Vec<Pending<NameChange>>,
}

impl Directory {
    pub(super) fn change(&mut self, number: u64, change: NameChange) {
        change.apply(&mut self.live);
        self.pending.push(Pending { number, change });
    }

    pub(super) fn sync(&mut self) {
        self.durable = self.live.clone();
        self.pending.clear();
    }
}

/// Everything on a disk, cheap to copy.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) files: Vec<Arc<File>>,
    /// The root is the first.
    pub(super) directories: Vec<Arc<Directory>>,
    /// How many changes were asked for.
    pub(super) changes: u64,
}

impl Files {
    pub(super) fn new() -> Self {
        Self { files: Vec::new(), directories: vec![Arc::default()], changes: 0 }
    }

    pub(super) fn change_file(&mut self, file: usize, change: Change) {
        self.changes += 1;
        Arc::make_mut(&mut self.files[file]).change(self.changes, change);
    }

    pub(super) fn change_names(&mut self, directory: usize, change: NameChange) {
        self.changes += 1;
        Arc::make_mut(&mut self.directories[directory]).change(self.changes, change);
    }

    pub(super) fn add_file(&mut self) -> Entry {
        self.files.push(Arc::default());
        Entry::File(self.files.len() - 1)
    }

    pub(super) fn add_directory(&mut self) -> Entry {
        self.directories.push(Arc::default());
        Entry::Directory(self.directories.len() - 1)
    }

    /// Returns what a path from the root leads to for a reader.
    pub(super) fn find(&self, path: &str) -> Option<Entry> {
        path.split('/').try_fold(Entry::Directory(0), |entry, name| match entry {
            Entry::Directory(number) => self.directories[number].live.get(name).copied(),
            Entry::File(_) => None,
        })
    }
}
