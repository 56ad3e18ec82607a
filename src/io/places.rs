//! What stands at a path that was given for a store, and whether one place lies inside another.
//!
//! For messages and refusals before anything is opened or made; a file system may change right after it was
//! asked.

#![forbid(unsafe_code)]

use std::fs;
use std::io::Result;
use std::path::{Component, Path, PathBuf};

use super::platform;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing, or nothing that this user may see.
    Nothing,
    /// A file or a directory.
    Something,
    /// A symbolic link to where nothing is.
    DanglingLink,
}

/// Returns what stands at a path.
pub(crate) fn place_at(path: &Path) -> Place {
    match (fs::metadata(path), fs::symlink_metadata(path)) {
        (Ok(_), _) => Place::Something,
        (Err(_), Ok(own)) if own.is_symlink() => Place::DanglingLink,
        _ => Place::Nothing,
    }
}

/// Returns the longest part of a path that is there and is no directory.
pub(crate) fn other_than_a_directory(path: &Path) -> Option<&Path> {
    path.ancestors().find(|part| fs::metadata(part).is_ok_and(|it| !it.is_dir()))
}

/// Returns whether a path, or anything that has to be made on the way to it, lies inside a directory or is
/// that directory. Symbolic links and `..` are followed as the system follows them.
pub(crate) fn lies_inside(path: &Path, directory: &Path) -> Result<bool> {
    let is_inside =
        |at: &Path| at.ancestors().any(|one| platform::is_same(one, directory).unwrap_or_default());
    let mut at = PathBuf::new();
    for component in std::path::absolute(path)?.components() {
        match component {
            // What comes before is free of links, or is not there and will be a directory.
            Component::ParentDir => _ = at.pop(),
            _ => at.push(component),
        }
        match fs::canonicalize(&at) {
            Ok(real) => at = real,
            Err(_) if is_inside(&at) => return Ok(true),
            Err(_) => {}
        }
    }
    Ok(is_inside(&at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_inside_at_any_depth_and_whatever_leads_there() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("store/log")).unwrap();
        fs::create_dir_all(at("other")).unwrap();
        let store = at("store");
        for inside in [
            "store",
            "store/new",
            "store/log",
            "store/log/a/b/c",
            "other/../store/new",
            "store/log/..",
            "store/new/../../copy",
            "other/new/../../store/x",
        ] {
            assert!(lies_inside(&at(inside), &store).unwrap(), "{inside}");
        }
        for outside in
            ["other", "copy", "store2", "other/a/b", "store/../copy", "store/log/../../c"]
        {
            assert!(!lies_inside(&at(outside), &store).unwrap(), "{outside}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_place_is_inside_over_symbolic_links() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("store/log")).unwrap();
        std::os::unix::fs::symlink(at("store/log"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("store"), at("alias")).unwrap();
        for inside in ["link", "link/new", "link/../new", "alias/log/new"] {
            assert!(lies_inside(&at(inside), &at("store")).unwrap(), "{inside}");
        }
        assert!(lies_inside(&at("store/new"), &at("alias")).unwrap());
        assert!(!lies_inside(&at("link/../../copy"), &at("store")).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_and_a_file_on_the_way_are_told() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(at("nothing"), at("link")).unwrap();
        assert_eq!(place_at(&at("link")), Place::DanglingLink);
        assert_eq!(place_at(&at("file")), Place::Something);
        assert_eq!(place_at(&at("nothing")), Place::Nothing);
        assert_eq!(other_than_a_directory(&at("file/store")), Some(&*at("file")));
        assert_eq!(other_than_a_directory(&at("nothing/store")), None);
    }
}
