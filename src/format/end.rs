//! The file `END`: how far a log is known to be durable, kept where a loss of the log's end does not
//! reach it.
//!
//! It claims only what is durable, so an old one proves less and nothing wrong. What cannot be decoded
//! proves nothing.

use uuid::Uuid;

use super::layout::{
    END, END_CRC, END_END, END_EPOCH, END_FILE_MAGIC, END_FLAGS, END_LAST_FRAME,
    END_LAST_FRAME_CRC, END_MAGIC, END_NEXT_POSITION, END_RECORDED_AT, END_RESERVED, END_STORE_ID,
    END_VERSION, FORMAT_VERSION,
};
use super::{Fault, Location, check_version, is_zero};
use crate::position::GlobalPosition;
use crate::timestamp::Timestamp;

/// What the file `END` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndFile {
    pub(crate) store_id: Uuid,
    /// The position after the last one that is durable, or that a repair has given up.
    pub(crate) next_position: GlobalPosition,
    /// The location after the frame of the last event; 0 without one, as are all that follow.
    pub(crate) end: Location,
    pub(crate) last_frame: Location,
    pub(crate) last_frame_crc: u32,
    pub(crate) epoch: u32,
    pub(crate) recorded_at: Timestamp,
}

impl EndFile {
    /// Returns what is said of a log without events.
    pub(crate) fn of_nothing(store_id: Uuid) -> Self {
        Self {
            store_id,
            next_position: GlobalPosition::FIRST,
            end: Location::default(),
            last_frame: Location::default(),
            last_frame_crc: 0,
            epoch: 0,
            recorded_at: Timestamp::from_micros(0),
        }
    }

    pub(crate) fn encode(&self) -> [u8; END.size] {
        let mut bytes = [0; END.size];
        END_FILE_MAGIC.put_bytes(&mut bytes, &END_MAGIC);
        END_VERSION.put(&mut bytes, FORMAT_VERSION.into());
        END_STORE_ID.put_bytes(&mut bytes, self.store_id.as_bytes());
        END_NEXT_POSITION.put(&mut bytes, self.next_position.get());
        END_END.put(&mut bytes, self.end.get());
        END_LAST_FRAME.put(&mut bytes, self.last_frame.get());
        END_RECORDED_AT.put(&mut bytes, self.recorded_at.as_micros().cast_unsigned());
        END_EPOCH.put(&mut bytes, self.epoch.into());
        END_LAST_FRAME_CRC.put(&mut bytes, self.last_frame_crc.into());
        let crc = crc32fast::hash(END_CRC.before(&bytes));
        END_CRC.put(&mut bytes, crc.into());
        bytes
    }

    /// Returns the store that a file is of, whether or not it verifies.
    pub(crate) fn store_id_of(bytes: &[u8]) -> Option<Uuid> {
        (bytes.len() == END.size).then(|| Uuid::from_bytes(END_STORE_ID.get_16(bytes)))
    }

    /// Decodes the file of a store. In every version its last four bytes are the checksum of the others.
    pub(crate) fn decode(bytes: &[u8], store_id: Uuid) -> Result<Self, Fault> {
        let Some((checked, crc)) = bytes.split_last_chunk::<4>() else {
            return Err(Fault::Short);
        };
        if checked.get(..END_MAGIC.len()) != Some(&END_MAGIC) {
            return Err(Fault::Magic);
        }
        if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
            return Err(Fault::Checksum);
        }
        check_version(END_VERSION.get_u32(bytes), END_FLAGS.get_u32(bytes), 0)?;
        if bytes.len() != END.size {
            return Err(Fault::Invalid("length"));
        }
        let reserved = bytes.get(END_RESERVED.offset..END_CRC.offset).unwrap_or_default();
        if !is_zero(reserved) {
            return Err(Fault::Invalid("reserved part"));
        }
        let end = Self {
            store_id: Uuid::from_bytes(END_STORE_ID.get_16(bytes)),
            next_position: GlobalPosition::new(END_NEXT_POSITION.get(bytes)),
            end: Location::new(END_END.get(bytes)),
            last_frame: Location::new(END_LAST_FRAME.get(bytes)),
            last_frame_crc: END_LAST_FRAME_CRC.get_u32(bytes),
            epoch: END_EPOCH.get_u32(bytes),
            recorded_at: Timestamp::from_micros(END_RECORDED_AT.get_i64(bytes)),
        };
        if end.store_id != store_id {
            return Err(Fault::Invalid("store id"));
        }
        match end.next_position > GlobalPosition::ZERO && end.last_frame <= end.end {
            true => Ok(end),
            false => Err(Fault::Invalid("end")),
        }
    }
}
