//! The stores of released formats: where they are, how they are unpacked, what they hold.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use annals::{ContentType, RecordedEvent};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A store of a released format.
pub(crate) struct Fixture {
    /// The version, and what is new within it if anything is: `1`, `1-in-order`.
    pub(crate) name: String,
    folder: PathBuf,
}

/// Where fixtures are kept.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/fixtures")
}

/// Says of every file of a fixture where it belongs in the store.
pub(crate) const PACKED: &str = ".gz";

/// The file beside a fixture that says what it holds.
pub(crate) const EVENTS: &str = "events.json";

impl Fixture {
    /// Returns all there are, the newest last.
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = entries
            .map(|folder| {
                let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
                Self { name, folder }
            })
            .collect();
        all.sort_by_key(|fixture| (fixture.version(), fixture.name.clone()));
        all
    }

    pub(crate) fn version(&self) -> u32 {
        self.name.split('-').next().unwrap().parse().unwrap()
    }

    /// Unpacks the store into a directory of its own.
    pub(crate) fn unpacked(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        unpack(&self.folder, directory.path());
        directory
    }

    /// Returns what the store holds.
    pub(crate) fn events(&self) -> Vec<Value> {
        serde_json::from_slice(&fs::read(self.folder.join(EVENTS)).unwrap()).unwrap()
    }
}

fn unpack(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap();
        if entry.is_dir() {
            fs::create_dir(to.join(name)).unwrap();
            unpack(&entry, &to.join(name));
        } else if let Some(name) = name.strip_suffix(PACKED) {
            let mut packed = GzDecoder::new(File::open(&entry).unwrap());
            io::copy(&mut packed, &mut File::create(to.join(name)).unwrap()).unwrap();
        }
    }
}

/// Describes every field of an event.
pub(crate) fn described(event: &RecordedEvent) -> Value {
    json!({
        "global_position": event.global_position().get(),
        "stream_version": event.stream_version().get(),
        "recorded_at": event.recorded_at().as_micros(),
        "occurred_at": event.occurred_at().as_micros(),
        "event_id": event.event_id().to_string(),
        "event_type": event.event_type(),
        "event_version": event.event_version(),
        "stream": event.stream().unwrap().to_string(),
        "tenant": event.tenant().map(|id| id.to_string()),
        "actor": event.actor().map(|id| id.to_string()),
        "correlation_id": event.correlation_id().map(|id| id.to_string()),
        "causation_id": event.causation_id().map(|id| id.to_string()),
        "tags": event.tags().collect::<Vec<_>>(),
        "metadata": event.metadata().unwrap(),
        "content_type": described_type(event.content_type()),
        "payload": described_payload(event.payload()),
    })
}

fn described_type(content_type: ContentType) -> Value {
    match content_type {
        ContentType::Other(number) => json!(number),
        named => json!(format!("{named:?}")),
    }
}

/// A long run of one byte is counted, so that the description stays short.
fn described_payload(payload: &[u8]) -> Value {
    match (std::str::from_utf8(payload), payload) {
        (_, [first, ..]) if payload.len() > 1000 && payload.iter().all(|byte| byte == first) => {
            json!({ "byte": first, "count": payload.len() })
        }
        (Ok(text), _) => json!({ "text": text }),
        (Err(_), bytes) => json!({ "bytes": bytes }),
    }
}
