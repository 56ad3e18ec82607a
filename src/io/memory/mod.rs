//! A disk in memory, for tests: as fast as memory, and it fails when it is told to.
//!
//! Behaves as the real disk does as long as nothing crashes: everything counts as durable at once.
//! A tree of directories is shared by the clones of a disk and by its directories. Files are named
//! by their path from the root of the tree, such as `log/1`, where a test reaches for one.

#![forbid(unsafe_code)]
#![allow(clippy::panic, reason = "it panics when a test tells it to")]
#![cfg_attr(not(test), allow(dead_code, reason = "only unit tests let it fail"))]

mod gate;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use self::gate::{Gate, pass_gate};
use crate::io::platform::DEVICE_ERROR;
use crate::io::{
    Disk, DiskFile, DiskLock, Guard, Identity, MakeDirectory, Map, OpenMode, advanced, check_name,
};

/// Bytes that a system reads and caches as one, and that one sector makes unreadable.
const CACHED_BYTES: u64 = 64 << 10;

/// What a disk is asked to do, as counted and as made to fail.
///
/// Nothing is mapped: looking at a range is counted as the reads that it takes, and that a map was asked for
/// as [`Map`](Self::Map), on a disk that may be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    Directory,
    List,
    Open,
    Rename,
    Remove,
    SyncDir,
    Lock,
    Len,
    Read,
    Write,
    SetLen,
    Allocate,
    GiveBack,
    Sync,
    WriteOut,
    BeginWriteOut,
    Evict,
    ReadFinely,
    Map,
}

/// A directory in memory.
#[derive(Debug, Clone)]
pub(crate) struct MemoryDisk {
    tree: Arc<Mutex<Tree>>,
    /// The directory's path from the root; empty for the root.
    directory: PathBuf,
    is_unmapped: bool,
}

/// A file in memory. It lives on when its name is gone.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    tree: Arc<Mutex<Tree>>,
    path: PathBuf,
    contents: Arc<Mutex<Vec<u8>>>,
    mode: OpenMode,
    is_unmapped: bool,
    /// Whether a sector that cannot be read makes no others an error.
    is_read_finely: AtomicBool,
}

/// A lock on a file in memory.
#[derive(Debug)]
pub(crate) struct MemoryLock {
    tree: Arc<Mutex<Tree>>,
    path: PathBuf,
    identity: Identity,
}

#[derive(Debug, Default)]
struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
    locked: BTreeSet<PathBuf>,
    calls: BTreeMap<Operation, u64>,
    faults: Vec<Fault>,
    gates: BTreeMap<Operation, Arc<Gate>>,
    /// The most bytes that one read or write moves.
    bytes_per_call_max: Option<usize>,
    /// Ranges of files that can not be read.
    unreadable: Vec<(PathBuf, Range<u64>)>,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory,
    File(Arc<Mutex<Vec<u8>>>),
}

/// A failure to come.
#[derive(Debug)]
struct Fault {
    /// `None` for every operation.
    operation: Option<Operation>,
    /// How many calls it waits for, that which fails included.
    calls_left: u32,
    lasts: Lasts,
    trouble: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    OneCall,
    UntilMended,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Error(ErrorKind),
    Panic,
}

impl MemoryDisk {
    /// Returns an empty directory.
    pub(crate) fn new() -> Self {
        Self { tree: Arc::default(), directory: PathBuf::new(), is_unmapped: false }
    }

    /// Lets the `nth` next call of an operation fail, once; 1 is the next.
    ///
    /// The call changes nothing. What is set to fail adds up.
    pub(crate) fn fail(&self, operation: Operation, nth: u32, kind: ErrorKind) {
        self.expect_trouble(Some(operation), nth, Lasts::OneCall, Trouble::Error(kind));
    }

    /// Lets the next call of an operation panic, once.
    pub(crate) fn panic_at(&self, operation: Operation) {
        self.expect_trouble(Some(operation), 1, Lasts::OneCall, Trouble::Panic);
    }

    /// Lets every call of an operation fail until the disk is mended.
    pub(crate) fn break_down(&self, operation: Operation, kind: ErrorKind) {
        self.expect_trouble(Some(operation), 1, Lasts::UntilMended, Trouble::Error(kind));
    }

    /// Lets the `nth` next call fail, whatever it is; 1 is the next.
    pub(crate) fn fail_any(&self, nth: u32, kind: ErrorKind) {
        self.expect_trouble(None, nth, Lasts::OneCall, Trouble::Error(kind));
    }

    /// Lets the `nth` next call and all after it fail, until the disk is mended: what a process that
    /// was killed there would have left is what the disk then holds.
    pub(crate) fn stop_at(&self, nth: u32) {
        self.expect_trouble(None, nth, Lasts::UntilMended, Trouble::Error(ErrorKind::Other));
    }

    /// Takes back every failure to come.
    pub(crate) fn mend(&self) {
        self.tree.lock().faults.clear();
    }

    /// Tells whether a failure is still to come.
    pub(crate) fn is_to_fail(&self) -> bool {
        self.tree.lock().faults.iter().any(|fault| fault.calls_left > 0)
    }

    /// Returns a disk of its own with the same directories and files: what a crash now would leave.
    pub(crate) fn copy(&self) -> Self {
        let tree = self.tree.lock();
        let copies = tree.entries.iter().map(|(path, entry)| {
            let entry = match entry {
                Entry::Directory => Entry::Directory,
                Entry::File(contents) => Entry::File(Arc::new(Mutex::new(contents.lock().clone()))),
            };
            (path.clone(), entry)
        });
        let unreadable = tree.unreadable.clone();
        let tree = Tree { entries: copies.collect(), unreadable, ..Tree::default() };
        Self { tree: Arc::new(Mutex::new(tree)), ..self.clone() }
    }

    fn expect_trouble(
        &self,
        operation: Option<Operation>,
        nth: u32,
        lasts: Lasts,
        trouble: Trouble,
    ) {
        let fault = Fault { operation, calls_left: nth, lasts, trouble };
        self.tree.lock().faults.push(fault);
    }

    /// Returns how often an operation was called, failures included.
    pub(crate) fn calls(&self, operation: Operation) -> u64 {
        self.tree.lock().calls.get(&operation).copied().unwrap_or_default()
    }

    /// Makes reads and writes short: at most `bytes` a call, from now on.
    pub(crate) fn limit_bytes_per_call(&self, bytes: usize) {
        self.tree.lock().bytes_per_call_max = Some(bytes);
    }

    /// Lets every read fail that touches a range of a file, whatever the file's name comes to mean; and
    /// those that touch the large pieces of the range's bytes too, until the file is read finely.
    pub(crate) fn lose(&self, path: &str, range: Range<u64>) {
        self.tree.lock().unreadable.push((path.into(), range));
    }

    /// Returns the paths of all files, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let tree = self.tree.lock();
        let files = tree.entries.iter().filter(|(_, entry)| matches!(entry, Entry::File(_)));
        files.map(|(path, _)| path.to_string_lossy().replace('\\', "/")).collect()
    }

    /// Returns the contents of a file.
    pub(crate) fn bytes_of(&self, path: &str) -> Result<Vec<u8>> {
        let contents = self.tree.lock().file(Path::new(path))?;
        let bytes = contents.lock().clone();
        Ok(bytes)
    }

    /// Replaces the contents of a file, under everybody who has it open; makes it when absent.
    pub(crate) fn set_bytes(&self, path: &str, bytes: Vec<u8>) {
        let mut tree = self.tree.lock();
        match tree.file(Path::new(path)) {
            Ok(contents) => *contents.lock() = bytes,
            Err(_) => {
                let entry = Entry::File(Arc::new(Mutex::new(bytes)));
                tree.entries.insert(path.into(), entry);
            }
        }
    }

    /// Counts a call on this directory, and returns the tree unless the call is to fail.
    fn call(&self, operation: Operation) -> Result<MutexGuard<'_, Tree>> {
        let mut tree = self.tree.lock();
        pass_gate(&mut tree, operation);
        tree.call(operation)?;
        Ok(tree)
    }

    fn take_lock(&self, tree: &mut Tree, path: PathBuf, identity: Identity) -> Result<MemoryLock> {
        if !tree.locked.insert(path.clone()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(MemoryLock { tree: Arc::clone(&self.tree), path, identity })
    }

    fn named(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.directory.join(name))
    }
}

impl Tree {
    fn call(&mut self, operation: Operation) -> Result<()> {
        *self.calls.entry(operation).or_default() += 1;
        let mut met = None;
        self.faults.retain_mut(|fault| {
            if fault.operation.is_some_and(|own| own != operation) {
                return true;
            }
            fault.calls_left = fault.calls_left.saturating_sub(1);
            if fault.calls_left == 0 {
                met = Some(fault.trouble);
            }
            fault.calls_left > 0 || fault.lasts == Lasts::UntilMended
        });
        match met {
            None => Ok(()),
            Some(Trouble::Error(kind)) => Err(kind.into()),
            Some(Trouble::Panic) => panic!("the disk was told to panic at {operation:?}"),
        }
    }

    fn file(&self, path: &Path) -> Result<Arc<Mutex<Vec<u8>>>> {
        match self.entries.get(path) {
            Some(Entry::File(contents)) => Ok(Arc::clone(contents)),
            Some(Entry::Directory) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn make_file(&mut self, path: &Path) -> Result<Arc<Mutex<Vec<u8>>>> {
        if self.entries.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let contents = Arc::default();
        self.entries.insert(path.into(), Entry::File(Arc::clone(&contents)));
        Ok(contents)
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn path(&self) -> &Path {
        &self.directory
    }

    fn unmapped(self) -> Self {
        Self { is_unmapped: true, ..self }
    }

    fn directory(&self, name: &str, make: MakeDirectory) -> Result<Self> {
        let directory = self.named(name)?;
        let mut tree = self.call(Operation::Directory)?;
        match tree.entries.get(&directory) {
            Some(Entry::Directory) => {}
            Some(Entry::File(_)) => return Err(ErrorKind::NotADirectory.into()),
            None if make == MakeDirectory::Never => return Err(ErrorKind::NotFound.into()),
            None => _ = tree.entries.insert(directory.clone(), Entry::Directory),
        }
        Ok(Self { directory, ..self.clone() })
    }

    fn list(&self) -> Result<Vec<String>> {
        let tree = self.call(Operation::List)?;
        let inside = tree.entries.keys().filter(|path| path.parent() == Some(&self.directory));
        let names = inside.filter_map(|path| path.file_name());
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<MemoryFile> {
        let path = self.named(name)?;
        let mut tree = self.call(Operation::Open)?;
        let contents = match mode {
            OpenMode::CreateNew => tree.make_file(&path)?,
            OpenMode::Read | OpenMode::Write => tree.file(&path)?,
        };
        drop(tree);
        let (tree, is_unmapped) = (Arc::clone(&self.tree), self.is_unmapped);
        let is_read_finely = AtomicBool::new(false);
        Ok(MemoryFile { tree, path, contents, mode, is_unmapped, is_read_finely })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.named(from)?, self.named(to)?);
        let mut tree = self.call(Operation::Rename)?;
        let contents = tree.file(&from)?;
        if let Some(Entry::Directory) = tree.entries.get(&to) {
            return Err(ErrorKind::IsADirectory.into());
        }
        tree.entries.remove(&from);
        tree.entries.insert(to, Entry::File(contents));
        Ok(())
    }

    fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        let is_taken = self.tree.lock().entries.contains_key(&self.named(to)?);
        match is_taken {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => self.rename(from, to),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.named(name)?;
        let mut tree = self.call(Operation::Remove)?;
        tree.file(&path)?;
        tree.entries.remove(&path);
        Ok(())
    }

    fn sync_dir(&self) -> Result<()> {
        self.call(Operation::SyncDir).map(drop)
    }

    fn lock(&self, name: &str) -> Result<MemoryLock> {
        let path = self.named(name)?;
        let mut tree = self.call(Operation::Lock)?;
        let contents = tree.file(&path).or_else(|_| tree.make_file(&path))?;
        self.take_lock(&mut tree, path, identity_of(&contents))
    }

    fn lock_existing(&self, name: &str) -> Result<MemoryLock> {
        let path = self.named(name)?;
        let mut tree = self.tree.lock();
        let contents = tree.file(&path)?;
        self.take_lock(&mut tree, path, identity_of(&contents))
    }

    fn lock_directory(&self) -> Result<MemoryLock> {
        self.take_lock(&mut self.tree.lock(), self.directory.clone(), DIRECTORY)
    }

    fn identity(&self) -> Result<Identity> {
        Ok(DIRECTORY)
    }

    fn identity_of(&self, name: &str) -> Result<Identity> {
        let path = self.named(name)?;
        match self.tree.lock().entries.get(&path) {
            Some(Entry::File(contents)) => Ok(identity_of(contents)),
            Some(Entry::Directory) => Ok(DIRECTORY),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn guarded(self, _guard: Arc<dyn Guard>) -> Self {
        self
    }
}

/// What stands for every directory.
const DIRECTORY: Identity = Identity { device: 0, number: 0 };

/// Tells a file from every other by where its contents are.
fn identity_of(contents: &Arc<Mutex<Vec<u8>>>) -> Identity {
    Identity { device: 1, number: Arc::as_ptr(contents).addr() as u64 }
}

impl DiskLock for MemoryLock {
    fn identity(&self) -> Result<Identity> {
        Ok(self.identity)
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.tree.lock().locked.remove(&self.path);
    }
}

impl MemoryFile {
    /// Counts a call, and returns how many of `len` bytes it may move unless it is to fail.
    fn call(&self, operation: Operation, len: usize) -> Result<usize> {
        let mut tree = self.tree.lock();
        pass_gate(&mut tree, operation);
        tree.call(operation)?;
        Ok(tree.bytes_per_call_max.map_or(len, |most| most.min(len)))
    }

    /// Returns what the device is asked for when a range is read: all of the large pieces in which the
    /// system caches it, unless the file is read finely.
    fn cached_with(&self, range: Range<u64>) -> Range<u64> {
        match self.is_read_finely.load(Ordering::Relaxed) {
            true => range,
            false => {
                let start = range.start / CACHED_BYTES * CACHED_BYTES;
                start..range.end.div_ceil(CACHED_BYTES) * CACHED_BYTES
            }
        }
    }

    fn check_writable(&self) -> Result<()> {
        match self.mode {
            OpenMode::Read => Err(Error::new(ErrorKind::PermissionDenied, "opened for reading")),
            OpenMode::Write | OpenMode::CreateNew => Ok(()),
        }
    }
}

/// Turns an offset into an index.
fn index(offset: u64) -> Result<usize> {
    usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge.into())
}

impl DiskFile for MemoryFile {
    fn len(&self) -> Result<u64> {
        self.call(Operation::Len, 0)?;
        advanced(0, self.contents.lock().len())
    }

    fn identity(&self) -> Result<Identity> {
        Ok(identity_of(&self.contents))
    }

    fn allocated_bytes(&self) -> Result<u64> {
        self.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let most = self.call(Operation::Read, buffer.len())?;
        let read = self.cached_with(offset..advanced(offset, most)?);
        let is_lost = |(path, range): &(PathBuf, Range<u64>)| {
            *path == self.path && range.start < read.end && read.start < range.end
        };
        if self.tree.lock().unreadable.iter().any(is_lost) {
            return Err(Error::from_raw_os_error(DEVICE_ERROR));
        }
        let contents = self.contents.lock();
        let there = index(offset).ok().and_then(|start| contents.get(start..)).unwrap_or_default();
        let count = there.len().min(most);
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), there.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        self.check_writable()?;
        let count = self.call(Operation::Write, bytes.len())?;
        let (start, end) = (index(offset)?, index(advanced(offset, count)?)?);
        let mut contents = self.contents.lock();
        let len = contents.len().max(end);
        contents.resize(len, 0);
        let target = contents.get_mut(start..end).unwrap_or_default();
        target.copy_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.check_writable()?;
        self.call(Operation::SetLen, 0)?;
        self.contents.lock().resize(index(len)?, 0);
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.check_writable()?;
        self.call(Operation::Allocate, 0)?;
        let mut contents = self.contents.lock();
        let len = contents.len().max(index(len)?);
        contents.resize(len, 0);
        Ok(())
    }

    fn give_back(&self, offset: u64, len: u64) -> Result<()> {
        self.check_writable()?;
        self.call(Operation::GiveBack, 0)?;
        let (start, end) = (index(offset)?, index(offset.saturating_add(len))?);
        let mut contents = self.contents.lock();
        let end = end.min(contents.len());
        contents.get_mut(start..end).unwrap_or_default().fill(0);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.call(Operation::Sync, 0).map(drop)
    }

    fn write_out(&self, _offset: u64, _len: u64) -> Result<()> {
        self.call(Operation::WriteOut, 0).map(drop)
    }

    fn begin_write_out(&self, _offset: u64, _len: u64) -> Result<()> {
        self.call(Operation::BeginWriteOut, 0).map(drop)
    }

    fn evict(&self) -> Result<()> {
        self.call(Operation::Evict, 0).map(drop)
    }

    fn read_finely(&self, _offset: u64, _len: u64) -> Result<()> {
        self.call(Operation::ReadFinely, 0)?;
        self.is_read_finely.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn map(&self) -> Result<Option<Map>> {
        if !self.is_unmapped {
            *self.tree.lock().calls.entry(Operation::Map).or_default() += 1;
        }
        Ok(None)
    }
}
