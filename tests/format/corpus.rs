//! The inputs that the fuzzer starts from, and those that once broke something, stay in order.
//!
//! They are kept in `fuzz/corpus`, a folder for each target, and named `seed-*`. Seeds that are missing are
//! written by `ANNALS_WRITE_FIXTURE=1 cargo test --test format`.

use std::fs;
use std::path::{Path, PathBuf};

use annals::testing::bytes::Verdict;
use annals::testing::{bytes, directory, metadata, operations, run};

/// A target of the fuzzer, by its name.
struct Target {
    name: &'static str,
    check: fn(&[u8]) -> Result<Verdict, String>,
    seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
}

const TARGETS: &[Target] = &[
    Target { name: "frame", check: bytes::check, seeds: bytes::seeds },
    Target { name: "metadata", check: metadata::check, seeds: metadata::seeds },
    Target { name: "run", check: run::check, seeds: run::seeds },
    Target { name: "directory", check: directory::check, seeds: directory::seeds },
    Target { name: "operations", check: operations::check, seeds: operations::seeds },
];

/// Targets whose seeds are all accepted; seeds of the others also lead to refusals.
const ACCEPTED: &[&str] = &["frame", "metadata"];

fn folder_of(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name)
}

#[test]
fn every_seed_passes() {
    for target in TARGETS {
        for (name, seed) in (target.seeds)() {
            let verdict = (target.check)(&seed);
            assert!(verdict.is_ok(), "{} {name}: {verdict:?}", target.name);
            if ACCEPTED.contains(&target.name) {
                assert_eq!(verdict, Ok(Verdict::Accepted), "{} {name}", target.name);
            }
            let short = seed.get(..seed.len().saturating_sub(1)).unwrap();
            assert_eq!((target.check)(short).map(|_| ()), Ok(()), "{name} without its end");
        }
    }
}

#[test]
fn the_seeds_are_those_that_are_kept() {
    let is_writing = std::env::var_os("ANNALS_WRITE_FIXTURE").is_some();
    for target in TARGETS {
        let folder = folder_of(target);
        // The published package has no folder for fuzzing.
        if !folder.exists() && !is_writing {
            continue;
        }
        for (name, seed) in (target.seeds)() {
            let path = folder.join(format!("seed-{name}"));
            if is_writing && !path.exists() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &seed).unwrap();
            }
            assert_eq!(fs::read(&path).unwrap(), seed, "{}: it has changed", path.display());
        }
    }
}

#[test]
fn nothing_that_the_fuzzer_keeps_breaks_anything() {
    for target in TARGETS {
        let Ok(entries) = fs::read_dir(folder_of(target)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let input = fs::read(&path).unwrap();
            assert_eq!((target.check)(&input).map(|_| ()), Ok(()), "{}", path.display());
        }
    }
}

#[test]
fn every_target_of_the_fuzzer_is_one_of_these() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(TARGETS.iter().any(|target| target.name == name), "{name}");
    }
}
