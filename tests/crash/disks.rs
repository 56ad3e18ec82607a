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
    devices: Vec<LoopDevice>,
}

/// Whether a file system keeps a journal. One whose journal fails takes no more writes; one that has none
/// goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    /// All of its room was written before, so that only files can find none.
    Whole,
    /// It finds no more room than files do.
    Thin,
    None,
}

/// Where the file system is that a store is kept on.
const DISK: &str = "disk";

/// Where the image of a thin disk is.
const POOL: &str = "pool";

const IMAGE: &str = "image";

/// Where the journal of a file system of up to 32 MiB ends, and what else is not of files.
const JOURNAL_ENDS: usize = 7 << 20;

impl SmallDisk {
    /// Mounts a file system in memory.
    pub(crate) fn in_memory(size: &str) -> Option<Self> {
        let mut disk = Self::unmounted();
        disk.mount_memory(DISK, size).then_some(disk)
    }

    /// Mounts ext4 on a loop device.
    pub(crate) fn ext4(bytes: u64) -> Option<Self> {
        let mut disk = Self::unmounted();
        disk.make_image(&disk.directory.path().join(IMAGE), bytes, Journal::Whole).then_some(())?;
        disk.mount_image(&disk.directory.path().join(IMAGE)).then_some(disk)
    }

    /// Mounts ext4 on a loop device of which only a part can be filled: the device fails where the
    /// file system believes to have room.
    pub(crate) fn thin(bytes: u64, really: &str, journal: Journal) -> Option<Self> {
        let mut disk = Self::unmounted();
        disk.mount_memory(POOL, really).then_some(())?;
        disk.make_image(&disk.image_in_pool(), bytes, journal).then_some(())?;
        if journal == Journal::Whole {
            write_the_zeros(&disk.image_in_pool(), JOURNAL_ENDS);
        }
        disk.mount_image(&disk.image_in_pool()).then_some(disk)
    }

    fn unmounted() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in [DISK, POOL] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Self { directory, mounted: Vec::new(), devices: Vec::new() }
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
        // Nothing is reserved for root, nothing is left for later in the background, and what is not of
        // files comes first.
        let placed = "lazy_itable_init=0,packed_meta_blocks=1";
        let options = ["-q", "-F", "-b", "4096", "-m", "0", "-E", placed];
        let features = match journal {
            Journal::Whole | Journal::Thin => "has_journal",
            Journal::None => "^has_journal",
        };
        let options = options.into_iter().chain(["-O", features]);
        succeeds(Command::new("mkfs.ext4").args(options).arg(image))
    }

    fn mount_image(&mut self, image: &Path) -> bool {
        let Some(device) = LoopDevice::of(image) else {
            return false;
        };
        let mut mount = Command::new("mount");
        let is_mounted = succeeds(mount.arg(&device.path).arg(self.path()));
        if is_mounted {
            self.devices.push(device);
        }
        self.note_mounted(DISK, is_mounted)
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
        assert!(unmount(&self.path()), "nothing holds a file of it for long");
        self.mounted.pop();
        self.devices.clear();
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

/// Fills what begins a sparse file.
fn write_the_zeros(image: &Path, end: usize) {
    let bytes = fs::read(image).unwrap();
    let file = fs::File::options().write(true).open(image).unwrap();
    file.write_all_at(&bytes[..end], 0).unwrap();
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
            unmount(&self.directory.path().join(name));
            // What is mounted below holds its image.
            self.devices.clear();
        }
    }
}

/// A file as a device that takes one page at a time.
///
/// Where a file takes less than it is given, Linux 6.18 tells whoever wrote to the device that all of it
/// was written. A page is taken whole or not at all, so that such a device says which writes fail.
struct LoopDevice {
    path: PathBuf,
    /// The file that says how many KiB it takes at a time.
    limit: PathBuf,
    limit_before: String,
}

impl LoopDevice {
    fn of(image: &Path) -> Option<Self> {
        let made = Command::new("losetup").args(["--find", "--show"]).arg(image).output().ok()?;
        let path = PathBuf::from(String::from_utf8(made.stdout).ok()?.trim_end());
        let limit = Path::new("/sys/class/block").join(path.file_name()?);
        let limit = limit.join("queue/max_sectors_kb");
        let limit_before = fs::read_to_string(&limit).unwrap_or_default();
        let device = Self { path, limit, limit_before };
        fs::write(&device.limit, "4").is_ok().then_some(device)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // Before it is anybody else's.
        let _ = fs::write(&self.limit, &self.limit_before);
        let _ = Command::new("losetup").arg("--detach").arg(&self.path).output();
    }
}

/// Unmounts a file system. A process that is being started holds a copy of every descriptor until it runs.
fn unmount(path: &Path) -> bool {
    const TRIES: u32 = 500;
    (0..TRIES).any(|_| succeeds(Command::new("umount").arg(path)))
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
