//! Medians, and what the system counts for this process.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Returns the value at a share of the sorted values; NaN of none.
pub fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(f64::NAN)
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values.into_iter().collect(), 50)
}

/// Times each of some calls, in nanoseconds, and returns the median. Each is made once before, so that
/// what it needs is warm.
pub fn warm_median(count: u64, mut call: impl FnMut(u64)) -> f64 {
    (0..count).for_each(&mut call);
    median((0..count).map(|number| {
        let start = Instant::now();
        call(number);
        start.elapsed().as_nanos() as f64
    }))
}

/// Bytes that this process has made the system write to a device so far: whole pages, each counted
/// when it becomes dirty.
pub fn bytes_written() -> f64 {
    status_number("/proc/self/io", "write_bytes:")
}

/// Anonymous memory of this process, in bytes.
pub fn anonymous_bytes() -> f64 {
    status_number("/proc/self/status", "RssAnon:") * 1024.0
}

fn status_number(path: &str, name: &str) -> f64 {
    let status = fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.map_or(f64::NAN, |number| number.parse().unwrap())
}

/// Returns the bytes that a directory takes on the disk.
#[cfg(unix)]
pub fn disk_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    files(directory, &|metadata| metadata.blocks() * 512).iter().map(|(_, bytes)| bytes).sum()
}

/// Waits until the files of a directory have kept their sizes for a while: an engine that still
/// merges, compacts or deletes is given the time for it.
pub fn settle(directory: &Path, quiet: Duration) {
    const PATIENCE: Duration = Duration::from_secs(60);
    let sizes = || files(directory, &fs::Metadata::len);
    let start = Instant::now();
    let (mut before, mut since) = (sizes(), start);
    while since.elapsed() < quiet && start.elapsed() < PATIENCE {
        thread::sleep(quiet / 20);
        let now = sizes();
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// Lists the files below a directory with a number of each.
fn files(directory: &Path, number: &dyn Fn(&fs::Metadata) -> u64) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        // A file may go while an engine works.
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => found.extend(files(&entry.path(), number)),
            Ok(metadata) => {
                found.push((entry.path().to_string_lossy().into_owned(), number(&metadata)));
            }
            Err(_) => {}
        }
    }
    found.sort();
    found
}
