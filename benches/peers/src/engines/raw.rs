//! The floor: what the disk and the processor give to anybody, with no store around it.
//!
//! A commit is a header of 32 bytes and a record of 296 bytes an event, as many as annals writes: all
//! fields of the event, encoded, with a CRC-32. It is written with one `pwrite` and one `fdatasync`
//! to a file that was filled with zeros before, under the plainest group commit: who finds no leader
//! leads, writes and syncs what has gathered, and wakes everybody. The file is written from its
//! beginning again when it is full.
//!
//! A bulk load writes the same records to a file that grows, and syncs once at the end. A scan maps
//! that file and checks every record. Nothing else is checked, and there is no index: this engine
//! answers no questions.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};

use memmap2::Mmap;
use uuid::Uuid;

use super::{Engine, Purpose, Refused, Seen, rows};
use crate::workload::{Append, Stream};

pub(super) const SETTINGS: &str =
    "one pwrite and one fdatasync a commit to a file of zeros, plain leader and follower";

const HEADER_BYTES: usize = 32;
const RECORD_BYTES: usize = 296;
/// The checksum, the length of the row and the position, before the row.
const RECORD_HEAD_BYTES: usize = 16;
const ZEROS_BYTES: u64 = 64 << 20;
const PAGE: [u8; 4096] = [0; 4096];

pub(super) struct Raw {
    path: PathBuf,
    purpose: Purpose,
    /// Made by the first append: a scan needs no file of zeros.
    tail: OnceLock<GroupCommit>,
    position: AtomicU64,
}

impl Raw {
    pub(super) fn open(directory: &Path, purpose: Purpose) -> Self {
        let path = directory.join("records");
        Self { path, purpose, tail: OnceLock::new(), position: AtomicU64::new(0) }
    }

    fn tail(&self) -> &GroupCommit {
        self.tail.get_or_init(|| match self.purpose {
            Purpose::Work => GroupCommit::create(&self.path.with_extension("zeros"), ZEROS_BYTES),
            Purpose::BulkLoad => GroupCommit::create(&self.path, 0),
        })
    }

    fn encode(&self, commit: &[Append]) -> Vec<u8> {
        let events: usize = commit.iter().map(|append| append.events.len()).sum();
        let first = self.position.fetch_add(events as u64, Ordering::Relaxed) + 1;
        let recorded_at = rows::now();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + events * RECORD_BYTES);
        bytes.resize(HEADER_BYTES, 0);
        let (mut position, mut row) = (first, Vec::new());
        for append in commit {
            for (version, event) in (append.expected + 1..).zip(&append.events) {
                rows::encode(&mut row, append.stream, version, recorded_at, event);
                put_record(&mut bytes, position, &row);
                position += 1;
            }
        }
        bytes[4..8].copy_from_slice(&(events as u32).to_le_bytes());
        bytes[8..16].copy_from_slice(&first.to_le_bytes());
        bytes[16..24].copy_from_slice(&recorded_at.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[4..HEADER_BYTES]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

fn put_record(bytes: &mut Vec<u8>, position: u64, row: &[u8]) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(row.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&position.to_le_bytes());
    bytes.extend_from_slice(row);
    assert!(bytes.len() <= start + RECORD_BYTES, "the fields do not fit into a record");
    bytes.resize(start + RECORD_BYTES, 0);
    let checksum = crc32fast::hash(&bytes[start + 4..]);
    bytes[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

impl Engine for Raw {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        let bytes = self.encode(&commit);
        match self.purpose {
            Purpose::Work => self.tail().commit(&bytes),
            Purpose::BulkLoad => self.tail().write(&bytes),
        }
        Ok(())
    }

    fn sync(&self) {
        self.tail().file.sync_data().unwrap();
    }

    fn load_stream(&self, _stream: Stream, _visit: &mut dyn FnMut(&Seen<'_>)) {
        panic!("the raw floor has no index")
    }

    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
        let file = File::open(&self.path).unwrap();
        // SAFETY: no process writes to the file or truncates it while a scan runs.
        let map = unsafe { Mmap::map(&file) }.unwrap();
        let mut rest = &map[..];
        while !rest.is_empty() {
            let (header, after) = rest.split_at(HEADER_BYTES);
            check(header);
            let events = u32::from_le_bytes(header[4..8].try_into().unwrap());
            let (records, after) = after.split_at(events as usize * RECORD_BYTES);
            for record in records.chunks_exact(RECORD_BYTES) {
                check(record);
                let length = u32::from_le_bytes(record[4..8].try_into().unwrap()) as usize;
                let position = u64::from_le_bytes(record[8..16].try_into().unwrap());
                visit(&rows::decode(position, &record[RECORD_HEAD_BYTES..][..length]));
            }
            rest = after;
        }
    }

    fn stream_version(&self, _stream: Stream) -> u64 {
        panic!("the raw floor has no index")
    }

    fn event_exists(&self, _id: Uuid) -> bool {
        panic!("the raw floor has no index")
    }

    fn close(self: Box<Self>) {}
}

fn check(record: &[u8]) {
    let (checksum, rest) = record.split_at(4);
    let checksum = u32::from_le_bytes(checksum.try_into().unwrap());
    assert_eq!(crc32fast::hash(rest), checksum, "a record is damaged");
}

/// The plainest group commit.
struct GroupCommit {
    file: File,
    file_bytes: u64,
    state: Mutex<Gathered>,
    synced: Condvar,
}

#[derive(Default)]
struct Gathered {
    buffer: Vec<u8>,
    /// The buffer of the group before, for the next to gather in.
    spare: Vec<u8>,
    /// The group that gathers now, from 0.
    group: u64,
    /// How many groups are synced.
    synced: u64,
    has_leader: bool,
    offset: u64,
}

impl GroupCommit {
    fn create(path: &Path, file_bytes: u64) -> Self {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).open(path).unwrap();
        // Page by page: the system caches a larger write in one piece, and counts all of it as written
        // whenever a part of it is.
        for offset in (0..file_bytes).step_by(PAGE.len()) {
            file.write_all_at(&PAGE, offset).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, file_bytes, state: Mutex::default(), synced: Condvar::new() }
    }

    /// Writes at the end, for one thread only.
    fn write(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        self.file.write_all_at(bytes, state.offset).unwrap();
        state.offset += bytes.len() as u64;
    }

    fn commit(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.buffer.extend_from_slice(bytes);
        let group = state.group;
        while state.synced <= group {
            if state.has_leader {
                state = self.synced.wait(state).unwrap();
                continue;
            }
            let (buffer, offset) = state.lead(self.file_bytes);
            drop(state);
            self.file.write_all_at(&buffer, offset).unwrap();
            self.file.sync_data().unwrap();
            state = self.state.lock().unwrap();
            state.follow(buffer);
            self.synced.notify_all();
        }
    }
}

impl Gathered {
    /// Takes what has gathered, and says where it goes: at the front again when the file is full.
    fn lead(&mut self, file_bytes: u64) -> (Vec<u8>, u64) {
        self.has_leader = true;
        self.group += 1;
        let buffer = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        let length = buffer.len() as u64;
        let offset = if self.offset + length > file_bytes { 0 } else { self.offset };
        self.offset = offset + length;
        (buffer, offset)
    }

    fn follow(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.spare = buffer;
        self.has_leader = false;
        self.synced = self.group;
    }
}
