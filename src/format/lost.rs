//! The file `LOST`: the parts of the log that a repair has given up, so that reading and writing pass
//! over them.
//!
//! The list is small and is read whole. What it says is checked for order here and against the log by
//! whoever walks it.

use uuid::Uuid;

use super::layout::{
    FORMAT_VERSION, HOLE, HOLE_END, HOLE_FIRST_LOST, HOLE_FIRST_SEGMENT, HOLE_KIND,
    HOLE_LAST_SEGMENT, HOLE_NEXT, HOLE_REPAIRED_AT, HOLE_RESERVED, HOLE_START, LOST_FILE_MAGIC,
    LOST_FLAGS, LOST_HEADER, LOST_HOLE_COUNT, LOST_MAGIC, LOST_PARTS_OF_FRAMES, LOST_STORE_ID,
    LOST_VERSION,
};
use super::{ALIGNMENT, Fault, Location, check_version};
use crate::position::GlobalPosition;
use crate::timestamp::Timestamp;

/// Holes of a store: more are refused.
pub(crate) const HOLES_MAX: usize = 65_536;

const CRC_BYTES: usize = 4;

/// Bytes of the longest list.
pub(crate) const LOST_FILE_BYTES_MAX: usize = LOST_HEADER.size + HOLES_MAX * HOLE.size + CRC_BYTES;

/// What a hole takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoleKind {
    /// Bytes of one segment, behind its header. After them a frame begins, or another hole, or the room
    /// for frames ends.
    Part,
    /// Bytes of one segment that end inside a frame, whose header is among them or in an earlier hole.
    /// Events of that frame follow.
    PartOfFrame,
    /// Whole segments.
    Segments,
}

/// A part of the log that has been given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) kind: HoleKind,
    pub(crate) first_segment: u64,
    pub(crate) last_segment: u64,
    pub(crate) start: Location,
    /// The location behind it.
    pub(crate) end: Location,
    pub(crate) first_lost: GlobalPosition,
    /// The position behind the lost ones.
    pub(crate) next: GlobalPosition,
    pub(crate) repaired_at: Timestamp,
}

impl HoleKind {
    /// Returns whether the hole takes bytes of one segment.
    pub(crate) fn is_part(self) -> bool {
        matches!(self, Self::Part | Self::PartOfFrame)
    }
}

impl Hole {
    /// Returns how many positions are lost with it.
    pub(crate) fn lost_count(&self) -> u64 {
        self.next.distance_from(self.first_lost)
    }

    fn encode(&self) -> [u8; HOLE.size] {
        let mut bytes = [0; HOLE.size];
        let kind = match self.kind {
            HoleKind::Part => 1,
            HoleKind::Segments => 2,
            HoleKind::PartOfFrame => 3,
        };
        HOLE_KIND.put(&mut bytes, kind);
        HOLE_FIRST_SEGMENT.put(&mut bytes, self.first_segment);
        HOLE_LAST_SEGMENT.put(&mut bytes, self.last_segment);
        HOLE_START.put(&mut bytes, self.start.get());
        HOLE_END.put(&mut bytes, self.end.get());
        HOLE_FIRST_LOST.put(&mut bytes, self.first_lost.get());
        HOLE_NEXT.put(&mut bytes, self.next.get());
        HOLE_REPAIRED_AT.put(&mut bytes, self.repaired_at.as_micros().cast_unsigned());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let kind = match (HOLE_KIND.get_u32(bytes), HOLE_RESERVED.get_u32(bytes)) {
            (1, 0) => HoleKind::Part,
            (2, 0) => HoleKind::Segments,
            (3, 0) => HoleKind::PartOfFrame,
            _ => return Err(Fault::Invalid("kind of hole")),
        };
        let hole = Self {
            kind,
            first_segment: HOLE_FIRST_SEGMENT.get(bytes),
            last_segment: HOLE_LAST_SEGMENT.get(bytes),
            start: Location::new(HOLE_START.get(bytes)),
            end: Location::new(HOLE_END.get(bytes)),
            first_lost: GlobalPosition::new(HOLE_FIRST_LOST.get(bytes)),
            next: GlobalPosition::new(HOLE_NEXT.get(bytes)),
            repaired_at: Timestamp::from_micros(HOLE_REPAIRED_AT.get_i64(bytes)),
        };
        match hole.is_possible() {
            true => Ok(hole),
            false => Err(Fault::Invalid("hole")),
        }
    }

    fn is_possible(&self) -> bool {
        let is_aligned = |location: Location| location.get().is_multiple_of(ALIGNMENT as u64);
        let is_one = self.first_segment == self.last_segment;
        self.first_segment > 0
            && self.first_segment <= self.last_segment
            && (is_one || self.kind == HoleKind::Segments)
            && self.start <= self.end
            && is_aligned(self.start)
            && is_aligned(self.end)
            && self.first_lost > GlobalPosition::ZERO
            && self.first_lost <= self.next
    }

    /// Tells whether another hole may come behind this one.
    fn may_precede(&self, other: &Self) -> bool {
        self.end <= other.start
            && self.next <= other.first_lost
            && self.last_segment <= other.first_segment
    }
}

/// Encodes the list of a store, whose holes come in the order of the log.
pub(crate) fn encode_lost(store_id: Uuid, holes: &[Hole]) -> Vec<u8> {
    let mut bytes = vec![0; LOST_HEADER.size];
    LOST_FILE_MAGIC.put_bytes(&mut bytes, &LOST_MAGIC);
    LOST_VERSION.put(&mut bytes, FORMAT_VERSION.into());
    let is_in_frame = |hole: &Hole| hole.kind == HoleKind::PartOfFrame;
    if holes.iter().any(is_in_frame) {
        LOST_FLAGS.put(&mut bytes, LOST_PARTS_OF_FRAMES.into());
    }
    LOST_STORE_ID.put_bytes(&mut bytes, store_id.as_bytes());
    LOST_HOLE_COUNT.put(&mut bytes, holes.len() as u64);
    holes.iter().for_each(|hole| bytes.extend_from_slice(&hole.encode()));
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Decodes the list of a store. In every version its last four bytes are the checksum of the others.
pub(crate) fn decode_lost(bytes: &[u8], store_id: Uuid) -> Result<Vec<Hole>, Fault> {
    let Some((checked, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
        return Err(Fault::Short);
    };
    if checked.get(..LOST_MAGIC.len()) != Some(&LOST_MAGIC) {
        return Err(Fault::Magic);
    }
    if checked.len() < LOST_STORE_ID.offset {
        return Err(Fault::Short);
    }
    if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
        return Err(Fault::Checksum);
    }
    let flags = LOST_FLAGS.get_u32(checked);
    check_version(LOST_VERSION.get_u32(checked), flags, LOST_PARTS_OF_FRAMES)?;
    let entries = checked.get(LOST_HEADER.size..).ok_or(Fault::Short)?;
    if Uuid::from_bytes(LOST_STORE_ID.get_16(checked)) != store_id {
        return Err(Fault::Invalid("store id"));
    }
    let count = entries.len() / HOLE.size;
    let is_whole = entries.len().is_multiple_of(HOLE.size)
        && count as u64 == LOST_HOLE_COUNT.get(checked)
        && (1..=HOLES_MAX).contains(&count);
    if !is_whole {
        return Err(Fault::Invalid("length"));
    }
    let holes: Vec<_> = entries.chunks(HOLE.size).map(Hole::decode).collect::<Result<_, _>>()?;
    if flags == 0 && holes.iter().any(|hole| hole.kind == HoleKind::PartOfFrame) {
        return Err(Fault::Invalid("kind of hole"));
    }
    match holes.is_sorted_by(Hole::may_precede) {
        true => Ok(holes),
        false => Err(Fault::Invalid("order of holes")),
    }
}
