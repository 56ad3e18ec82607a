//! The inputs that the fuzzer starts from, and those that once broke something, stay in order.
//!
//! They are kept in `fuzz/corpus/frame`, named `seed-*`. Seeds that are missing are written by
//! `ANNALS_WRITE_FIXTURE=1 cargo test --test format`.

use std::fs;
use std::path::{Path, PathBuf};

use annals::testing::bytes::{Verdict, check, seeds};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frame")
}

#[test]
fn every_seed_is_accepted() {
    for (name, seed) in seeds() {
        assert_eq!(check(&seed), Ok(Verdict::Accepted), "{name}");
        assert_eq!(check(&seed[..seed.len() - 1]).map(|_| ()), Ok(()), "{name} without its end");
    }
}

#[test]
fn the_seeds_are_those_that_are_kept() {
    let is_writing = std::env::var_os("ANNALS_WRITE_FIXTURE").is_some();
    // The published package has no folder for fuzzing.
    if !folder().exists() && !is_writing {
        return;
    }
    for (name, seed) in seeds() {
        let path = folder().join(format!("seed-{name}"));
        if is_writing && !path.exists() {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &seed).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), seed, "{name}: the bytes of the format have changed");
    }
}

#[test]
fn nothing_that_the_fuzzer_keeps_breaks_a_decoder() {
    let Ok(entries) = fs::read_dir(folder()) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let input = fs::read(&path).unwrap();
        assert_eq!(check(&input).map(|_| ()), Ok(()), "{}", path.display());
    }
}
