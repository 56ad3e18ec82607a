//! The bytes on disk: the only reader and writer of raw bytes.
//!
//! Knows no files. Decoding takes bytes from anywhere, hostile ones included, and answers with a
//! value or with the `Fault` that was found; it never panics, and never reserves memory by a length
//! that it has not checked against the bytes at hand.

#![forbid(unsafe_code)]

mod end;
mod event;
mod frame;
mod id_times;
mod layout;
mod lost;
mod record;
mod run;
mod segment;
mod signing;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use end::EndFile;
#[cfg(any(test, feature = "testing"))]
pub(crate) use event::decode_first;
pub(crate) use event::{EventPlace, check, id_of, verifies};
pub(crate) use frame::{Frame, FrameHeader, FrameKind, PackedFrame, Stamp, signing_for};
pub(crate) use id_times::{IdTime, IdTimes};
pub(crate) use layout::{ALIGNMENT, FORMAT_VERSION, SEGMENT_OVERHEAD};
pub(crate) use lost::{HOLES_MAX, Hole, HoleKind, LOST_FILE_BYTES_MAX, decode_lost, encode_lost};
pub(crate) use record::{RECORD_FILE_BYTES_MAX, RecordFile};
pub(crate) use run::{
    BUCKET_BYTES, BUCKET_ENTRIES_MAX, BlockBuilder, Bucket, FILTER_BLOCK_BYTES, Found,
    LIST_COUNT_BYTES, POSTING_BLOCK_BYTES, POSTING_BLOCK_HEADER_BYTES, RUN_PAGE_BYTES, Reference,
    Resume, RunHeader, SHORT_LIST_OFFSETS_END, block_start, decode_block, decode_location,
    decode_short_list, encode_bucket, encode_list_counts, encode_location, filter_bits,
    filter_may_hold, list_counts, range_of, share_of,
};
pub(crate) use segment::{Footer, SegmentHeader};
pub(crate) use signing::{HashOrder, Signing};
pub(crate) use store::StoreFile;

use std::fmt;

/// Bytes of a segment before its first frame.
pub(crate) const SEGMENT_HEADER_BYTES: usize = layout::SEGMENT_HEADER.size;
/// Bytes of the footer at the end of a sealed segment.
pub(crate) const SEGMENT_FOOTER_BYTES: usize = layout::SEGMENT_FOOTER.size;
/// Bytes of a frame header, and so of the smallest frame.
pub(crate) const FRAME_HEADER_BYTES: usize = layout::FRAME_HEADER.size;
/// Bytes of an event header.
pub(crate) const EVENT_HEADER_BYTES: usize = layout::EVENT_HEADER.size;
/// Bytes of the file `STORE` in any version of the format.
pub(crate) const STORE_FILE_BYTES_MAX: usize = layout::STORE_BYTES_MAX;

/// Bytes of the file `END` in any version of the format.
pub(crate) const END_FILE_BYTES_MAX: usize = layout::END_BYTES_MAX;

/// A place in the log: a running address over the bytes of all segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Location(u64);

impl Location {
    pub(crate) const fn new(address: u64) -> Self {
        Self(address)
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// Returns the location `bytes` further on.
    pub(crate) const fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// Returns how many bytes lead here from `earlier`, 0 when it is not earlier.
    pub(crate) const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There are fewer bytes than the structure has.
    Short,
    /// The bytes do not start as the structure does.
    Magic,
    /// A checksum does not match.
    Checksum,
    /// A field has a value that it can not have.
    Invalid(&'static str),
    /// The structure was written by a newer version.
    Newer { found: String, supported: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("it is cut short"),
            Self::Magic => f.write_str("it does not start as it should"),
            Self::Checksum => f.write_str("its checksum does not match"),
            Self::Invalid(what) => write!(f, "its {what} is invalid"),
            Self::Newer { found, .. } => write!(f, "it has the newer format {found}"),
        }
    }
}

/// Returns `length` rounded up to the alignment of the log.
pub(crate) const fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

/// Refuses a structure of a newer format: another version, or feature flags besides those that are known.
fn check_version(version: u32, flags: u32, known_flags: u32) -> Result<(), Fault> {
    if version > FORMAT_VERSION {
        let supported = format!("version {FORMAT_VERSION}");
        return Err(Fault::Newer { found: format!("version {version}"), supported });
    }
    if version == 0 {
        return Err(Fault::Invalid("format version"));
    }
    if flags & !known_flags != 0 {
        let supported = match known_flags {
            0 => "no feature flags".to_owned(),
            known => format!("feature flags {known:#x}"),
        };
        return Err(Fault::Newer { found: format!("feature flags {flags:#x}"), supported });
    }
    Ok(())
}

/// Tells whether all bytes are zero, by comparing them with zeros: as fast without optimisation.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|part| ZEROS.starts_with(part))
}
