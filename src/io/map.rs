//! Maps of files, and the calls to the system and to the processor that no safe crate offers.
//!
//! The only module with `unsafe`. Knows files, not what is in them; who may look at which range is
//! argued here and kept by the callers of [`ViewedFile`](crate::io::ViewedFile).

#![expect(
    unsafe_code,
    reason = "a map of a file is unsafe whoever makes it; this is the one place"
)]

use std::fs::File;
use std::io::Result;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};

const CACHE_LINE_BYTES: usize = 64;

/// A read-only map of a file, as long as the file was when it was mapped.
///
/// Clones are the same map. It stays valid when the file grows, is closed or is removed.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    raw: Arc<MmapRaw>,
    /// The same bytes, for slices that outlive the map.
    shared: Bytes,
}

/// Keeps a map alive for the slices that are taken of it.
struct Owner(Arc<MmapRaw>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: The map exists as long as `self`. `Bytes` calls this once, for an address and a
        // length; nothing is read through the slice, and slicing a `Bytes` reads nothing either.
        unsafe { slice::from_raw_parts(self.0.as_ptr(), self.0.len()) }
    }
}

impl Map {
    /// Maps a file; `None` for an empty one.
    pub(super) fn of(file: &File) -> Result<Option<Self>> {
        let Ok(len) = usize::try_from(file.metadata()?.len()) else { return Ok(None) };
        if len == 0 {
            return Ok(None);
        }
        let raw = Arc::new(MmapOptions::new().len(len).map_raw_read_only(file)?);
        let shared = Bytes::from_owner(Owner(Arc::clone(&raw)));
        Ok(Some(Self { raw, shared }))
    }

    /// Returns a range, `None` for one that the map does not cover.
    #[inline]
    pub(crate) fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = self.start_of(offset, len)?;
        // SAFETY: The range lies within the map, which exists as long as `self`. Its pages exist: the
        // map is as long as the file was, and a file of a store is never made shorter while the
        // store lives (`DiskFile::set_len`); another program that does so breaks the store in every
        // mode. Its bytes stay unchanged: callers ask for nothing but ranges below the durable end
        // of a segment, or of runs, and those are never written again. A slice of only that range
        // is made, never one of bytes that may still be written.
        Some(unsafe { slice::from_raw_parts(self.raw.as_ptr().add(start), len) })
    }

    /// As [`get`](Self::get), as bytes that keep the map alive.
    #[inline]
    pub(crate) fn share(&self, offset: u64, len: usize) -> Option<Bytes> {
        let start = self.start_of(offset, len)?;
        Some(self.shared.slice(start..start + len))
    }

    #[inline]
    fn start_of(&self, offset: u64, len: usize) -> Option<usize> {
        let start = usize::try_from(offset).ok()?;
        start.checked_add(len).filter(|end| *end <= self.raw.len())?;
        Some(start)
    }
}

/// Begins to bring bytes that will be looked at soon into the processor's caches.
#[inline]
pub(crate) fn fetch(bytes: &[u8]) {
    bytes.iter().step_by(CACHE_LINE_BYTES).for_each(fetch_line);
}

/// Begins to bring the cache line of a byte into the caches, without waiting for it.
#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch_line(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: The instruction is a hint, which reads nothing that the program sees and can not fail.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
}

/// Reads a byte: reads of several in a row overlap, but the last of them are waited for.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch_line(byte: &u8) {
    std::hint::black_box(*byte);
}

/// Writes out a range of a file and waits for it, without flushing the device.
#[cfg(target_os = "linux")]
pub(super) fn write_out(file: &File, offset: u64, len: u64) -> Result<()> {
    use libc::{SYNC_FILE_RANGE_WAIT_AFTER, SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE};

    const WRITE_AND_WAIT: libc::c_uint =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

    sync_file_range(file, offset, len, WRITE_AND_WAIT)
}

/// Begins to write a range of a file out, without waiting for it. The system keeps a failure of the
/// device for the next sync.
#[cfg(target_os = "linux")]
pub(super) fn begin_write_out(file: &File, offset: u64, len: u64) -> Result<()> {
    sync_file_range(file, offset, len, libc::SYNC_FILE_RANGE_WRITE)
}

#[cfg(target_os = "linux")]
fn sync_file_range(file: &File, offset: u64, len: u64, flags: libc::c_uint) -> Result<()> {
    use std::io::{Error, ErrorKind};
    use std::os::fd::AsRawFd;

    let as_offset = |bytes| i64::try_from(bytes).map_err(|_| Error::from(ErrorKind::InvalidInput));
    let (offset, len) = (as_offset(offset)?, as_offset(len)?);
    // SAFETY: The call takes numbers only, and the descriptor is open as long as `file` is.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) } {
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

/// Does nothing: the system has no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn begin_write_out(_file: &File, _offset: u64, _len: u64) -> Result<()> {
    Ok(())
}

/// Returns a number in memory of its own that the system sets to 0 in every process that is forked from
/// this one; `None` where the system has no such memory.
#[cfg(target_os = "linux")]
pub(super) fn wiped_by_fork() -> Option<&'static AtomicU64> {
    const PAGE: usize = 4096;

    let page: &'static mut memmap2::MmapMut =
        Box::leak(Box::new(MmapOptions::new().len(PAGE).map_anon().ok()?));
    let start = page.as_mut_ptr();
    // SAFETY: The range is a private map of this process that nobody else knows of and that is never
    // unmapped; the advice changes nothing in this process.
    if unsafe { libc::madvise(start.cast(), page.len(), libc::MADV_WIPEONFORK) } != 0 {
        return None;
    }
    // SAFETY: The pointer is the start of a page, so it is aligned; the page lives as long as the process,
    // and nothing but this number is ever made of it.
    Some(unsafe { AtomicU64::from_ptr(start.cast()) })
}

/// Returns `None`: the system has no such memory.
#[cfg(not(target_os = "linux"))]
pub(super) fn wiped_by_fork() -> Option<&'static AtomicU64> {
    None
}
