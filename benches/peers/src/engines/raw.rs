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

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;
use uuid::Uuid;

use super::{Engine, Purpose, Refused, Seen, rows};
use crate::shared::floor::GroupCommit;
use crate::workload::{Append, Stream};

pub(super) const SETTINGS: &str =
    "one pwrite and one fdatasync a commit to a file of zeros, plain leader and follower";

const HEADER_BYTES: usize = 32;
const RECORD_BYTES: usize = 296;
/// The checksum, the length of the row and the position, before the row.
const RECORD_HEAD_BYTES: usize = 16;
const ZEROS_BYTES: u64 = 16 << 20;

pub(super) struct Raw {
    path: PathBuf,
    kind: Kind,
    position: AtomicU64,
}

enum Kind {
    /// The file of zeros is made by the first append: a scan needs none.
    Synced(OnceLock<GroupCommit>),
    /// A file that grows, and its length.
    Growing(File, AtomicU64),
}

impl Raw {
    pub(super) fn open(directory: &Path, purpose: Purpose) -> Self {
        let path = directory.join("records");
        let kind = match purpose {
            Purpose::Work => Kind::Synced(OnceLock::new()),
            Purpose::BulkLoad => Kind::Growing(File::create(&path).unwrap(), AtomicU64::new(0)),
        };
        Self { path, kind, position: AtomicU64::new(0) }
    }

    fn encode(&self, commit: &[Append]) -> Vec<u8> {
        let events: usize = commit.iter().map(|append| append.events.len()).sum();
        let first = self.position.fetch_add(events as u64, Ordering::Relaxed) + 1;
        let recorded_at = rows::now();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + events * RECORD_BYTES);
        bytes.resize(HEADER_BYTES, 0);
        let mut position = first;
        for append in commit {
            for (version, event) in (append.expected + 1..).zip(&append.events) {
                put_record(&mut bytes, position, |bytes| {
                    rows::encode(bytes, append.stream, version, recorded_at, event);
                });
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

fn put_record(bytes: &mut Vec<u8>, position: u64, put_row: impl Fn(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; RECORD_HEAD_BYTES]);
    put_row(bytes);
    let row_bytes = bytes.len() - start - RECORD_HEAD_BYTES;
    assert!(bytes.len() <= start + RECORD_BYTES, "the fields do not fit into a record");
    bytes.resize(start + RECORD_BYTES, 0);
    let record = &mut bytes[start..];
    record[4..8].copy_from_slice(&(row_bytes as u32).to_le_bytes());
    record[8..16].copy_from_slice(&position.to_le_bytes());
    let checksum = crc32fast::hash(&record[4..]);
    record[..4].copy_from_slice(&checksum.to_le_bytes());
}

impl Engine for Raw {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        let bytes = self.encode(&commit);
        match &self.kind {
            Kind::Synced(tail) => {
                let zeros = self.path.with_extension("zeros");
                let tail = tail.get_or_init(|| GroupCommit::create(&zeros, ZEROS_BYTES).unwrap());
                tail.commit(&bytes).unwrap();
            }
            Kind::Growing(file, end) => {
                let offset = end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                file.write_all_at(&bytes, offset).unwrap();
            }
        }
        Ok(())
    }

    fn sync(&self) {
        match &self.kind {
            Kind::Synced(_) => {}
            Kind::Growing(file, _) => file.sync_data().unwrap(),
        }
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
