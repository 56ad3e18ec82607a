//! A device that is full, and has room again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use annals::{Error, FileStore};

use crate::store::{append, read_from, small_segments};

/// A small file system in memory, for who may mount one.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(directory.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Fills the disk up but for so many bytes, and returns the file that does.
    fn fill_but(&self, room: usize) -> PathBuf {
        let filler = self.path().join("filler");
        let mut bytes = Vec::new();
        let is_full = |bytes: &Vec<u8>| fs::write(&filler, bytes).is_err();
        while !is_full(&bytes) {
            bytes.resize(bytes.len() + 16384, 1);
        }
        bytes.truncate(bytes.len().saturating_sub(16384 + room));
        fs::write(&filler, &bytes).unwrap();
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[test]
fn a_full_device_has_its_own_error_and_the_store_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("2m") else {
        return eprintln!(
            "skipped: a_full_device_has_its_own_error: no file system can be mounted"
        );
    };
    let path = disk.path().join("store");
    let store = FileStore::open_with(&path, small_segments()).unwrap();
    append(&store, 1, vec![1; 10_000]).unwrap();
    let filler = disk.fill_but(100_000);
    let mut number = 2;
    let refused = loop {
        match append(&store, number, vec![1; 10_000]) {
            Ok(position) => assert_eq!(position.get(), number),
            Err(error) => break error,
        }
        number += 1;
    };
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused:?}");
    let (events, error) = read_from(&store, 1);
    assert!(error.is_none());
    assert_eq!(events.len() as u64, number - 1, "everything before is there");
    fs::remove_file(filler).unwrap();
    assert_eq!(append(&store, number, vec![1; 10_000]).unwrap().get(), number);
    store.close().unwrap();
    let store = FileStore::open(&path).unwrap();
    assert_eq!(store.findings(), []);
    assert_eq!(read_from(&store, 1).0.len() as u64, number);
}

#[test]
fn a_device_without_room_for_a_store_is_said_to_be_full_and_a_store_can_be_made_later() {
    let Some(disk) = SmallDisk::mount("1m") else {
        return eprintln!("skipped: a_device_without_room: no file system can be mounted");
    };
    let filler = disk.fill_but(32_768);
    let path = disk.path().join("store");
    let refused = FileStore::open_with(&path, small_segments()).unwrap_err();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused:?}");
    fs::remove_file(filler).unwrap();
    let store = FileStore::open_with(&path, small_segments()).unwrap();
    append(&store, 1, vec![1]).unwrap();
}
