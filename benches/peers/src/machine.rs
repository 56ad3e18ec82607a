//! What the figures depend on: machine, system, day and commit.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::engines::Name;
use crate::shared::machine::file_system_of;

const LOCK_FILE: &str = include_str!("../Cargo.lock");

/// Returns one line about the machine, the system, the day and the commit.
pub fn described(directory: &Path) -> String {
    let processors = std::thread::available_parallelism().unwrap();
    format!(
        "{processors} processors ({}), {} of memory, {}, Linux {}, {}, commit {}",
        processor(),
        memory(),
        file_system_of(directory).as_deref().unwrap_or("file system unknown"),
        read("/proc/sys/kernel/osrelease"),
        output("date", &["-u", "+%F"]),
        output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
    )
}

/// Returns the version of an engine in the lock file of this program.
pub fn version(engine: Name) -> Option<&'static str> {
    let name = format!("name = \"{}\"\n", engine.package()?);
    let after = LOCK_FILE.split_once(&name)?.1;
    after.strip_prefix("version = \"")?.split('"').next()
}

fn processor() -> String {
    let processors = read("/proc/cpuinfo");
    let name = processors.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("kind unknown", |name| name.trim_start_matches([' ', '\t', ':'])).to_owned()
}

fn memory() -> String {
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = kib.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or("an unknown amount".to_owned(), |kib| format!("{:.0} GiB", kib / 1024.0 / 1024.0))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.map_or("unknown".to_owned(), |text| String::from_utf8_lossy(&text).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_tells_the_version_of_every_peer() {
        use clap::ValueEnum;
        for engine in Name::value_variants() {
            assert_eq!(version(*engine).is_some(), *engine != Name::Raw, "{engine:?}");
        }
    }
}
