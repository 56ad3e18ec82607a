//! Small file systems of one's own, for who may mount them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system that is gone when this is dropped.
pub(crate) struct SmallDisk {
    directory: tempfile::TempDir,
    /// What was mounted, in this order, below the directory.
    mounted: Vec<&'static str>,
}

/// Whether a file system keeps a journal. One that does stops taking writes when its device fails; one
/// that does not goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    Kept,
    None,
}

/// Where the file system is that a store is kept on.
const DISK: &str = "disk";

/// Where the image of a thin disk is.
const POOL: &str = "pool";

const IMAGE: &str = "image";

impl SmallDisk {
    /// Mounts a file system in memory.
    pub(crate) fn in_memory(size: &str) -> Option<Self> {
        let mut disk = Self::unmounted();
        disk.mount_memory(DISK, size).then_some(disk)
    }

    /// Mounts ext4 on a loop device.
    pub(crate) fn ext4(bytes: u64) -> Option<Self> {
        let mut disk = Self::unmounted();
        disk.make_image(&disk.directory.path().join(IMAGE), bytes, Journal::Kept).then_some(())?;
        disk.mount_image(&disk.directory.path().join(IMAGE)).then_some(disk)
    }

    /// Mounts ext4 on a loop device of which only a part can be filled: the device fails where the
    /// file system believes to have room.
    pub(crate) fn thin(bytes: u64, really: &str, journal: Journal) -> Option<Self> {
        let mut disk = Self::unmounted();
        disk.mount_memory(POOL, really).then_some(())?;
        disk.make_image(&disk.image_in_pool(), bytes, journal).then_some(())?;
        disk.mount_image(&disk.image_in_pool()).then_some(disk)
    }

    fn unmounted() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in [DISK, POOL] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Self { directory, mounted: Vec::new() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(DISK)
    }

    fn image_in_pool(&self) -> PathBuf {
        self.directory.path().join(POOL).join(IMAGE)
    }

    fn mount_memory(&mut self, at: &'static str, size: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        mount.arg(self.directory.path().join(at));
        self.note_mounted(at, succeeds(&mut mount))
    }

    fn make_image(&self, image: &Path, bytes: u64, journal: Journal) -> bool {
        fs::File::create(image).and_then(|file| file.set_len(bytes)).unwrap();
        // Nothing is reserved for root, and nothing is left for later in the background.
        let options = ["-q", "-F", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0"];
        let features = match journal {
            Journal::Kept => "has_journal",
            Journal::None => "^has_journal",
        };
        let options = options.into_iter().chain(["-O", features]);
        succeeds(Command::new("mkfs.ext4").args(options).arg(image))
    }

    fn mount_image(&mut self, image: &Path) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(image).arg(self.path());
        self.note_mounted(DISK, succeeds(&mut mount))
    }

    fn note_mounted(&mut self, at: &'static str, is_mounted: bool) -> bool {
        if is_mounted {
            self.mounted.push(at);
        }
        is_mounted
    }

    /// Lets all of a thin disk be filled from now on.
    pub(crate) fn thicken(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,size=100%"]).arg(self.directory.path().join(POOL));
        assert!(succeeds(&mut mount));
    }

    /// Mounts a thin disk anew, so that nothing is cached of it.
    pub(crate) fn mount_again(&mut self) {
        assert!(succeeds(Command::new("umount").arg(self.path())));
        self.mounted.pop();
        assert!(self.mount_image(&self.image_in_pool()));
    }

    /// Fills the disk up but for so many bytes, and returns the file that does.
    pub(crate) fn fill_but(&self, room: u64) -> PathBuf {
        const PIECE: [u8; 4096] = [1; 4096];
        let filler = self.path().join("filler");
        let file = fs::File::create(&filler).unwrap();
        let mut length = 0;
        while file.write_all_at(&PIECE, length).is_ok() {
            length += PIECE.len() as u64;
        }
        file.set_len(length.saturating_sub(room)).unwrap();
        file.sync_all().unwrap();
        filler
    }
}

/// Removes what fills a disk. Its space is given back even when a process that is being started holds
/// a copy of a descriptor for a moment.
pub(crate) fn make_room(filler: &Path) {
    fs::File::options().write(true).open(filler).and_then(|file| file.set_len(0)).unwrap();
    fs::remove_file(filler).unwrap();
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        for name in self.mounted.iter().rev() {
            let _ = Command::new("umount").arg(self.directory.path().join(name)).status();
        }
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
