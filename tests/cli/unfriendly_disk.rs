//! Disks that do not take what is written: no permission, no room.
//!
//! Both need rights that not every machine gives; a test that can not run says so by its name.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{PROGRAM, Place, Ran, assert_are_lines, events_of, lines};

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

fn is_root(place: &Place) -> bool {
    fs::metadata(place.path()).unwrap().uid() == 0
}

#[test]
fn a_read_only_directory_is_named_and_the_store_in_it_can_be_read() {
    let place = Place::new();
    place.file("events", lines(10));
    let (closed, program) = (place.path().join("closed"), place.path().join("annals"));
    fs::create_dir(&closed).unwrap();
    place.run("import events --store closed/store").printed();
    // By another program: a child of another test would inherit the open copy of this one, and until it has
    // closed that the system starts no program from it.
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    set_modes(&closed, 0o555, 0o444);

    let run = |arguments: &str| {
        let mut command = Command::new(&program);
        command.current_dir(place.path()).args(arguments.split(' ')).stdin(Stdio::null());
        if is_root(&place) {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().map(Ran::from)
    };
    let Ok(ran) = run("import events --store closed/new") else {
        eprintln!("skipped: a_read_only_directory_is_named_and_the_store_in_it_can_be_read");
        return;
    };
    ran.failed(1, &["closed", "ermission denied"]);
    let ran = run("import events --store closed/store").unwrap();
    ran.failed(1, &["closed/store", "ermission denied"]);
    assert_eq!(run("read --store closed/store").unwrap().printed().lines().count(), 10);
    let ran = run("verify --store closed/store").unwrap();
    assert!(ran.printed().contains("intact: 10 events"), "{ran:?}");
    run("stats --store closed/store").unwrap().printed();
    assert_eq!(fs::read_dir(&closed).unwrap().count(), 1);
    // A store that is there and closed to the user was one that could not be made.
    let set_mode = |mode| {
        fs::set_permissions(closed.join("store"), Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o000);
    for command in ["import events", "read", "stats", "verify", "repair --yes"] {
        let ran = run(&format!("{command} --store closed/store")).unwrap();
        ran.failed(1, &["can not open closed/store", "ermission denied"]);
    }
    set_mode(0o755);
    set_modes(&closed, 0o755, 0o644);
}

/// Sets the permissions of all directories and files from `path` down.
fn set_modes(path: &Path, directories: u32, files: u32) {
    if !path.is_dir() {
        return fs::set_permissions(path, Permissions::from_mode(files)).unwrap();
    }
    fs::set_permissions(path, Permissions::from_mode(directories)).unwrap();
    for entry in fs::read_dir(path).unwrap() {
        set_modes(&entry.unwrap().path(), directories, files);
    }
}

/// A file system of its own, in memory; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: &Place) -> Option<Self> {
        let path = place.path().join("disk");
        fs::create_dir(&path).unwrap();
        let mounted = is_root(place)
            && mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], &path).unwrap_or(false);
        mounted.then_some(Self(path))
    }

    fn enlarge(&self) {
        assert!(mount(&["-o", "remount,size=64m"], &self.0).unwrap());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> std::io::Result<bool> {
    let mut command = Command::new("mount");
    command.args(arguments).arg(path).stderr(Stdio::null());
    command.status().map(|status| status.success())
}

#[test]
fn a_full_disk_is_named_and_the_import_completes_once_there_is_room() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place) else {
        eprintln!("skipped: a_full_disk_is_named_and_the_import_completes_once_there_is_room");
        return;
    };
    const LINES: usize = 20_000;
    place.file("events", lines(LINES));
    let ran = place.run("import events --store disk/store");
    ran.failed(1, &["lines ", "no space left on the device"]);
    let store = disk.0.join("store");
    let before = events_of(&store);
    assert_are_lines(&before, before.len());
    assert!(ran.stdout.starts_with(&format!("{0} events read, {0} appended", before.len())));

    disk.enlarge();
    let recognised = before.len();
    let ran = place.run("import events --store disk/store");
    let appended = LINES - recognised;
    assert_eq!(
        ran.printed(),
        format!("{LINES} events read, {appended} appended, {recognised} recognised\n")
    );
    assert_are_lines(&events_of(&store), LINES);
}
