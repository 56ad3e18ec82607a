//! Runs the program, and makes what it works on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use annals::{EventStore, FileStore, RecordedEvent};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_annals");

/// A directory of its own for a test, with a store called `store` once there is one.
pub(crate) struct Place(TempDir);

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Prepares a run in this place; the arguments are separated by spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.path()).args(arguments.split_whitespace());
        command
    }

    /// Runs the program with nothing on its standard input.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.command(arguments).stdin(Stdio::null()).output().unwrap().into()
    }

    /// Runs the program with `input` on its standard input.
    pub(crate) fn run_with(&self, arguments: &str, input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap().into()
        })
    }

    /// Returns the events of the store, in global order.
    pub(crate) fn events(&self) -> Vec<RecordedEvent> {
        events_of(&self.store())
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Asserts that the run succeeded in silence and returns what it printed.
    #[track_caller]
    pub(crate) fn printed(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        &self.stdout
    }

    /// Asserts that the run ended with `code` and one message on standard error that holds `parts`.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.starts_with("annals: "), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no \"{part}\" in {self:?}");
        }
    }
}

pub(crate) fn events_of(store: &Path) -> Vec<RecordedEvent> {
    let store = FileStore::open_read_only(store).unwrap();
    store.read_all(Default::default()).unwrap().map(Result::unwrap).collect()
}

/// One line of input, number `index`, spread over seven streams.
pub(crate) fn line(index: usize) -> String {
    format!(
        concat!(
            r#"{{"aggregate_type":"Order","aggregate_id":"order-{}","event_type":"{}","#,
            r#""occurred_at":"2024-01-01T00:00:00+01:00","data":{{"n":{}}}}}"#,
            "\n"
        ),
        index % 7,
        if index.is_multiple_of(2) { "Placed" } else { "Paid" },
        index
    )
}

/// The first `count` lines of input.
pub(crate) fn lines(count: usize) -> String {
    (0..count).map(line).collect()
}

/// Asserts that events are those of the first `count` lines of input, in order.
#[track_caller]
pub(crate) fn assert_are_lines(events: &[RecordedEvent], count: usize) {
    assert_eq!(events.len(), count);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.payload(), format!(r#"{{"n":{index}}}"#).as_bytes());
        assert_eq!(event.aggregate_id().to_string(), format!("order-{}", index % 7));
        assert_eq!(event.stream_version().get(), index as u64 / 7 + 1);
        assert_eq!(event.global_position().get(), index as u64 + 1);
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
