//! The raw floor: what the disk and the processor give to a program that keeps no promise but one.
//!
//! Records are encoded and checksummed as any log does it, written with one positioned write and one
//! data sync to a file filled with zeros, by a plain group commit that is nothing but a write when only
//! one thread commits. To read is to verify the checksums of such records where they stand.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use super::Outcome;
use super::workload::payload;

/// The length of the bytes behind it, and their checksum.
const HEADER_BYTES: usize = 8;

/// Appends a record to a buffer: its number, its payload, and as many more bytes as it takes to make it
/// as large as asked for.
pub(crate) fn encode_record(
    buffer: &mut Vec<u8>,
    number: u64,
    payload: &[u8],
    record_bytes: usize,
) -> Outcome<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    buffer.extend_from_slice(&number.to_le_bytes());
    buffer.extend_from_slice(payload);
    buffer.resize(buffer.len().max(start + record_bytes), 1);
    let record = buffer.get_mut(start..).and_then(|it| it.split_first_chunk_mut::<HEADER_BYTES>());
    let Some((header, body)) = record else { return Err("the record has no header".into()) };
    let length = u64::from(u32::try_from(body.len())?);
    *header = (u64::from(crc32fast::hash(body)) << 32 | length).to_le_bytes();
    Ok(())
}

/// Verifies records that stand one behind the other and are at least one.
fn verify(records: &[u8]) -> Outcome<()> {
    let mut rest = records;
    loop {
        let record = rest.split_first_chunk::<HEADER_BYTES>().and_then(|(header, behind)| {
            let header = u64::from_le_bytes(*header);
            let length = usize::try_from(header & u64::from(u32::MAX)).ok()?;
            Some((header >> 32, behind.split_at_checked(length)?))
        });
        let Some((checksum, (body, behind))) = record else {
            return Err("a record is cut short".into());
        };
        if u64::from(crc32fast::hash(body)) != checksum {
            return Err("a record does not verify".into());
        }
        if behind.is_empty() {
            return Ok(());
        }
        rest = behind;
    }
}

/// Records of one size, one behind the other, in memory: as a warm map of their file gives them.
pub(crate) struct Records {
    bytes: Vec<u8>,
    record_bytes: usize,
}

impl Records {
    /// Makes as many records, each with the payload of the event of its number.
    pub(crate) fn encode(count: u64, record_bytes: usize) -> Outcome<Self> {
        let mut bytes = Vec::new();
        for number in 0..count {
            encode_record(&mut bytes, number, &payload(number), record_bytes)?;
        }
        match u64::try_from(bytes.len())? == count * u64::try_from(record_bytes)? {
            true => Ok(Self { bytes, record_bytes }),
            false => Err("the records are larger than asked for".into()),
        }
    }

    /// Verifies one record.
    pub(crate) fn read(&self, number: u64) -> Outcome<()> {
        let start = usize::try_from(number)? * self.record_bytes;
        verify(self.bytes.get(start..start + self.record_bytes).unwrap_or_default())
    }

    /// Verifies every record.
    pub(crate) fn scan(&self) -> Outcome<()> {
        verify(&self.bytes)
    }

    /// Writes the records to a new file.
    pub(crate) fn write(&self, path: &Path) -> Outcome<RecordFile> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        write_all_at(&file, &self.bytes, 0)?;
        file.sync_all()?;
        Ok(RecordFile { file, length: self.bytes.len(), record_bytes: self.record_bytes })
    }
}

/// A file of [`Records`].
pub(crate) struct RecordFile {
    file: File,
    length: usize,
    record_bytes: usize,
}

impl RecordFile {
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Reads the file block by block and verifies every record.
    pub(crate) fn scan(&self) -> Outcome<()> {
        // Small enough for the processor's caches, large enough that a call costs nothing beside it.
        const RECORDS_PER_BLOCK: usize = 1000;
        let mut block = vec![0; RECORDS_PER_BLOCK * self.record_bytes];
        for start in (0..self.length).step_by(block.len()) {
            block.truncate(self.length - start);
            read_exact_at(&self.file, &mut block, u64::try_from(start)?)?;
            verify(&block)?;
        }
        Ok(())
    }
}

/// The plainest group commit: who finds no leader leads, writes and syncs what has gathered, and
/// wakes everybody.
pub(crate) struct GroupCommit {
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
    failed: bool,
    offset: u64,
}

impl GroupCommit {
    /// Makes a file of zeros that is written again from the front when it is full.
    pub(crate) fn create(path: &Path, file_bytes: u64) -> Outcome<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        // Page by page: the system caches a larger write in one piece, and counts all of it as written
        // whenever a part of it is.
        let zeros = [0; 4096];
        for offset in (0..file_bytes).step_by(zeros.len()) {
            write_all_at(&file, &zeros, offset)?;
        }
        file.sync_all()?;
        Ok(Self { file, file_bytes, state: Mutex::default(), synced: Condvar::new() })
    }

    /// Returns how many syncs there have been.
    pub(crate) fn syncs(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).synced
    }

    /// Returns once the bytes are synced.
    pub(crate) fn commit(&self, record: &[u8]) -> Outcome<()> {
        let poisoned = |_| "another thread panicked";
        let mut state = self.state.lock().map_err(poisoned)?;
        state.buffer.extend_from_slice(record);
        let group = state.group;
        while state.synced <= group {
            if state.failed {
                return Err("a write failed".into());
            }
            if state.has_leader {
                state = self.synced.wait(state).map_err(poisoned)?;
                continue;
            }
            let (buffer, offset) = state.lead(self.file_bytes);
            drop(state);
            let outcome = write_all_at(&self.file, &buffer, offset)
                .and_then(|()| Ok(self.file.sync_data()?));
            state = self.state.lock().map_err(poisoned)?;
            state.follow(buffer, outcome.is_err());
            self.synced.notify_all();
            outcome?;
        }
        Ok(())
    }
}

impl Gathered {
    /// Takes what has gathered, and says where it goes: at the front again when the file is full.
    fn lead(&mut self, file_bytes: u64) -> (Vec<u8>, u64) {
        self.has_leader = true;
        self.group += 1;
        let buffer = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        let len = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let offset = if self.offset.saturating_add(len) > file_bytes { 0 } else { self.offset };
        self.offset = offset.saturating_add(len);
        (buffer, offset)
    }

    fn follow(&mut self, mut buffer: Vec<u8>, failed: bool) {
        buffer.clear();
        self.spare = buffer;
        self.has_leader = false;
        self.failed |= failed;
        if !failed {
            self.synced = self.group;
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> Outcome<()> {
    Ok(std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)?)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> Outcome<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if read == 0 {
            return Err("the file ends".into());
        }
        buffer = buffer.get_mut(read..).unwrap_or_default();
        offset += u64::try_from(read)?;
    }
    Ok(())
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> Outcome<()> {
    Ok(std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)?)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> Outcome<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = bytes.get(written..).unwrap_or_default();
        offset += u64::try_from(written)?;
    }
    Ok(())
}
