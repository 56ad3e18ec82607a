//! What the system tells about the machine and about this process; on Linux most, elsewhere little.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// Returns on what was measured, and which commit.
pub(crate) fn facts(file_system: Option<&str>) -> String {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let commit = run("git", &["describe", "--always", "--dirty"]);
    format!(
        "{processors} processors, {}, {}, commit {}",
        file_system.unwrap_or("file system unknown"),
        run("uname", &["-sr"]).unwrap_or_else(|| "system unknown".into()),
        commit.unwrap_or_else(|| "unknown".into()),
    )
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Returns the kind of file system a directory is on.
pub(crate) fn file_system_of(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounts.filter(|(point, _)| directory.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind.to_owned())
}

/// Returns how many write calls this process has made.
pub(crate) fn write_calls() -> Option<u64> {
    number_in("/proc/self/io", "syscw:")
}

/// Returns the anonymous memory of this process, in KiB.
pub(crate) fn anonymous_kib() -> Option<u64> {
    number_in("/proc/self/status", "RssAnon:")
}

fn number_in(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}
