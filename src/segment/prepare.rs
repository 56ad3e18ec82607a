//! Makes a segment so that commits never touch file metadata: its space is allocated and written
//! with zeros before it gets its name.
//!
//! On file systems that update in place, a write to a block that was never written costs one more
//! journal write per commit; a block of zeros does not (`docs/adr/0003-preallocation.md`).

use std::io;

use super::{Segment, name, unfinished_name};
use crate::bugs::{self, Bug};
use crate::error::{Displaced, Error, Result};
use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::io::{Disk, DiskFile, OpenMode};

/// Bytes of zeros that are written at once: a commit waits for the device until the piece before it is
/// written.
const ZEROS_BYTES: usize = 256 << 10;

/// How much is done ahead of the commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preallocation {
    /// Space is allocated and zeros are written.
    Zeros,
    /// Space is allocated only: when bulk loading, zeros would double what the device writes.
    Space,
}

/// Makes a new, blank segment, durable under its final name. A segment that has the name is never replaced.
///
/// # Errors
///
/// `Error::NoSpace` when the device is full; the unfinished file is removed again.
pub(crate) fn prepare<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    preallocation: Preallocation,
) -> Result<Segment<D::File>> {
    let unfinished = unfinished_name(header.number);
    let path = disk.path().join(name(header.number));
    let failed = |operation, source| Error::io(operation, &path, source);
    match disk.remove(&unfinished) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove an unfinished", source));
        }
        _ => {}
    }
    let filled = fill(disk, &unfinished, &header, preallocation).and_then(|file| {
        disk.rename_new(&unfinished, &name(header.number)).map_err(|source| {
            match source.kind() {
                // The next number is free unless somebody else goes on with this log.
                io::ErrorKind::AlreadyExists => {
                    Displaced { path: path.clone(), what: "was made" }.into()
                }
                _ => source,
            }
        })?;
        if !bugs::on(Bug::SegmentNameUnsynced) {
            disk.sync_dir()?;
        }
        Ok(file)
    });
    match filled {
        Ok(file) => Ok(Segment::new(header, file, path, header.size)),
        Err(source) => {
            let _best_effort = disk.remove(&unfinished);
            Err(failed("prepare", source))
        }
    }
}

fn fill<D: Disk>(
    disk: &D,
    name: &str,
    header: &SegmentHeader,
    preallocation: Preallocation,
) -> io::Result<D::File> {
    let file = disk.open(name, OpenMode::CreateNew)?;
    match file.allocate(header.size) {
        Ok(()) => {}
        // Without allocation a segment is still correct: it grows as it is written.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => file.set_len(header.size)?,
        Err(error) => return Err(error),
    }
    if preallocation == Preallocation::Zeros {
        write_zeros(&file, header.size)?;
    }
    debug_assert_eq!(header.encode().len(), SEGMENT_HEADER_BYTES);
    file.write_all_at(&header.encode(), 0)?;
    if !bugs::on(Bug::SegmentUnsynced) {
        file.sync_data()?;
    }
    if preallocation == Preallocation::Zeros {
        // The system caches zeros in pieces as large as they were written, and would write a whole one
        // out for every commit in it.
        let _they_stay_cached = file.evict();
    }
    Ok(file)
}

fn write_zeros(file: &impl DiskFile, size: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut offset = 0;
    while offset < size {
        let length = (size - offset).min(ZEROS_BYTES as u64);
        #[expect(clippy::cast_possible_truncation, reason = "it is at most one piece")]
        let piece =
            zeros.get(..length as usize).ok_or_else(|| io::Error::other("no such piece"))?;
        file.write_through_at(piece, offset)?;
        offset += length;
    }
    Ok(())
}
