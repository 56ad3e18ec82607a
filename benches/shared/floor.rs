//! The raw floor: what the disk and the processor give to a program that keeps no promise but one.
//!
//! Records are encoded and checksummed as any log does it, written with one positioned write and one
//! data sync to a file filled with zeros, by a plain group commit that is nothing but a write when only
//! one thread commits. A scan reads such records and verifies their checksums.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use super::Outcome;

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

/// Verifies the records that a buffer begins with, and returns how many there are and how many bytes
/// they take; the last one may be cut short.
pub(crate) fn verify_records(buffer: &[u8]) -> Outcome<(u64, usize)> {
    let (mut count, mut rest) = (0, buffer);
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = u64::from_le_bytes(*header);
        let length = usize::try_from(header & u64::from(u32::MAX))?;
        let Some((body, behind)) = behind.split_at_checked(length) else { break };
        if length == 0 || u64::from(crc32fast::hash(body)) != header >> 32 {
            return Err("a record does not verify".into());
        }
        (count, rest) = (count + 1, behind);
    }
    Ok((count, buffer.len() - rest.len()))
}

/// Writes records to a new file, for [`scan`].
pub(crate) fn write_records(
    path: &Path,
    records: u64,
    payload: &[u8],
    record_bytes: usize,
) -> Outcome<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let (mut buffer, mut offset) = (Vec::new(), 0);
    for number in 0..records {
        encode_record(&mut buffer, number, payload, record_bytes)?;
        if buffer.len() >= BLOCK_BYTES || number + 1 == records {
            write_all_at(&file, &buffer, offset)?;
            offset += u64::try_from(buffer.len())?;
            buffer.clear();
        }
    }
    Ok(file.sync_all()?)
}

/// Small enough for the processor's caches, large enough that a call costs nothing beside it.
const BLOCK_BYTES: usize = 256 * 1024;

/// Reads a file of records block by block, verifies each of them, and returns how many there are.
pub(crate) fn scan(file: &mut impl std::io::Read) -> Outcome<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let (mut count, mut held) = (0, 0);
    loop {
        let read = file.read(block.get_mut(held..).unwrap_or_default())?;
        if read == 0 {
            return if held == 0 { Ok(count) } else { Err("a record is cut short".into()) };
        }
        held += read;
        let (verified, length) = verify_records(block.get(..held).unwrap_or_default())?;
        block.copy_within(length..held, 0);
        held -= length;
        count += verified;
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
        let zeros = vec![0; 1 << 20];
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
