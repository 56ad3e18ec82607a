//! The header that opens a segment and the footer that seals it.

use uuid::Uuid;

use super::layout::{
    FOOTER_CRC, FOOTER_END, FOOTER_EPOCH, FOOTER_EVENT_COUNT, FOOTER_FILE_MAGIC,
    FOOTER_FIRST_POSITION, FOOTER_FRAME_COUNT, FOOTER_FRAMES_CRC, FOOTER_MAGIC, FOOTER_NUMBER,
    FOOTER_RECORDED_AT, FORMAT_VERSION, SEGMENT_BASE, SEGMENT_CRC, SEGMENT_EVENTS_IN_ORDER,
    SEGMENT_FILE_MAGIC, SEGMENT_FLAGS, SEGMENT_FOOTER, SEGMENT_HEADER, SEGMENT_MAGIC,
    SEGMENT_NUMBER, SEGMENT_OVERHEAD, SEGMENT_RESERVED, SEGMENT_SALT, SEGMENT_SIZE,
    SEGMENT_STORE_ID, SEGMENT_VERSION,
};
use super::{ALIGNMENT, Fault, Location, Signing, check_version, is_zero};
use crate::bugs::{self, Bug};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::position::GlobalPosition;
use crate::timestamp::Timestamp;

/// What a segment is, known before its first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store_id: Uuid,
    /// 1, 2, 3 ... without gaps.
    pub(crate) number: u64,
    pub(crate) signing: Signing,
    /// The location of the segment's first byte.
    pub(crate) base: Location,
    /// Bytes of the segment, header and footer included.
    pub(crate) size: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; SEGMENT_HEADER.size];
        SEGMENT_FILE_MAGIC.put_bytes(&mut bytes, &SEGMENT_MAGIC);
        SEGMENT_VERSION.put(&mut bytes, FORMAT_VERSION.into());
        SEGMENT_STORE_ID.put_bytes(&mut bytes, self.store_id.as_bytes());
        SEGMENT_NUMBER.put(&mut bytes, self.number);
        SEGMENT_FLAGS.put(&mut bytes, self.signing.order().flags().into());
        SEGMENT_SALT.put(&mut bytes, self.signing.salt());
        SEGMENT_BASE.put(&mut bytes, self.base.get());
        SEGMENT_SIZE.put(&mut bytes, self.size);
        let crc = crc32fast::hash(SEGMENT_CRC.before(&bytes));
        SEGMENT_CRC.put(&mut bytes, crc.into());
        bytes
    }

    /// Decodes a header. In every version it is a block of this size that ends with the checksum of
    /// the bytes before, so that a newer format is told from a damaged one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() < SEGMENT_HEADER.size {
            return Err(Fault::Short);
        }
        if bytes.get(..SEGMENT_MAGIC.len()) != Some(&SEGMENT_MAGIC) {
            return Err(Fault::Magic);
        }
        if crc32fast::hash(SEGMENT_CRC.before(bytes)) != SEGMENT_CRC.get_u32(bytes) {
            return Err(Fault::Checksum);
        }
        let (version, flags) = (SEGMENT_VERSION.get_u32(bytes), SEGMENT_FLAGS.get_u32(bytes));
        check_version(version, flags, SEGMENT_EVENTS_IN_ORDER)?;
        let reserved = bytes.get(SEGMENT_RESERVED.offset..SEGMENT_CRC.offset);
        if !is_zero(reserved.ok_or(Fault::Short)?) {
            return Err(Fault::Invalid("reserved part"));
        }
        let header = Self::fields(bytes);
        match header.has_room() {
            true => Ok(header),
            false => Err(Fault::Invalid("size")),
        }
    }

    /// Reads the fields of a header, whether it verifies or not.
    pub(crate) fn fields(bytes: &[u8]) -> Self {
        Self {
            store_id: Uuid::from_bytes(SEGMENT_STORE_ID.get_16(bytes)),
            number: SEGMENT_NUMBER.get(bytes),
            signing: Signing::of_segment(SEGMENT_SALT.get(bytes), SEGMENT_FLAGS.get_u32(bytes)),
            base: Location::new(SEGMENT_BASE.get(bytes)),
            size: SEGMENT_SIZE.get(bytes),
        }
    }

    /// Returns the location behind the segment: the base of the next one.
    pub(crate) fn end(&self) -> Location {
        self.base.plus(self.size)
    }

    /// Returns the offset of the footer: where the room for frames ends.
    pub(crate) fn footer_offset(&self) -> u64 {
        self.size.saturating_sub(SEGMENT_FOOTER.size as u64)
    }

    fn has_room(&self) -> bool {
        self.size > SEGMENT_OVERHEAD
            && self.size <= SEGMENT_BYTES_MAX
            && self.size.is_multiple_of(ALIGNMENT as u64)
            && self.base.get().is_multiple_of(ALIGNMENT as u64)
            && self.base.get().checked_add(self.size).is_some()
    }
}

/// What a sealed segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) event_count: u64,
    /// The global position of the first event; 0 without events.
    pub(crate) first_position: GlobalPosition,
    /// The offset behind the last frame.
    pub(crate) end: u64,
    /// The commit time of the last frame.
    pub(crate) recorded_at: Timestamp,
    pub(crate) frame_count: u32,
    /// The CRC-32 of the crc fields of all frames, in order.
    pub(crate) frames_crc: u32,
    /// The epoch of the last frame.
    pub(crate) epoch: u32,
}

impl Footer {
    pub(crate) fn encode(&self, header: &SegmentHeader) -> Vec<u8> {
        let mut bytes = vec![0; SEGMENT_FOOTER.size];
        FOOTER_FILE_MAGIC.put_bytes(&mut bytes, &FOOTER_MAGIC);
        FOOTER_NUMBER.put(&mut bytes, header.number);
        FOOTER_EVENT_COUNT.put(&mut bytes, self.event_count);
        FOOTER_FIRST_POSITION.put(&mut bytes, self.first_position.get());
        FOOTER_END.put(&mut bytes, self.end);
        FOOTER_RECORDED_AT.put(&mut bytes, self.recorded_at.as_micros().cast_unsigned());
        FOOTER_FRAME_COUNT.put(&mut bytes, self.frame_count.into());
        FOOTER_FRAMES_CRC.put(&mut bytes, self.frames_crc.into());
        FOOTER_EPOCH.put(&mut bytes, self.epoch.into());
        Self::seal(&mut bytes, header);
        bytes
    }

    /// Finishes the checksum of a footer.
    pub(crate) fn seal(bytes: &mut [u8], header: &SegmentHeader) {
        let crc = Self::crc(bytes, header);
        FOOTER_CRC.put(bytes, crc.into());
    }

    pub(crate) fn decode(bytes: &[u8], header: &SegmentHeader) -> Result<Self, Fault> {
        if bytes.len() < SEGMENT_FOOTER.size {
            return Err(Fault::Short);
        }
        if bytes.get(..FOOTER_MAGIC.len()) != Some(&FOOTER_MAGIC) {
            return Err(Fault::Magic);
        }
        let is_checked = !bugs::on(Bug::FooterUnchecked);
        if is_checked && Self::crc(bytes, header) != FOOTER_CRC.get_u32(bytes) {
            return Err(Fault::Checksum);
        }
        if FOOTER_NUMBER.get(bytes) != header.number {
            return Err(Fault::Invalid("segment number"));
        }
        Ok(Self {
            event_count: FOOTER_EVENT_COUNT.get(bytes),
            first_position: GlobalPosition::new(FOOTER_FIRST_POSITION.get(bytes)),
            end: FOOTER_END.get(bytes),
            recorded_at: Timestamp::from_micros(FOOTER_RECORDED_AT.get_i64(bytes)),
            frame_count: FOOTER_FRAME_COUNT.get_u32(bytes),
            frames_crc: FOOTER_FRAMES_CRC.get_u32(bytes),
            epoch: FOOTER_EPOCH.get_u32(bytes),
        })
    }

    fn crc(bytes: &[u8], header: &SegmentHeader) -> u32 {
        let location = header.base.plus(header.footer_offset());
        crc32fast::hash(FOOTER_CRC.before(bytes)) ^ header.signing.signature(location)
    }
}
