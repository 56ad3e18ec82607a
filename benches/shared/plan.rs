//! How long, where and on how much a benchmark measures.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::Outcome;
use super::machine;

/// Read from the environment: `ANNALS_BENCH_DIR` (a directory on the disk to measure; by default one
/// in the target folder), `ANNALS_BENCH_EVENTS` (of a store that is not empty, 1,000,000: a multiple of
/// a thousand), `ANNALS_BENCH_SECONDS` (of one measurement, 0.5), `ANNALS_BENCH_ROUNDS` (5).
pub(crate) struct Plan {
    directory: PathBuf,
    /// Whether only to show that the benchmark works: with `--test`, and without `--bench`.
    pub(crate) is_test: bool,
    /// How many events a store has that is not empty.
    pub(crate) events: u64,
    /// How long one measurement lasts; every thread commits at least once.
    pub(crate) measurement: Duration,
    /// How often those that are compared take turns.
    pub(crate) rounds: usize,
}

impl Plan {
    pub(crate) fn from_environment() -> Outcome<Self> {
        let has = |flag: &str| env::args().any(|argument| argument == flag);
        let is_test = has("--test") || !has("--bench");
        let target = option_env!("CARGO_TARGET_TMPDIR").map_or_else(env::temp_dir, PathBuf::from);
        let directory = env::var_os("ANNALS_BENCH_DIR").map_or(target, PathBuf::from);
        if is_test {
            let measurement = Duration::ZERO;
            return Ok(Self { directory, is_test, events: 2000, measurement, rounds: 1 });
        }
        let set = |name, or: &str| env::var(name).unwrap_or_else(|_| or.into());
        let events = set("ANNALS_BENCH_EVENTS", "1000000").parse()?;
        let seconds = set("ANNALS_BENCH_SECONDS", "0.5").parse()?;
        let rounds = usize::max(set("ANNALS_BENCH_ROUNDS", "5").parse()?, 1);
        let measurement = Duration::try_from_secs_f64(seconds)?;
        Ok(Self { directory, is_test, events, measurement, rounds })
    }

    /// Makes a directory that is gone when it is dropped, and says on what machine it is.
    pub(crate) fn make_directory(&self, name: &str) -> Outcome<TempDir> {
        fs::create_dir_all(&self.directory)?;
        let prefix = format!("{name}-");
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.directory)?;
        let file_system = machine::file_system_of(directory.path());
        if !self.is_test && file_system.as_deref() == Some("tmpfs") {
            return Err("the directory is in memory: set ANNALS_BENCH_DIR to one on a disk".into());
        }
        println!("{name}: {}", machine::facts(file_system.as_deref()));
        Ok(directory)
    }

    /// Returns the first of two sizes, or the second when it is only to be shown that it works.
    pub(crate) fn size<T>(&self, full: T, tiny: T) -> T {
        if self.is_test { tiny } else { full }
    }
}
