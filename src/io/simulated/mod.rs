//! A disk that loses power: it knows what is durable and what is not, and can show what any crash at
//! any moment would leave.
//!
//! Writes, lengths and names become durable by a sync of their file or directory and by nothing
//! else. Every call that changes something is a moment; when asked to record, the disk keeps what it
//! held after each. From such a state, [`SimulatedDisk::crashed`] makes the disk that a loss of power
//! leaves and [`SimulatedDisk::killed`] the one that the end of the process leaves, where nothing is
//! lost yet and nothing is durable that was not. Whatever calls an earlier life still makes on its own
//! disk, it does not reach these.
//!
//! Invariants:
//!
//! 1. A sync that fails makes nothing durable, and no later one makes up for it: readers go on seeing
//!    what was written until the cache is dropped. Names are different: a directory whose sync failed
//!    keeps what is pending, as journals do.
//! 2. Making a directory syncs the one above, as the real disk does.
//! 3. The same calls on the same disk give the same disk.

#![forbid(unsafe_code)]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a simulation fails by panicking, and runs where numbers are of 64 bits"
)]

mod call;
mod contents;
mod crash;
mod files;
mod locks;

use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

pub use call::{Call, Failure};
pub use crash::Crash;

use crate::io::{Disk, DiskFile, Guard, Identity, MakeDirectory, OpenMode, advanced, check_name};
use files::{Change, Entry, Files, NameChange};
use locks::{SimulatedLock, identity_of};

/// What the disk held after a call.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The call.
    pub call: Call,
    /// Whether it failed.
    pub has_failed: bool,
    files: Files,
}

/// A directory on a simulated disk. Clones are the same directory.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    machine: Arc<Mutex<Machine>>,
    directory: usize,
    path: Arc<Path>,
}

/// A file on a simulated disk. It lives on when its name is gone.
#[derive(Debug)]
pub(crate) struct SimulatedFile {
    machine: Arc<Mutex<Machine>>,
    file: usize,
    mode: OpenMode,
}

/// A disk and who uses it.
#[derive(Debug)]
struct Machine {
    files: Files,
    locked: BTreeSet<(usize, String)>,
    /// Calls that change something.
    calls: u64,
    failure: Option<Failure>,
    moments: Option<Vec<Moment>>,
    /// The most bytes that one read or write moves.
    bytes_per_call_max: usize,
    /// How often the cache can not be dropped, as while another process has the files mapped.
    evictions_in_vain: u32,
}

impl SimulatedDisk {
    /// Returns an empty disk.
    #[expect(clippy::new_without_default, reason = "a disk is made on purpose")]
    pub fn new() -> Self {
        Self::holding(Files::new())
    }

    fn holding(files: Files) -> Self {
        let machine = Machine {
            files,
            locked: BTreeSet::new(),
            calls: 0,
            failure: None,
            moments: None,
            bytes_per_call_max: usize::MAX,
            evictions_in_vain: 0,
        };
        let machine = Arc::new(Mutex::new(machine));
        Self { machine, directory: 0, path: Path::new("/simulated").into() }
    }

    /// Keeps what the disk holds after every call from now on.
    pub fn record(&self) {
        self.machine.lock().moments = Some(Vec::new());
    }

    /// Ends recording and returns what was kept.
    pub fn take_moments(&self) -> Vec<Moment> {
        self.machine.lock().moments.take().unwrap_or_default()
    }

    /// Returns how many moments are recorded.
    pub fn moments(&self) -> usize {
        self.machine.lock().moments.as_ref().map_or(0, Vec::len)
    }

    /// Returns how many calls have changed something, or should have.
    pub fn calls(&self) -> u64 {
        self.machine.lock().calls
    }

    /// Lets everything that changes something fail from now on: whoever is left of a life does not
    /// waste time on it.
    pub fn unplug(&self) {
        let kind = ErrorKind::NotConnected;
        self.fail(Failure { after: 1, calls: u64::MAX, kind, is_partial: false });
    }

    /// Lets calls that change something fail.
    pub fn fail(&self, failure: Failure) {
        self.machine.lock().failure = Some(failure);
    }

    /// Takes back a failure to come.
    pub fn mend(&self) {
        self.machine.lock().failure = None;
    }

    /// Lets every read and write move at most so many bytes.
    pub fn limit_bytes_per_call(&self, most: usize) {
        self.machine.lock().bytes_per_call_max = most;
    }

    /// Lets so many attempts to drop a file's cache be in vain; `u32::MAX` stands for all.
    pub fn hold_cache(&self, evictions: u32) {
        self.machine.lock().evictions_in_vain = evictions;
    }

    /// Returns what the disk holds now, as after a call.
    pub fn now(&self) -> Moment {
        let files = self.machine.lock().files.clone();
        Moment { call: Call::Sync, has_failed: false, files }
    }

    /// As `now`, once the cache is dropped where it can be: after a failed sync it shows what the
    /// disk has not.
    pub fn behind_cache(&self) -> Moment {
        let mut now = self.now();
        if self.machine.lock().evictions_in_vain == 0 {
            let diverged = now.files.files.iter_mut().filter(|file| file.is_diverged);
            diverged.for_each(|file| Arc::make_mut(file).evict());
        }
        now
    }

    /// Returns the bytes of a file for a reader, by its path from the root.
    pub fn bytes_of(&self, path: &str) -> Option<Vec<u8>> {
        self.now().bytes_of(path)
    }

    /// Changes the bytes of a file behind everybody's back, durably.
    ///
    /// # Panics
    ///
    /// When there is no such file, or the offset lies behind its end.
    pub fn damage(&self, path: &str, offset: usize, bytes: &[u8]) {
        let mut machine = self.machine.lock();
        let Some(Entry::File(number)) = machine.files.find(path) else {
            panic!("there is no file {path}");
        };
        let file = Arc::make_mut(&mut machine.files.files[number]);
        assert!(offset + bytes.len() <= file.live.len(), "{path} is shorter");
        // What a call has made longer may not be durable yet.
        if file.durable.len() < file.live.len() {
            file.durable.set_len(file.live.len());
        }
        file.durable.write(offset, bytes);
        file.live.write(offset, bytes);
    }

    /// Puts the files of one directory in the place of those of the same directory of this disk,
    /// durably.
    ///
    /// # Panics
    ///
    /// When either has no such directory.
    pub fn graft(&self, path: &str, from: &Moment) {
        let mut machine = self.machine.lock();
        let files = &mut machine.files;
        let (Some(Entry::Directory(to)), Some(Entry::Directory(source))) =
            (files.find(path), from.files.find(path))
        else {
            panic!("there is no directory {path}");
        };
        let mut names = files::Names::new();
        for (name, entry) in &from.files.directories[source].live {
            if let Entry::File(number) = entry {
                files.files.push(Arc::clone(&from.files.files[*number]));
                names.insert(Arc::clone(name), Entry::File(files.files.len() - 1));
            }
        }
        let directory = files::Directory { durable: names.clone(), live: names, pending: vec![] };
        files.directories[to] = Arc::new(directory);
    }
}

impl Moment {
    /// Returns the disk that the end of the process leaves.
    pub fn killed(&self) -> SimulatedDisk {
        SimulatedDisk::holding(self.files.clone())
    }

    /// Returns the disk that a loss of power leaves.
    pub fn crashed(&self, crash: Crash) -> SimulatedDisk {
        SimulatedDisk::holding(self.files.crashed(crash))
    }

    /// Returns how many changes are pending.
    pub fn pending(&self) -> usize {
        self.files.pending()
    }

    /// Returns how many units are pending: sectors and changes of names of which losing one makes a
    /// difference.
    pub fn units(&self) -> usize {
        self.files.units()
    }

    /// Returns the lengths at which tearing the change behind the first `changes` makes a difference.
    pub fn tears(&self, changes: usize) -> Vec<usize> {
        self.files.tears(changes)
    }

    /// Returns the names in a directory for a reader, by its path from the root.
    pub fn names(&self, path: &str) -> Vec<String> {
        match self.files.find(path) {
            Some(Entry::Directory(number)) => {
                self.files.directories[number].live.keys().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the bytes of a file for a reader, by its path from the root.
    pub fn bytes_of(&self, path: &str) -> Option<Vec<u8>> {
        match self.files.find(path)? {
            Entry::File(number) => {
                let live = &self.files.files[number].live;
                Some(live.bytes(0, live.len()))
            }
            Entry::Directory(_) => None,
        }
    }
}

impl Machine {
    /// Counts a call and fails if it is to; `change` is then not made.
    fn call<T>(&mut self, call: Call, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.calls += 1;
        let failed = self.next_failure();
        let outcome = match failed {
            Some(failure) => Err(failure.kind.into()),
            None => change(self),
        };
        self.keep(call, failed.is_some());
        outcome
    }

    fn keep(&mut self, call: Call, has_failed: bool) {
        if let Some(moments) = &mut self.moments {
            moments.push(Moment { call, has_failed, files: self.files.clone() });
        }
    }

    fn next_failure(&mut self) -> Option<Failure> {
        let failure = self.failure.as_mut()?;
        if failure.after > 1 {
            failure.after -= 1;
            return None;
        }
        let failed = *failure;
        failure.calls = failure.calls.saturating_sub(1);
        if failure.calls == 0 {
            self.failure = None;
        }
        Some(failed)
    }

    fn file_mut(&mut self, file: usize) -> &mut files::File {
        Arc::make_mut(&mut self.files.files[file])
    }

    fn find(&self, directory: usize, name: &str) -> Result<Entry> {
        let found = self.files.directories[directory].live.get(name);
        found.copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn find_file(&self, directory: usize, name: &str) -> Result<usize> {
        match self.find(directory, name)? {
            Entry::File(number) => Ok(number),
            Entry::Directory(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn find_directory(&self, directory: usize, name: &str) -> Result<usize> {
        match self.find(directory, name)? {
            Entry::Directory(number) => Ok(number),
            Entry::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn create(&mut self, call: Call, directory: usize, name: &str) -> Result<usize> {
        self.call(call, |machine| {
            let entry = machine.files.add_file();
            machine.files.change_names(directory, NameChange::Add { name: name.into(), entry });
            Ok(machine.files.files.len() - 1)
        })
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;
    type Lock = SimulatedLock;

    fn path(&self) -> &Path {
        &self.path
    }

    fn directory(&self, name: &str, make: MakeDirectory) -> Result<Self> {
        check_name(name)?;
        let mut machine = self.machine.lock();
        if make == MakeDirectory::IfAbsent {
            if machine.find(self.directory, name).is_err() {
                machine.call(Call::MakeDirectory, |machine| {
                    let entry = machine.files.add_directory();
                    let added = NameChange::Add { name: name.into(), entry };
                    machine.files.change_names(self.directory, added);
                    Ok(())
                })?;
            }
            machine.sync_directory(self.directory)?;
        }
        let directory = machine.find_directory(self.directory, name)?;
        let (machine, path) = (Arc::clone(&self.machine), self.path.join(name).into());
        Ok(Self { machine, directory, path })
    }

    fn list(&self) -> Result<Vec<String>> {
        let machine = self.machine.lock();
        Ok(machine.files.directories[self.directory].live.keys().map(ToString::to_string).collect())
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<SimulatedFile> {
        check_name(name)?;
        let mut machine = self.machine.lock();
        let file = match (mode, machine.find(self.directory, name)) {
            (OpenMode::CreateNew, Ok(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (OpenMode::CreateNew, Err(_)) => machine.create(Call::Create, self.directory, name)?,
            _ => machine.find_file(self.directory, name)?,
        };
        Ok(SimulatedFile { machine: Arc::clone(&self.machine), file, mode })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut machine = self.machine.lock();
        let entry = Entry::File(machine.find_file(self.directory, from)?);
        if matches!(machine.find(self.directory, to), Ok(Entry::Directory(_))) {
            return Err(ErrorKind::IsADirectory.into());
        }
        machine.call(Call::Rename, |machine| {
            let renamed = NameChange::Rename { from: from.into(), to: to.into(), entry };
            machine.files.change_names(self.directory, renamed);
            Ok(())
        })
    }

    fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        let is_taken = self.machine.lock().find(self.directory, to).is_ok();
        match is_taken {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => self.rename(from, to),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let mut machine = self.machine.lock();
        let entry = Entry::File(machine.find_file(self.directory, name)?);
        machine.call(Call::Remove, |machine| {
            let removed = NameChange::Remove { name: name.into(), entry };
            machine.files.change_names(self.directory, removed);
            Ok(())
        })
    }

    fn sync_dir(&self) -> Result<()> {
        self.machine.lock().sync_directory(self.directory)
    }

    fn lock(&self, name: &str) -> Result<SimulatedLock> {
        check_name(name)?;
        let mut machine = self.machine.lock();
        let file = match machine.find_file(self.directory, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                machine.create(Call::Lock, self.directory, name)?
            }
            found => found?,
        };
        self.take_lock(&mut machine, name, Entry::File(file))
    }

    fn lock_existing(&self, name: &str) -> Result<SimulatedLock> {
        let mut machine = self.machine.lock();
        let file = machine.find_file(self.directory, name)?;
        self.take_lock(&mut machine, name, Entry::File(file))
    }

    fn lock_directory(&self) -> Result<SimulatedLock> {
        self.take_lock(&mut self.machine.lock(), ".", Entry::Directory(self.directory))
    }

    fn identity(&self) -> Result<Identity> {
        Ok(identity_of(Entry::Directory(self.directory)))
    }

    fn identity_of(&self, name: &str) -> Result<Identity> {
        self.machine.lock().find(self.directory, name).map(identity_of)
    }

    fn guarded(self, _guard: Arc<dyn Guard>) -> Self {
        self
    }
}

impl Machine {
    fn sync_directory(&mut self, directory: usize) -> Result<()> {
        self.call(Call::SyncDirectory, |machine| {
            Arc::make_mut(&mut machine.files.directories[directory]).sync();
            Ok(())
        })
    }
}

impl SimulatedFile {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock()
    }

    fn writable(&self) -> Result<MutexGuard<'_, Machine>> {
        match self.mode {
            OpenMode::Read => Err(Error::new(ErrorKind::PermissionDenied, "opened for reading")),
            OpenMode::Write | OpenMode::CreateNew => Ok(self.machine()),
        }
    }

    fn change(&self, call: Call, change: Change) -> Result<()> {
        self.writable()?.call(call, |machine| {
            machine.files.change_file(self.file, change);
            Ok(())
        })
    }

    /// Syncs; when that fails, what was to become durable is forgotten.
    fn sync(&self, call: Call, sync: impl FnOnce(&mut files::File)) -> Result<()> {
        let mut machine = self.machine();
        machine.calls += 1;
        let failure = machine.next_failure();
        match failure {
            Some(_) => machine.file_mut(self.file).fail_to_sync(),
            None => sync(machine.file_mut(self.file)),
        }
        machine.keep(call, failure.is_some());
        failure.map_or(Ok(()), |failure| Err(failure.kind.into()))
    }
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> Result<u64> {
        Ok(self.machine().files.files[self.file].live.len() as u64)
    }

    fn identity(&self) -> Result<Identity> {
        Ok(identity_of(Entry::File(self.file)))
    }

    fn allocated_bytes(&self) -> Result<u64> {
        self.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let machine = self.machine();
        let most = buffer.len().min(machine.bytes_per_call_max);
        let live = &machine.files.files[self.file].live;
        Ok(match usize::try_from(offset) {
            Ok(offset) if offset < live.len() => live.read(offset, &mut buffer[..most]),
            _ => 0,
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize> {
        let mut machine = self.writable()?;
        let mut count = bytes.len().min(machine.bytes_per_call_max);
        advanced(offset, count)?;
        machine.calls += 1;
        let failure = machine.next_failure();
        if let Some(failure) = &failure {
            count = if failure.is_partial { count / 2 } else { 0 };
        }
        let bytes = Bytes::copy_from_slice(&bytes[..count]);
        if !bytes.is_empty() {
            machine.files.change_file(self.file, Change::Write { offset: offset as usize, bytes });
        }
        machine.keep(Call::Write, failure.is_some());
        failure.map_or(Ok(count), |failure| Err(failure.kind.into()))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.change(Call::SetLen, Change::SetLen(len as usize))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let len = self.len()?.max(len);
        self.change(Call::Allocate, Change::SetLen(len as usize))
    }

    fn give_back(&self, offset: u64, len: u64) -> Result<()> {
        let len = self.len()?.saturating_sub(offset).min(len);
        let bytes = vec![0; len as usize].into();
        self.change(Call::GiveBack, Change::Write { offset: offset as usize, bytes })
    }

    fn sync_data(&self) -> Result<()> {
        self.sync(Call::Sync, files::File::sync)
    }

    fn write_out(&self, _offset: u64, _len: u64) -> Result<()> {
        self.sync(Call::WriteOut, |_| {})
    }

    fn begin_write_out(&self, _offset: u64, _len: u64) -> Result<()> {
        self.sync(Call::BeginWriteOut, |_| {})
    }

    fn read_finely(&self, _offset: u64, _len: u64) -> Result<()> {
        Ok(())
    }

    fn evict(&self) -> Result<()> {
        let mut machine = self.machine();
        match machine.evictions_in_vain {
            0 if machine.files.files[self.file].is_diverged => {
                machine.file_mut(self.file).evict();
            }
            0 | u32::MAX => {}
            _ => machine.evictions_in_vain -= 1,
        }
        Ok(())
    }
}
