//! Counts the calls by which an engine waits for the device, in a run of their own under strace.
//!
//! Each traced call stops the process for a moment, so the times of such a run are not used. What is
//! counted is what lies between the beginning and the end of the measured appends, background threads
//! included.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const CALLS: [&str; 4] = ["fdatasync", "fsync", "msync", "syncfs"];

/// Tells whether strace is there and may trace.
pub fn is_available() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "true"]);
    let status = strace.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Returns strace, ready to be given a program, writing what it sees to `log`.
pub fn command(log: &Path) -> Command {
    let mut strace = Command::new("strace");
    let trace = format!("trace={}", CALLS.join(","));
    strace.args(["-f", "-qq", "-ttt", "--seccomp-bpf", "-e", &trace, "-o"]).arg(log);
    strace
}

/// Counts the calls that began between two moments, in seconds since 1970.
pub fn syncs(log: &Path, began_at: f64, ended_at: f64) -> usize {
    let log = fs::read_to_string(log).unwrap();
    let is_counted = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let time: f64 = fields.next().and_then(|time| time.parse().ok()).unwrap_or(0.0);
        let call = fields.next().and_then(|call| call.split_once('('));
        let is_sync = call.is_some_and(|(name, _)| CALLS.contains(&name));
        is_sync && (began_at..=ended_at).contains(&time)
    };
    log.lines().filter(is_counted).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_once_and_only_within_the_time() {
        let log = std::env::temp_dir().join(format!("peers-strace-{}", std::process::id()));
        let lines = [
            "7 9.500000 fdatasync(3) = 0",
            "7 10.100000 fdatasync(3 <unfinished ...>",
            "8 10.200000 fsync(4) = 0",
            "7 10.300000 <... fdatasync resumed>) = 0",
            "7 10.400000 +++ exited with 0 +++",
            "7 11.000000 fdatasync(3) = 0",
        ];
        fs::write(&log, lines.join("\n")).unwrap();
        let counted = syncs(&log, 10.0, 10.9);
        fs::remove_file(&log).unwrap();
        assert_eq!(counted, 2);
    }
}
