//! The work of child processes: this program, started again with one of its tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::kills;

const STORE: &str = "ANNALS_FOLLOWING_STORE";

/// Stands before every line that a child has to say, apart from what the test runner prints.
const SAYS: &str = "child: ";

/// Returns a command that starts this program as a child on a store.
pub(crate) fn on(store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child::the_work_of_a_child_process", "--nocapture"]);
    command.env(STORE, store);
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Returns what a child said with a line of its output.
pub(crate) fn said(line: &str) -> Option<&str> {
    // The test runner does not end its own line before the test begins.
    line.split_once(SAYS).map(|(_, said)| said)
}

/// Says a line to the parent.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{SAYS}{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
fn the_work_of_a_child_process() {
    let Some(store) = std::env::var_os(STORE) else { return };
    kills::append_and_follow(&PathBuf::from(store));
}
