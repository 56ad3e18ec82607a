//! Holds the real disk to what can be seen of it from outside: paths, permissions, links, locks.

use std::io::ErrorKind;

use super::{kind, new_file, on_real};
use crate::io::{Disk, DiskFile, MakeDirectory, OpenMode, ReadMode, RealDisk, ViewedFile};

#[test]
fn directories_are_created_with_their_parents() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a").join("b");
    assert_eq!(kind(RealDisk::open(&path)), ErrorKind::NotFound);
    let disk = RealDisk::create(&path).unwrap();
    new_file(&disk, "file", b"0123");
    assert_eq!(RealDisk::create(&path).unwrap().list().unwrap(), ["file"]);
    assert_eq!(std::fs::read(path.join("file")).unwrap(), b"0123");
    assert_eq!(disk.path(), path);
}

#[test]
fn a_path_that_is_a_file_or_leads_through_one_is_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, b"").unwrap();
    assert_eq!(kind(RealDisk::create(&path)), ErrorKind::NotADirectory);
    assert_eq!(kind(RealDisk::open(&path)), ErrorKind::NotADirectory);
    assert!(RealDisk::create(&path.join("inside")).is_err());
    assert!(RealDisk::open(&path.join("inside")).is_err());
}

#[test]
fn two_openings_of_a_directory_exclude_each_other_by_its_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) =
        (RealDisk::open(directory.path()).unwrap(), RealDisk::open(directory.path()).unwrap());
    let lock = first.lock("lock").unwrap();
    assert_eq!(kind(second.lock("lock")), ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(kind(second.lock("lock")), ErrorKind::WouldBlock);
    drop(lock);
    second.lock("lock").unwrap();
}

#[test]
fn views_of_a_mapped_file_share_its_map() {
    let addresses = |disk: &RealDisk| {
        let file = ViewedFile::new(new_file(disk, "file", b"0123456789"));
        let (view, again) = (file.bytes(2, 4).unwrap(), file.bytes(2, 4).unwrap());
        (file.piece(2, 4).unwrap().as_ptr(), view.as_ptr(), again.as_ptr())
    };
    on_real(ReadMode::Map, |disk| {
        let (piece, view, again) = addresses(disk);
        assert_eq!([piece, view], [view, again]);
    });
    on_real(ReadMode::Read, |disk| {
        let (_, view, again) = addresses(disk);
        assert_ne!(view, again);
    });
}

#[test]
fn an_empty_file_is_not_mapped() {
    on_real(ReadMode::Map, |disk| assert!(new_file(disk, "empty", b"").map().unwrap().is_none()));
}

#[test]
fn what_is_not_mapped_is_not_read_instead() {
    let first_byte = |disk: &RealDisk, offset| {
        let file = ViewedFile::new(new_file(disk, &format!("file-{offset}"), b"0123"));
        file.mapped(offset, 1).map(|bytes| bytes[0])
    };
    on_real(ReadMode::Map, |disk| {
        assert_eq!(
            [2, 4, u64::MAX].map(|offset| first_byte(disk, offset)),
            [Some(b'2'), None, None]
        );
    });
    on_real(ReadMode::Read, |disk| assert_eq!(first_byte(disk, 2), None));
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    fn mode_of(path: &std::path::Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_directories_are_for_their_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a").join("store");
        let disk = RealDisk::create(&path).unwrap();
        new_file(&disk, "file", b"");
        disk.lock("lock").unwrap();
        disk.directory("log", MakeDirectory::IfAbsent).unwrap();
        assert_eq!(mode_of(&directory.path().join("a")), 0o700);
        assert_eq!(mode_of(&path), 0o700);
        assert_eq!(mode_of(&path.join("log")), 0o700);
        assert_eq!(mode_of(&path.join("file")), 0o600);
        assert_eq!(mode_of(&path.join("lock")), 0o600);
    }

    #[test]
    fn a_symbolic_link_is_never_followed_inside() {
        let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = outside.path().join("target");
        std::fs::write(&target, b"theirs").unwrap();
        symlink(&target, directory.path().join("file")).unwrap();
        symlink(outside.path().join("absent"), directory.path().join("dangling")).unwrap();
        symlink(outside.path(), directory.path().join("log")).unwrap();

        let disk = RealDisk::open(directory.path()).unwrap();
        for name in ["file", "dangling"] {
            for mode in [OpenMode::Read, OpenMode::Write, OpenMode::CreateNew] {
                assert!(disk.open(name, mode).is_err());
            }
            assert!(disk.lock(name).is_err());
        }
        for make in [MakeDirectory::IfAbsent, MakeDirectory::Never] {
            assert!(disk.directory("log", make).is_err());
        }
        assert_eq!(outside.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn the_directory_itself_may_be_reached_over_a_symbolic_link() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::fs::create_dir(directory.path().join("store")).unwrap();
        symlink(directory.path().join("store"), &link).unwrap();
        new_file(&RealDisk::create(&link).unwrap(), "file", b"");
        assert!(directory.path().join("store").join("file").exists());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pipe_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        assert_eq!(kind(disk.open("pipe", OpenMode::Read)), ErrorKind::InvalidInput);
        assert_eq!(kind(disk.open("pipe", OpenMode::Write)), ErrorKind::InvalidInput);
        assert_eq!(kind(disk.lock("pipe")), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_renamed_directory_is_still_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        let disk = RealDisk::create(&old).unwrap();
        std::fs::rename(&old, &new).unwrap();
        new_file(&disk, "file", b"");
        assert!(new.join("file").exists());
    }
}

/// A directory for temporary files on a file system that knows no holes fails it.
#[test]
#[cfg(target_os = "linux")]
fn room_that_is_given_back_takes_up_no_space() {
    use crate::io::PAGE_BYTES;

    on_real(ReadMode::Read, |disk| {
        let bytes = vec![b'x'; 256 << 10];
        let file = new_file(disk, "file", &bytes);
        file.sync_data().unwrap();
        let before = file.allocated_bytes().unwrap();
        file.give_back(PAGE_BYTES, 32 * PAGE_BYTES).unwrap();
        assert!(file.allocated_bytes().unwrap() <= before - 31 * PAGE_BYTES);
        assert_eq!(file.len().unwrap(), bytes.len() as u64);
    });
}
