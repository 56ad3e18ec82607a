//! A store in a directory that goes with it, its files as bytes, and what must hold of it whatever
//! happened to them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use annals::{
    Error, EventStore, ExpectedVersion, FileStore, Finding, GlobalPosition, NewEvent, Options,
    ReadOptions, RecordedEvent, Severity, StreamId,
};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) fn stream(name: &str) -> StreamId {
    StreamId::new("Test", name).unwrap()
}

/// Returns an event that says which one it is.
pub(crate) fn event(number: u64, payload: Vec<u8>) -> NewEvent {
    NewEvent::new("Happened", payload).id(Uuid::from_u128(u128::from(number) + 1))
}

pub(crate) fn small_segments() -> Options {
    Options::new().segment_bytes(64 << 10)
}

pub(crate) fn append(
    store: &FileStore,
    number: u64,
    payload: Vec<u8>,
) -> annals::Result<GlobalPosition> {
    let name = stream(if number.is_multiple_of(2) { "even" } else { "odd" });
    let result = store.append(&name, ExpectedVersion::Any, vec![event(number, payload)])?;
    Ok(result.global_position)
}

/// Reads everything from a position on, and the error it ended with.
pub(crate) fn read_from(store: &FileStore, position: u64) -> (Vec<RecordedEvent>, Option<Error>) {
    let mut given = Vec::new();
    for event in store.read_all(ReadOptions::new().from(position)).unwrap() {
        match event {
            Ok(event) => given.push(event),
            Err(error) => return (given, Some(error)),
        }
    }
    (given, None)
}

/// Makes a temporary directory, in memory where the system has a place for that: tests that open a
/// store thousands of times need no device.
pub(crate) fn fast_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The files of a store that was closed cleanly, and the events in it.
pub(crate) struct Original {
    pub(crate) events: Vec<RecordedEvent>,
    /// By their paths from the store's directory.
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
}

/// What a change of files did not escape.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Noticed {
    Yes,
    No,
}

impl Original {
    /// Makes a store of several segments: sealed ones, an active one and a spare. Most of their bytes
    /// are zeros, so that the others can be tried one by one.
    pub(crate) fn make(directory: &Path) -> Self {
        let path = directory.join("original");
        let store = FileStore::open_with(&path, small_segments()).unwrap();
        for number in 1..=13 {
            let payload = match number % 4 {
                0 => vec![0; 40_000],
                _ => format!("the payload of {number}").into_bytes(),
            };
            append(&store, number, payload).unwrap();
        }
        let (events, error) = read_from(&store, 1);
        assert!(error.is_none());
        // The third segment is more than half full, so that the fourth is being prepared.
        while !path.join("log/0000000000000004.seg").exists() {
            std::thread::yield_now();
        }
        store.close().unwrap();
        Self { events, files: files_of(&path) }
    }

    /// Writes the files into a directory, in place of whatever is there.
    pub(crate) fn write_to(&self, directory: &Path) {
        let _ = fs::remove_dir_all(directory);
        for (path, bytes) in &self.files {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        self.files.keys().filter(|path| is_segment(path)).cloned().collect()
    }

    fn assert_are_original(&self, events: &[RecordedEvent]) {
        for event in events {
            let index = usize::try_from(event.global_position().get() - 1).unwrap();
            assert_eq!(Some(event), self.events.get(index), "no event is made up or changed");
        }
    }

    /// Opens a changed store in every way: no event is wrong, what is missing is named, and no
    /// position is given out twice. Tells whether the change was noticed by all of them; the file
    /// is the one that was changed, and must be among those that are named.
    pub(crate) fn check(&self, directory: &Path, file: Option<&Path>) -> Noticed {
        let verified = self.check_verify(directory, file);
        let read = self.check_read_only(directory);
        let written = self.check_writable(directory, file);
        match [verified, read, written].into_iter().all(|noticed| noticed == Noticed::Yes) {
            true => Noticed::Yes,
            false => Noticed::No,
        }
    }

    fn check_verify(&self, directory: &Path, file: Option<&Path>) -> Noticed {
        match FileStore::verify(directory) {
            Ok(report) => noticed(&report.findings, directory, file),
            Err(error) => refused(&error, directory, file),
        }
    }

    fn check_read_only(&self, directory: &Path) -> Noticed {
        let store = match FileStore::open_read_only(directory) {
            Ok(store) => store,
            Err(error) => return refused(&error, directory, None),
        };
        let mut given = Vec::new();
        let mut position = 1;
        loop {
            let (mut events, error) = read_from(&store, position);
            given.append(&mut events);
            match error {
                None => break,
                Some(Error::Damage(damage)) => match damage.first_good_after {
                    Some(good) if good.get() > position => position = good.get(),
                    _ => break,
                },
                Some(error) => panic!("{error}"),
            }
        }
        self.assert_are_original(&given);
        self.check_streams_and_ids(&store);
        self.assert_missing_are_named(&given, store.findings());
        match store.findings().is_empty() {
            true => Noticed::No,
            false => Noticed::Yes,
        }
    }

    /// An answer without an error is whole.
    fn check_streams_and_ids(&self, store: &FileStore) {
        for name in ["even", "odd"] {
            let is_own = |event: &&RecordedEvent| {
                event.global_position().get().is_multiple_of(2) == (name == "even")
            };
            let own: Vec<_> = self.events.iter().filter(is_own).collect();
            for options in [ReadOptions::new(), ReadOptions::new().backward()] {
                let events = store.read_stream(&stream(name), options);
                let events: Vec<_> = events.into_iter().flatten().collect();
                let given: Vec<_> = events.iter().filter_map(|it| it.as_ref().ok()).collect();
                given.iter().for_each(|event| assert!(own.contains(event)));
                let has_failed = events.len() > given.len() || events.is_empty();
                assert!(has_failed || given.len() == own.len(), "{name} is short: {given:?}");
            }
            if let Ok(version) = store.stream_version(&stream(name)) {
                assert_eq!(version.get(), own.len() as u64, "{name}");
            }
        }
        for event in &self.events {
            let id = event.event_id();
            assert!(store.event(id).map_or(true, |found| found.as_ref() == Some(event)), "{id}");
            assert!(store.event_exists(id).unwrap_or(true), "{id}");
        }
    }

    fn assert_missing_are_named(&self, given: &[RecordedEvent], findings: &[Finding]) {
        for event in self.events.iter().filter(|event| !given.contains(event)) {
            let position = event.global_position();
            let names = |finding: &Finding| {
                finding.severity == Severity::Damage
                    && finding.first_lost.is_some_and(|lost| lost <= position)
                    && finding.first_good_after.is_none_or(|good| position < good)
            };
            assert!(findings.iter().any(names), "position {position} is gone: {findings:?}");
        }
    }

    fn check_writable(&self, directory: &Path, file: Option<&Path>) -> Noticed {
        let store = match FileStore::open_with(directory, small_segments()) {
            Ok(store) => store,
            Err(error) => return refused(&error, directory, file),
        };
        let (events, error) = read_from(&store, 1);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(events, self.events, "a store that takes writes has all its events");
        let next = self.events.len() as u64 + 1;
        assert_eq!(append(&store, next, vec![1]).unwrap().get(), next);
        noticed(store.findings(), directory, file)
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// Returns how many bytes of a file mean anything: what lies behind the size of a segment is not looked at when a store is
/// opened. A segment is of whole pages.
pub(crate) fn meant_length(path: &Path, bytes: &[u8]) -> usize {
    match is_segment(path) {
        true => bytes.len() / 4096 * 4096,
        false => bytes.len(),
    }
}

fn noticed(findings: &[Finding], directory: &Path, file: Option<&Path>) -> Noticed {
    if findings.is_empty() {
        return Noticed::No;
    }
    let is_named = |finding: &Finding| file.is_none_or(|file| finding.file == directory.join(file));
    assert!(findings.iter().any(is_named), "{file:?} is not named: {findings:?}");
    Noticed::Yes
}

/// Holds a refusal to naming a file, and the file that was changed if that is known.
fn refused(error: &Error, directory: &Path, file: Option<&Path>) -> Noticed {
    let named = match error {
        Error::Damage(damage) => &damage.file,
        Error::Incompatible { file, .. } => file,
        Error::NotAStore { path, .. } | Error::StoreFileMissing { path } => path,
        error => panic!("{error:?}"),
    };
    if let Some(file) = file {
        assert_eq!(*named, directory.join(file), "{error}");
    }
    Noticed::Yes
}

pub(crate) fn files_of(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            files.insert(path.strip_prefix(directory).unwrap().to_owned(), bytes);
        }
    }
    files
}

/// Returns how large a test is to be: a default, or what an environment variable says.
pub(crate) fn size_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |value| value.parse().unwrap())
}
