//! A disk in memory that knows which events are durable, and lets other threads go on before and
//! after each write and each sync of the log.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Result};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::sync::point;
use crate::io::{Disk, DiskFile, Guard, Identity, MakeDirectory, MemoryDisk, OpenMode};

/// What every payload begins with; the event's number in eight digits follows.
pub(super) const MARK: &[u8] = b"event no. ";
const DIGITS: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Watched {
    disk: MemoryDisk,
    watch: Arc<Mutex<Watch>>,
}

pub(super) struct WatchedFile {
    file: <MemoryDisk as Disk>::File,
    watch: Arc<Mutex<Watch>>,
    /// Events that were written since the last sync.
    written: Mutex<Vec<u64>>,
}

#[derive(Debug, Default)]
struct Watch {
    durable: BTreeSet<u64>,
    most_in_a_write: usize,
    trouble: Option<(u32, Trouble)>,
}

/// What a panic that the disk was told to raise carries.
pub(super) struct Told;

/// What a write or a sync of the log comes to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    WriteFails,
    SyncFails,
    WritePanics,
    SyncPanics,
}

impl Watched {
    pub(super) fn over(disk: MemoryDisk) -> Self {
        Self { disk, watch: Arc::default() }
    }

    /// Lets the `nth` next write or sync of the log come to grief; 1 is the next.
    pub(super) fn expect(&self, nth: u32, trouble: Trouble) {
        self.watch.lock().trouble = Some((nth, trouble));
    }

    pub(super) fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    pub(super) fn is_durable(&self, number: u64) -> bool {
        self.watch.lock().durable.contains(&number)
    }

    /// Returns how many events the largest group had that was written.
    pub(super) fn most_in_a_write(&self) -> usize {
        self.watch.lock().most_in_a_write
    }
}

impl Watch {
    /// Returns whether a call fails. Panics without a message if it is to.
    fn meet(&mut self, fails: fn(Trouble) -> bool, panics: fn(Trouble) -> bool) -> Result<()> {
        let Some((nth, trouble)) = self.trouble else { return Ok(()) };
        if !fails(trouble) && !panics(trouble) {
            return Ok(());
        }
        self.trouble = (nth > 1).then_some((nth - 1, trouble));
        match nth == 1 {
            true if fails(trouble) => Err(ErrorKind::Other.into()),
            true => resume_unwind(Box::new(Told)),
            false => Ok(()),
        }
    }
}

/// Returns the numbers of the events in bytes of the log.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let marked = |at: &usize| bytes[*at] == MARK[0] && bytes[*at..].starts_with(MARK);
    (0..length).filter(marked).map(|at| number_of(&bytes[at..])).collect()
}

/// Returns the number of the event that a payload tells of.
pub(super) fn number_of(payload: &[u8]) -> u64 {
    let digits = &payload[MARK.len()..][..DIGITS];
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

impl Disk for Watched {
    type File = WatchedFile;
    type Lock = <MemoryDisk as Disk>::Lock;

    fn path(&self) -> &Path {
        self.disk.path()
    }

    fn directory(&self, name: &str, make: MakeDirectory) -> Result<Self> {
        Ok(Self { disk: self.disk.directory(name, make)?, watch: Arc::clone(&self.watch) })
    }

    fn list(&self) -> Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<WatchedFile> {
        let file = self.disk.open(name, mode)?;
        Ok(WatchedFile { file, watch: Arc::clone(&self.watch), written: Mutex::default() })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename_new(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> Result<()> {
        self.disk.sync_dir()
    }

    fn lock(&self, name: &str) -> Result<Self::Lock> {
        self.disk.lock(name)
    }

    fn lock_existing(&self, name: &str) -> Result<Self::Lock> {
        self.disk.lock_existing(name)
    }

    fn lock_directory(&self) -> Result<Self::Lock> {
        self.disk.lock_directory()
    }

    fn identity(&self) -> Result<Identity> {
        self.disk.identity()
    }

    fn identity_of(&self, name: &str) -> Result<Identity> {
        self.disk.identity_of(name)
    }

    fn guarded(self, _guard: Arc<dyn Guard>) -> Self {
        self
    }
}

impl DiskFile for WatchedFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn identity(&self) -> Result<Identity> {
        self.file.identity()
    }

    fn allocated_bytes(&self) -> Result<u64> {
        self.file.allocated_bytes()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        point();
        let fails = |trouble| matches!(trouble, Trouble::WriteFails);
        self.watch.lock().meet(fails, |trouble| matches!(trouble, Trouble::WritePanics))?;
        let count = self.file.write_at(bytes, offset)?;
        let numbers = numbers(&bytes[..count]);
        let mut watch = self.watch.lock();
        watch.most_in_a_write = watch.most_in_a_write.max(numbers.len());
        self.written.lock().extend(numbers);
        Ok(count)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.file.allocate(len)
    }

    fn give_back(&self, offset: u64, len: u64) -> Result<()> {
        self.file.give_back(offset, len)
    }

    fn sync_data(&self) -> Result<()> {
        point();
        let written = std::mem::take(&mut *self.written.lock());
        let fails = |trouble| matches!(trouble, Trouble::SyncFails);
        self.watch.lock().meet(fails, |trouble| matches!(trouble, Trouble::SyncPanics))?;
        self.file.sync_data()?;
        self.watch.lock().durable.extend(written);
        point();
        Ok(())
    }

    fn write_out(&self, offset: u64, len: u64) -> Result<()> {
        self.file.write_out(offset, len)
    }

    fn begin_write_out(&self, offset: u64, len: u64) -> Result<()> {
        self.file.begin_write_out(offset, len)
    }

    fn evict(&self) -> Result<()> {
        self.file.evict()
    }

    fn read_finely(&self, offset: u64, len: u64) -> Result<()> {
        self.file.read_finely(offset, len)
    }
}
