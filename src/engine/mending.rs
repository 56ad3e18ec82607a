//! Makes again what a store can tell twice: its identity, and the headers of segments.
//!
//! Finds out and changes nothing. The identity stands in every segment; a header follows from its
//! neighbours, the length of its file and the frames behind it, which verify with one salt only.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use uuid::Uuid;

use super::holes::Holes;
use crate::error::{Error, Result};
use crate::format::{
    Frame, HashOrder, Location, SEGMENT_FOOTER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, Signing,
    StoreFile, is_zero, signing_for,
};
use crate::io::{Disk, DiskFile, OpenMode, PAGE_BYTES};
use crate::limits::COMMIT_BYTES_MAX;
use crate::segment::{self, Scan, Scanned, Segment, read_around_errors};
use crate::timestamp::Timestamp;

/// Returns the identity that most segments tell of. The key of the index is a new one.
pub(crate) fn identity<D: Disk>(log: &D, now: Timestamp) -> Result<Option<StoreFile>> {
    let mut told: BTreeMap<Uuid, usize> = BTreeMap::new();
    let mut created_at = None;
    for number in segment::numbers(log)? {
        let Some(segment) = readable(log, number)? else { continue };
        *told.entry(segment.header().store_id).or_default() += 1;
        if let Ok(Scanned::Frame(first)) = Scan::new(&segment).advance() {
            created_at.get_or_insert(first.header().recorded_at);
        }
    }
    let most = told.into_iter().max_by_key(|(_, count)| *count);
    Ok(most.map(|(store_id, _)| StoreFile {
        store_id,
        hash_key: *Uuid::new_v4().as_bytes(),
        created_at: created_at.unwrap_or(now),
    }))
}

/// Opens a segment, if its header verifies.
fn readable<D: Disk>(log: &D, number: u64) -> Result<Option<Segment<D::File>>> {
    match Segment::open(log, number, OpenMode::Read) {
        Ok(segment) => Ok(Some(segment)),
        Err(Error::Damage(_) | Error::Read { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the headers of damaged segments, out of those that are asked for, that can be told from
/// what is around them.
pub(crate) fn headers<D: Disk>(
    log: &D,
    store_id: Uuid,
    damaged: &[RangeInclusive<u64>],
    holes: &Holes,
) -> Result<BTreeMap<u64, SegmentHeader>> {
    let numbers = segment::numbers(log)?;
    let mut reached = BTreeMap::from([(0, Location::default())]);
    reached.extend(holes.of_segments().map(|hole| (hole.last_segment, hole.end)));
    let mut mended = BTreeMap::new();
    for number in &numbers {
        if let Some(segment) = readable(log, *number)? {
            reached.insert(*number, segment.header().end());
        } else if damaged.iter().any(|asked| asked.contains(number)) {
            let place = Place {
                number: *number,
                base: reached.get(&(number - 1)).copied(),
                end: readable(log, number + 1).ok().flatten().map(|next| next.header().base),
                is_last: numbers.last() == Some(number),
            };
            if let Some(header) = header(log, store_id, &place)? {
                reached.insert(*number, header.end());
                mended.insert(*number, header);
            }
        }
    }
    Ok(mended)
}

/// What is known of a segment from its neighbours.
struct Place {
    number: u64,
    base: Option<Location>,
    end: Option<Location>,
    is_last: bool,
}

fn header<D: Disk>(log: &D, store_id: Uuid, place: &Place) -> Result<Option<SegmentHeader>> {
    let name = segment::name(place.number);
    let failed = |source| Error::io("open", log.path().join(&name), source);
    let file = log.open(&name, OpenMode::Read).map_err(failed)?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    read_around_errors(&file, &mut bytes, 0);
    // A header that verifies is not damaged: it is that of another segment.
    if SegmentHeader::decode(&bytes).is_ok() {
        return Ok(None);
    }
    let written = SegmentHeader::fields(&bytes);
    let base = place.base.unwrap_or(written.base);
    let size = size_by(file.len().map_err(failed)?, written.size);
    let sizes = [place.end.map(|end| end.distance_from(base)), Some(size), Some(written.size)];
    let mut signings = vec![(written.signing, 1)];
    let first = base.plus(SEGMENT_HEADER_BYTES as u64);
    // The first frame itself says what the salt has to be, so it takes another one to show it.
    let of_first = place.base.and_then(|_| signing_of(&file, first));
    signings.extend(of_first.map(|signing| (signing, 2)));
    for size in sizes.into_iter().flatten() {
        for (signing, proofs_min) in &signings {
            let header =
                SegmentHeader { store_id, number: place.number, signing: *signing, base, size };
            if SegmentHeader::decode(&header.encode()).is_err() {
                continue;
            }
            let header = in_the_order_of_its_events(log, header)?;
            if proofs(log, &header)? >= *proofs_min {
                return Ok(Some(header));
            }
        }
    }
    let signing = Signing::new(Uuid::new_v4().as_u64_pair().1);
    let blank = SegmentHeader { store_id, number: place.number, signing, base, size };
    // Where all of the header is zero, frames may have become zeros with it.
    let is_blank =
        place.is_last && place.base.is_some() && !is_zero(&bytes) && holds_nothing(log, &blank)?;
    Ok(Some(blank).filter(|_| is_blank))
}

/// Returns the size of a segment by the length of its file, which is longer by what it has grown. annals
/// makes segments of whole pages; one that is none, or has grown by more than a page, is told by its header only.
fn size_by(file_bytes: u64, written: u64) -> u64 {
    match written <= file_bytes && file_bytes - written < PAGE_BYTES {
        true => written,
        false => file_bytes / PAGE_BYTES * PAGE_BYTES,
    }
}

/// Returns what makes a frame of what stands where the first one does.
fn signing_of(file: &impl DiskFile, location: Location) -> Option<Signing> {
    let offset = SEGMENT_HEADER_BYTES as u64;
    let room = usize::try_from(file.len().ok()?.saturating_sub(offset)).ok()?;
    let mut bytes = vec![0; room.min(COMMIT_BYTES_MAX as usize)];
    read_around_errors(file, &mut bytes, offset);
    signing_for(&bytes.into(), location)
}

/// Returns the header with the order of hashing in which a frame with events verifies: neither the salt, nor
/// a footer, nor a watermark tells it.
fn in_the_order_of_its_events<D: Disk>(log: &D, header: SegmentHeader) -> Result<SegmentHeader> {
    for order in HashOrder::ALL {
        let ordered = SegmentHeader { signing: header.signing.with_order(order), ..header };
        if has_events(log, &ordered)? {
            return Ok(ordered);
        }
    }
    Ok(header)
}

/// Tells whether any frame with events verifies with a header.
fn has_events<D: Disk>(log: &D, header: &SegmentHeader) -> Result<bool> {
    let segment = Segment::open_with(log, *header, OpenMode::Read)?.tolerating_read_errors();
    let mut scan = Scan::new(&segment);
    while let Scanned::Frame(frame) = scan.advance()? {
        if holds_events(&frame) {
            return Ok(true);
        }
    }
    Ok(scan.search(u64::MAX, holds_events)?.is_some())
}

fn holds_events(frame: &Frame) -> bool {
    frame.header().event_count > 0
}

/// Counts what verifies with a header, up to two: frames, events of a frame, a footer.
fn proofs<D: Disk>(log: &D, header: &SegmentHeader) -> Result<usize> {
    let segment = Segment::open_with(log, *header, OpenMode::Read)?.tolerating_read_errors();
    if matches!(segment.read_footer()?, Some(Ok(_))) {
        return Ok(2);
    }
    let mut scan = Scan::new(&segment);
    let first = match scan.advance()? {
        Scanned::Frame(frame) => Some(frame),
        _ => scan.search(u64::MAX, |_| true)?,
    };
    let Some(first) = first else { return Ok(0) };
    let has_second = match scan.advance()? {
        Scanned::Frame(_) => true,
        _ => scan.search(u64::MAX, |_| true)?.is_some(),
    };
    Ok(1 + usize::from(has_second || holds_events(&first)))
}

/// Tells whether nothing but zeros stands behind the header.
fn holds_nothing<D: Disk>(log: &D, header: &SegmentHeader) -> Result<bool> {
    if SegmentHeader::decode(&header.encode()).is_err() {
        return Ok(false);
    }
    let segment = Segment::open_with(log, *header, OpenMode::Read)?.tolerating_read_errors();
    let mut scan = Scan::new(&segment);
    let start = scan.offset();
    scan.search(u64::MAX, |_| false)?;
    let mut footer = [0; SEGMENT_FOOTER_BYTES];
    segment.read(&mut footer, header.footer_offset())?;
    Ok(scan.offset() == start && footer.iter().all(|byte| *byte == 0))
}
