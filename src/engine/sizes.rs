//! How large a store is: what it takes up on the disk, and how much of that holds commits.
//!
//! Measured by the files that are there, whoever made them, so that a reader and a writer tell the same.

use std::io::ErrorKind;

use super::Engine;
use super::directory::{INDEX, LOG};
use super::tail::CUT_DIRECTORY;
use crate::error::{Error, Result};
use crate::format::SEGMENT_HEADER_BYTES;
use crate::io::{Disk, DiskFile, MakeDirectory, OpenMode};
use crate::sidecar::RecordSizes;

/// Sizes of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Segments of the log, the one prepared ahead included.
    pub(crate) segments: u64,
    /// Bytes of frames.
    pub(crate) log_bytes: u64,
    /// Bytes that the log takes up on the disk.
    pub(crate) disk_bytes: u64,
    /// Bytes that the index takes up on the disk.
    pub(crate) index_bytes: u64,
    /// The records beside the log.
    pub(crate) records: RecordSizes,
    /// Bytes that everything takes up on the disk.
    pub(crate) total_bytes: u64,
}

impl<D: Disk> Engine<D> {
    /// Measures the store.
    pub(crate) fn sizes(&self) -> Result<Sizes> {
        let segments = self.reader().log().segments();
        let end = self.reader().durable_end();
        let frames = |segment: &crate::segment::Segment<D::File>| {
            let header_end = segment.location(SEGMENT_HEADER_BYTES as u64);
            let frames_end = segment.footer().map_or(end, |footer| segment.location(footer.end));
            frames_end.distance_from(header_end)
        };
        let log_bytes = segments.iter().map(|segment| frames(segment)).sum();
        let root = self.root();
        let disk_bytes = folder_bytes(root, LOG)?;
        let index_bytes = folder_bytes(root, INDEX)?;
        let records = self.sidecar().sizes()?;
        let beside = files_bytes(root)? + folder_bytes(root, CUT_DIRECTORY)?;
        Ok(Sizes {
            segments: segments.len() as u64 + u64::from(self.has_spare()),
            log_bytes,
            disk_bytes,
            index_bytes,
            records,
            total_bytes: disk_bytes + index_bytes + records.disk_bytes + beside,
        })
    }
}

/// Returns how many bytes the files of a folder take up; none where it is absent.
fn folder_bytes<D: Disk>(root: &D, name: &str) -> Result<u64> {
    match root.directory(name, MakeDirectory::Never) {
        Ok(folder) => files_bytes(&folder),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(0),
        Err(source) => Err(Error::io("open", root.path().join(name), source)),
    }
}

/// Returns how many bytes the files right in a directory take up. What is no file, what was removed
/// meanwhile and what can not be opened counts nothing.
fn files_bytes<D: Disk>(directory: &D) -> Result<u64> {
    let names = directory.list().map_err(|source| Error::io("list", directory.path(), source))?;
    let files = names.iter().filter_map(|name| directory.open(name, OpenMode::Read).ok());
    Ok(files.map(|file| file.allocated_bytes().unwrap_or_default()).sum())
}
