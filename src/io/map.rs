//! Maps of files, and the one call to the system that no safe crate offers.
//!
//! The only module with `unsafe`. Knows files, not what is in them; who may look at which range is
//! argued here and kept by the callers of [`DiskFile::view`](crate::io::DiskFile::view).

#![expect(
    unsafe_code,
    reason = "a map of a file is unsafe whoever makes it; this is the one place"
)]

use std::fs::File;
use std::io::Result;

use bytes::Bytes;
use memmap2::MmapOptions;
use parking_lot::RwLock;

/// How much a file must have grown before it is mapped anew; what is beyond the map until then is
/// read. Bounds how often a file that grows by small writes is mapped: 64 times for 64 MiB.
const REMAP_GROWTH_BYTES_MIN: usize = 1024 * 1024;

/// A read-only map of a file, made when first looked at.
#[derive(Debug, Default)]
pub(super) struct LazyMap(RwLock<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Unmapped,
    Mapped(Bytes),
    /// The file can not be mapped, and it is not tried again.
    Refused,
}

impl LazyMap {
    /// Returns a range of the file, or `None` when the map does not cover it.
    pub(super) fn view(&self, file: &File, offset: u64, len: usize) -> Option<Bytes> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(len)?;
        match &*self.0.read() {
            State::Mapped(map) if end <= map.len() => return Some(map.slice(start..end)),
            State::Refused => return None,
            State::Mapped(_) | State::Unmapped => {}
        }
        let map = self.grown(file, end)?;
        (end <= map.len()).then(|| map.slice(start..end))
    }

    /// Maps the file if it reaches to `end` and has grown enough, and returns its map.
    fn grown(&self, file: &File, end: usize) -> Option<Bytes> {
        let len = usize::try_from(file.metadata().ok()?.len()).ok()?;
        let mut state = self.0.write();
        let mapped = match &*state {
            State::Mapped(map) if end <= map.len() => return Some(map.clone()),
            State::Mapped(map) => map.len() + REMAP_GROWTH_BYTES_MIN,
            State::Unmapped => end,
            State::Refused => return None,
        };
        if len < end.max(mapped) {
            return None;
        }
        *state = map(file, len).map_or(State::Refused, State::Mapped);
        match &*state {
            State::Mapped(map) => Some(map.clone()),
            State::Unmapped | State::Refused => None,
        }
    }
}

/// Maps the first `len` bytes of a file that is at least that long.
fn map(file: &File, len: usize) -> Result<Bytes> {
    // SAFETY: The bytes behind a slice must exist and stay unchanged as long as the slice lives.
    // They exist: `len` is at most the file's length, checked just before, and a file of a store is
    // never made shorter while the store lives (`DiskFile::set_len`); another program that does
    // so breaks the store in every mode. They stay unchanged: a map is only ever looked at through
    // `LazyMap::view`, whose callers ask for nothing but ranges below the durable end, and those
    // are never written again. The slice of the whole map that `Bytes::from_owner` takes for a
    // moment gives it an address and a length; nothing is read through it, and slicing a `Bytes`
    // reads nothing either.
    let map = unsafe { MmapOptions::new().len(len).map(file)? };
    Ok(Bytes::from_owner(map))
}

/// Writes out a range of a file and waits for it, without flushing the device.
#[cfg(target_os = "linux")]
pub(super) fn write_out(file: &File, offset: u64, len: u64) -> Result<()> {
    use std::io::{Error, ErrorKind};
    use std::os::fd::AsRawFd;

    use libc::{SYNC_FILE_RANGE_WAIT_AFTER, SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE};

    const WRITE_AND_WAIT: libc::c_uint =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

    let as_offset = |bytes| i64::try_from(bytes).map_err(|_| Error::from(ErrorKind::InvalidInput));
    let (offset, len) = (as_offset(offset)?, as_offset(len)?);
    // SAFETY: The call takes numbers only, and the descriptor is open as long as `file` is.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, WRITE_AND_WAIT) } {
        0 => Ok(()),
        _ => match Error::last_os_error() {
            error if error.kind() == ErrorKind::Unsupported => Ok(()),
            error => Err(error),
        },
    }
}

/// Does nothing: the system has no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn write_out(_file: &File, _offset: u64, _len: u64) -> Result<()> {
    Ok(())
}
