//! One file of the log: its name, its header, and reading events out of it.
//!
//! A segment is written by appending frames behind its header until one does not fit, then sealed by
//! a footer in its last bytes. Who appends and when is the business of `engine`; this floor knows how
//! a segment is made ([`prepare`]), scanned ([`Scan`]) and read.
//!
//! Invariants:
//!
//! 1. A segment has its final name only once its header is durable.
//! 2. Bytes before the readable end are durable and never change, and nothing else is handed out.
//! 3. A segment's file has its whole length before it has its name, and is never made shorter. It grows
//!    behind the segment each time when what is in it is settled.
//! 4. Space that is given back lies between the last frame and the footer of a sealed segment, in
//!    pages of their own: zeros before, and zeros after.

#![forbid(unsafe_code)]

mod prepare;
mod scan;

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

pub(crate) use prepare::{Preallocation, prepare};
pub(crate) use scan::{EventRun, Scan, Scanned};

use crate::error::{Damage, Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::format::{
    ALIGNMENT, EVENT_HEADER_BYTES, EventPlace, FRAME_HEADER_BYTES, Fault, Footer, FrameHeader,
    Location, SEGMENT_FOOTER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, check, id_of,
};
use crate::io::{Disk, DiskFile, OpenMode, PAGE_BYTES, Piece, ViewedFile};

const SUFFIX: &str = ".seg";
const UNFINISHED_SUFFIX: &str = ".tmp";
const NUMBER_DIGITS: usize = 16;

/// Bytes that a file grows by behind the end of its segment, each time when what is in it is settled.
const GROWTH_BYTES: u64 = 8;

/// Bytes behind the end of a segment that are looked at when a store is verified.
const BEHIND_BYTES_MAX: u64 = 1 << 20;

/// How much of an event is fetched ahead: most are shorter, and the processor goes on by itself.
const FETCHED_BYTES: u64 = 384;

#[expect(clippy::cast_possible_truncation, reason = "both are small constants")]
const EVENT_HEADER_LENGTH: u32 = EVENT_HEADER_BYTES as u32;
#[expect(clippy::cast_possible_truncation, reason = "both are small constants")]
const FRAME_HEADER_LENGTH: u32 = FRAME_HEADER_BYTES as u32;

/// Returns the file name of a segment.
pub(crate) fn name(number: u64) -> String {
    format!("{number:0NUMBER_DIGITS$}{SUFFIX}")
}

fn unfinished_name(number: u64) -> String {
    format!("{number:0NUMBER_DIGITS$}{UNFINISHED_SUFFIX}")
}

/// Returns the number of the segment with this file name, if it is one.
pub(crate) fn number_of(file_name: &str) -> Option<u64> {
    number_with(file_name, SUFFIX)
}

/// Returns the numbers of the segments that are there, in order.
pub(crate) fn numbers(disk: &impl Disk) -> Result<Vec<u64>> {
    let names = disk.list().map_err(|source| Error::io("list", disk.path(), source))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Tells whether a file name is that of a segment that was never finished.
pub(crate) fn is_unfinished(file_name: &str) -> bool {
    number_with(file_name, UNFINISHED_SUFFIX).is_some()
}

/// Matches names exactly as they are generated, so that no other file is ever taken for a segment.
fn number_with(file_name: &str, suffix: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(suffix)?;
    let is_plain = digits.len() == NUMBER_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|number| is_plain && *number > 0)
}

/// A segment of the log.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    header: SegmentHeader,
    file: ViewedFile<F>,
    path: PathBuf,
    /// Set when the segment is sealed.
    footer: OnceLock<Footer>,
    /// The offset before which bytes may be handed out.
    readable: AtomicU64,
    /// Bytes of the file when it was opened.
    file_bytes: u64,
    /// Where the device could not give bytes back, if the reader goes on all the same.
    unreadable: Option<Mutex<Vec<Range<u64>>>>,
}

impl<F: DiskFile> Segment<F> {
    /// Opens the segment with a number and reads its header.
    ///
    /// # Errors
    ///
    /// `Error::Damage` or `Error::Incompatible` for a header that is not one of this number.
    pub(crate) fn open(disk: &impl Disk<File = F>, number: u64, mode: OpenMode) -> Result<Self> {
        let name = name(number);
        let path = disk.path().join(&name);
        let file = disk.open(&name, mode).map_err(|source| Error::io("open", &path, source))?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let length = file.read_up_to(&mut bytes, 0).map_err(|source| Error::Read {
            path: path.clone(),
            offset: 0,
            source,
        })?;
        let decoded = SegmentHeader::decode(bytes.get(..length).unwrap_or_default());
        let header = match decoded {
            Ok(header) if header.number == number => header,
            Ok(_) => return Err(fault_in(path, 0, &Fault::Invalid("segment number"), "header")),
            Err(fault) => return Err(fault_in(path, 0, &fault, "header")),
        };
        let file_bytes = file.len().map_err(|source| Error::io("measure", &path, source))?;
        Ok(Self::new(header, file, path, file_bytes))
    }

    /// Puts together a segment whose header is known.
    fn new(header: SegmentHeader, file: F, path: PathBuf, file_bytes: u64) -> Self {
        let (file, footer, unreadable) = (ViewedFile::new(file), OnceLock::new(), None);
        Self { header, file, path, footer, readable: AtomicU64::new(0), file_bytes, unreadable }
    }

    /// Opens the segment with a header that is known, whatever stands in the place of its own.
    pub(crate) fn open_with(
        disk: &impl Disk<File = F>,
        header: SegmentHeader,
        mode: OpenMode,
    ) -> Result<Self> {
        let name = name(header.number);
        let path = disk.path().join(&name);
        let file = disk.open(&name, mode).map_err(|source| Error::io("open", &path, source))?;
        let file_bytes = file.len().map_err(|source| Error::io("measure", &path, source))?;
        Ok(Self::new(header, file, path, file_bytes))
    }

    /// Lets what the device can not give back read as bytes that are no frame, instead of ending the
    /// reading there.
    pub(crate) fn tolerating_read_errors(self) -> Self {
        Self { unreadable: Some(Mutex::default()), ..self }
    }

    /// Returns the first offset in a range that the device could not give back, of what was read.
    pub(crate) fn unreadable_in(&self, range: &Range<u64>) -> Option<u64> {
        let unreadable = self.unreadable.as_ref()?.lock();
        let within = unreadable.iter().filter(|own| own.start < range.end && range.start < own.end);
        within.map(|own| own.start.max(range.start)).min()
    }

    /// Returns the length of the file if it is shorter than it was made.
    pub(crate) fn cut_short_at(&self) -> Option<u64> {
        Some(self.file_bytes).filter(|bytes| *bytes < self.header.size)
    }

    /// Returns the offset before which frames can stand.
    pub(crate) fn frames_end(&self) -> u64 {
        let in_file = self.file_bytes / ALIGNMENT as u64 * ALIGNMENT as u64;
        self.header.footer_offset().min(in_file).max(SEGMENT_HEADER_BYTES as u64)
    }

    pub(crate) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    pub(crate) fn file(&self) -> &F {
        self.file.file()
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Returns the footer if the segment is known to be sealed.
    pub(crate) fn footer(&self) -> Option<&Footer> {
        self.footer.get()
    }

    /// Remembers that the segment has been sealed, durably.
    pub(crate) fn mark_sealed(&self, footer: Footer) {
        self.set_readable(footer.end);
        let _already = self.footer.set(footer);
    }

    /// Gives the room that no frame has used back to the file system, once the segment is sealed. Where
    /// that fails it stays taken, which loses nothing.
    pub(crate) fn give_back_end(&self) {
        let Some(footer) = self.footer() else { return };
        let start = footer.end.next_multiple_of(PAGE_BYTES);
        let end = self.header.footer_offset() / PAGE_BYTES * PAGE_BYTES;
        if start < end {
            let _best_effort = self.file().give_back(start, end - start);
        }
    }

    /// Lets the file grow behind the end of the segment, where nobody looks: programs that copy files and
    /// compare only length and whole seconds see that it has changed. Where that fails, nothing but that
    /// is lost.
    pub(crate) fn grow(&self) {
        let file = self.file();
        let grown = |length: u64| file.set_len(length.max(self.header.size) + GROWTH_BYTES);
        let _best_effort = file.len().and_then(grown);
    }

    /// Returns where the first byte stands behind the segment that is not zero, as far as a file of a store
    /// that was closed any likely number of times reaches.
    pub(crate) fn stray_behind(&self) -> Result<Option<u64>> {
        let length = self.file_bytes.saturating_sub(self.header.size).min(BEHIND_BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.read(&mut bytes, self.header.size)?;
        let first = bytes.iter().position(|byte| *byte != 0);
        Ok(first.map(|first| self.header.size + first as u64))
    }

    /// Tells whether the file has never grown.
    pub(crate) fn is_ungrown(&self) -> bool {
        self.file_bytes <= self.header.size
    }

    /// Reads the footer's place: `Ok(None)` when it is blank, as in a segment that is not sealed.
    pub(crate) fn read_footer(&self) -> Result<Option<Result<Footer, Fault>>> {
        let mut bytes = [0; SEGMENT_FOOTER_BYTES];
        let offset = self.header.footer_offset();
        self.read(&mut bytes, offset)?;
        match bytes.iter().all(|byte| *byte == 0) {
            true => Ok(None),
            false => Ok(Some(Footer::decode(&bytes, &self.header))),
        }
    }

    /// Fills `buffer` from an offset; what lies behind the end of the file reads as zeros.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        match (self.file().read_up_to(buffer, offset), &self.unreadable) {
            (Ok(length), _) => buffer.get_mut(length..).unwrap_or_default().fill(0),
            (Err(source), None) => return Err(self.read_error(offset, source)),
            (Err(_), Some(unreadable)) => {
                let found = read_around_errors(self.file(), buffer, offset);
                unreadable.lock().extend(found);
            }
        }
        Ok(())
    }

    /// Returns the location of an offset of this segment.
    pub(crate) fn location(&self, offset: u64) -> Location {
        self.header.base.plus(offset)
    }

    /// Returns the offset of a location that lies in this segment.
    pub(crate) fn offset(&self, location: Location) -> u64 {
        location.distance_from(self.header.base)
    }

    /// Lets readers see the bytes before an offset, which are durable and never change again.
    pub(crate) fn set_readable(&self, end: u64) {
        self.readable.store(end, Ordering::Release);
    }

    /// Reads and verifies the event at a location.
    #[inline]
    pub(crate) fn event(&self, location: Location) -> Result<RecordedEvent> {
        let own = self.event_bytes(location)?;
        self.check(&own, location)?;
        Ok(RecordedEvent::of(own))
    }

    /// Reads the bytes of the event at a location, without verifying them.
    #[inline]
    pub(crate) fn event_bytes(&self, location: Location) -> Result<Bytes> {
        self.bytes(self.offset(location), self.event_place(location)?.length, "event")
    }

    /// Verifies the bytes of the event at a location.
    #[inline]
    pub(crate) fn check(&self, own: &[u8], location: Location) -> Result<()> {
        check(own, self.header.signing, location)
            .map_err(|fault| self.fault(self.offset(location), &fault, "event"))
    }

    /// Turns a fault of the event at a location into the error for it.
    #[cold]
    pub(crate) fn event_fault(&self, location: Location, fault: &Fault) -> Error {
        self.fault(self.offset(location), fault, "event")
    }

    /// Returns up to `length` bytes from the event at a location on, fewer before the readable end.
    pub(crate) fn window(&self, location: Location, length: u64) -> Result<Bytes> {
        let offset = self.offset(location);
        let readable = self.readable.load(Ordering::Acquire).saturating_sub(offset);
        let length = u32::try_from(length.min(readable)).unwrap_or(u32::MAX);
        self.bytes(offset, length.max(EVENT_HEADER_LENGTH), "event")
    }

    /// Begins to fetch the event at a location, where it is mapped: asked of several events in a row,
    /// their waits for memory overlap.
    #[inline]
    pub(crate) fn fetch(&self, location: Location) {
        let offset = self.offset(location);
        let readable = self.readable.load(Ordering::Acquire).saturating_sub(offset);
        self.file.fetch(offset, readable.min(FETCHED_BYTES) as usize);
    }

    /// Reads the header of the frame at a location, without verifying it: it only says where the next events
    /// are, and each of them says its own position.
    pub(crate) fn frame_header(&self, location: Location) -> Result<FrameHeader> {
        let offset = self.offset(location);
        FrameHeader::read(&self.piece(offset, FRAME_HEADER_LENGTH, "frame")?)
            .map_err(|fault| self.fault(offset, &fault, "frame"))
    }

    /// Reads where the event at a location stands in its frame, without verifying it.
    #[inline]
    pub(crate) fn event_place(&self, location: Location) -> Result<EventPlace> {
        let offset = self.offset(location);
        let header = self.piece(offset, EVENT_HEADER_LENGTH, "event")?;
        EventPlace::read(&header).map_err(|fault| self.fault(offset, &fault, "event"))
    }

    /// Reads the id of the event at a location, without verifying it.
    pub(crate) fn event_id(&self, location: Location) -> Result<EventId> {
        Ok(id_of(&self.piece(self.offset(location), EVENT_HEADER_LENGTH, "event")?))
    }

    /// Returns exactly the bytes of a range, which must lie before the readable end: what lies behind
    /// may be written to at any moment, and a damaged length must not lead there.
    #[inline]
    fn piece(&self, offset: u64, length: u32, what: &'static str) -> Result<Piece<'_>> {
        self.check_readable(offset, length, what)?;
        let piece = self.file.piece(offset, length as usize);
        piece.map_err(|source| self.no_piece(offset, source, what))
    }

    /// As `piece`, as bytes that may be kept.
    #[inline]
    fn bytes(&self, offset: u64, length: u32, what: &'static str) -> Result<Bytes> {
        self.check_readable(offset, length, what)?;
        let bytes = self.file.bytes(offset, length as usize);
        bytes.map_err(|source| self.no_piece(offset, source, what))
    }

    #[cold]
    fn no_piece(&self, offset: u64, source: io::Error, what: &'static str) -> Error {
        match source.kind() {
            ErrorKind::UnexpectedEof => self.fault(offset, &Fault::Short, what),
            _ => self.read_error(offset, source),
        }
    }

    #[inline]
    fn check_readable(&self, offset: u64, length: u32, what: &'static str) -> Result<()> {
        let end = offset.checked_add(length.into());
        match end.is_some_and(|end| end <= self.readable.load(Ordering::Acquire)) {
            true => Ok(()),
            false => Err(self.fault(offset, &Fault::Invalid("length"), what)),
        }
    }

    fn read_error(&self, offset: u64, source: io::Error) -> Error {
        Error::Read { path: self.path.clone(), offset, source }
    }

    /// Turns a fault in what had been durable into the error for it.
    pub(crate) fn fault(&self, offset: u64, fault: &Fault, what: &'static str) -> Error {
        fault_in(self.path.clone(), offset, fault, what)
    }
}

/// What stands for bytes that the device can not give back: neither zeros nor a frame.
const UNREADABLE: u8 = 0xa5;

/// Bytes that a device gives back or not as one.
const SECTOR_BYTES: usize = 512;

/// Fills `buffer` from an offset sector by sector, and returns the ranges that can not be read.
pub(crate) fn read_around_errors(
    file: &impl DiskFile,
    buffer: &mut [u8],
    offset: u64,
) -> Vec<Range<u64>> {
    let mut unreadable: Vec<Range<u64>> = Vec::new();
    let mut at = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        let to_boundary = SECTOR_BYTES as u64 - at % SECTOR_BYTES as u64;
        let length = usize::try_from(to_boundary).unwrap_or(SECTOR_BYTES).min(rest.len());
        let (sector, behind) = rest.split_at_mut(length);
        let end = at + length as u64;
        match file.read_up_to(sector, at) {
            Ok(read) => sector.get_mut(read..).unwrap_or_default().fill(0),
            Err(_) => {
                sector.fill(UNREADABLE);
                match unreadable.last_mut().filter(|last| last.end == at) {
                    Some(last) => last.end = end,
                    None => unreadable.push(at..end),
                }
            }
        }
        (at, rest) = (end, behind);
    }
    unreadable
}

fn fault_in(file: PathBuf, offset: u64, fault: &Fault, what: &'static str) -> Error {
    match fault {
        Fault::Newer { found, supported } => {
            Error::Incompatible { file, found: found.clone(), supported: supported.clone() }
        }
        fault => Damage {
            file,
            offset,
            reason: format!("{what}: {fault}"),
            first_lost: None,
            first_good_after: None,
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generated_names_are_taken_for_segments() {
        assert_eq!(number_of(&name(7)), Some(7));
        assert_eq!(number_of("0000000000000007.seg"), Some(7));
        for other in
            ["7.seg", "+000000000000007.seg", "0000000000000007.seg.bak", "0000000000000000.seg"]
        {
            assert_eq!(number_of(other), None, "{other}");
        }
        assert!(is_unfinished(&unfinished_name(3)));
        assert!(!is_unfinished(&name(3)));
    }
}
