//! The locks of a simulated disk, and what tells its files and directories apart.

use std::io::{ErrorKind, Result};
use std::sync::Arc;

use parking_lot::Mutex;

use super::files::Entry;
use super::{Machine, SimulatedDisk};
use crate::io::{DiskLock, Identity};

/// A lock on a file of a simulated disk.
#[derive(Debug)]
pub(crate) struct SimulatedLock {
    pub(super) machine: Arc<Mutex<Machine>>,
    pub(super) name: (usize, String),
    pub(super) identity: Identity,
}

/// Tells what is on a disk apart by its number there.
pub(super) fn identity_of(entry: Entry) -> Identity {
    match entry {
        Entry::Directory(number) => Identity { device: 0, number: number as u64 },
        Entry::File(number) => Identity { device: 1, number: number as u64 },
    }
}

impl SimulatedDisk {
    pub(super) fn take_lock(
        &self,
        machine: &mut Machine,
        name: &str,
        entry: Entry,
    ) -> Result<SimulatedLock> {
        let name = (self.directory, name.to_owned());
        let identity = identity_of(entry);
        match machine.locked.insert(name.clone()) {
            true => Ok(SimulatedLock { machine: Arc::clone(&self.machine), name, identity }),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl DiskLock for SimulatedLock {
    fn identity(&self) -> Result<Identity> {
        Ok(self.identity)
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.machine.lock().locked.remove(&self.name);
    }
}
