//! What can be told of a store that does not open: how large its files are, and what a repair finds.

use std::fs;
use std::path::Path;

use annals::FileStore;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::repair::step_line;
use crate::verify::{PrintedFinding, finding_line};

/// Bytes of the unit in which systems count the space that a file takes up.
#[cfg(unix)]
const BLOCK_BYTES: u64 = 512;

/// The figures of a store that does not open.
#[derive(Debug, Serialize)]
struct Figures {
    intact: bool,
    segments: u64,
    disk_bytes: u64,
    index_bytes: u64,
    total_bytes: u64,
    findings: Vec<PrintedFinding>,
}

/// Prints the figures of the store at a path, and what a repair would do.
pub(crate) fn print(path: &Path, json: bool, output: &mut Output) -> Result<(), Failure> {
    let plan = FileStore::plan_repair(path).ok();
    let given_up = plan.as_ref().map(|plan| plan.given_up.as_slice()).unwrap_or_default();
    let log = path.join("log");
    let figures = Figures {
        intact: false,
        segments: segments(&log),
        disk_bytes: bytes_below(&log),
        index_bytes: bytes_below(&path.join("index")),
        total_bytes: bytes_below(path),
        findings: given_up.iter().map(PrintedFinding::from).collect(),
    };
    if json {
        return output.json(&figures);
    }
    let facts = [
        ("segments", figures.segments),
        ("disk bytes", figures.disk_bytes),
        ("index bytes", figures.index_bytes),
        ("total bytes", figures.total_bytes),
    ];
    facts.iter().try_for_each(|(name, value)| output.line(format_args!("{name:<18}  {value}")))?;
    given_up.iter().try_for_each(|finding| output.line(finding_line(finding)))?;
    let steps = plan.iter().flat_map(|plan| &plan.steps);
    steps
        .into_iter()
        .try_for_each(|step| output.line(format_args!("a repair: {}", step_line(step))))
}

fn segments(log: &Path) -> u64 {
    let is_segment = |name: &str| {
        let digits = name.strip_suffix(".seg").unwrap_or_default();
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let names = fs::read_dir(log).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_str().is_some_and(is_segment)).count() as u64
}

/// Returns how many bytes the files below a directory take up, as far as they can be looked at.
fn bytes_below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(match metadata.is_dir() {
            true => bytes_below(&entry.path()),
            false => allocated_bytes(&metadata),
        })
    });
    bytes.sum()
}

#[cfg(unix)]
fn allocated_bytes(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata).saturating_mul(BLOCK_BYTES)
}

#[cfg(not(unix))]
fn allocated_bytes(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}
