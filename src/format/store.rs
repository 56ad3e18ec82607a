//! The file `STORE`: who a store is.

use uuid::Uuid;

use super::layout::{
    FORMAT_VERSION, STORE, STORE_CRC, STORE_CREATED_AT, STORE_FILE_MAGIC, STORE_FLAGS,
    STORE_HASH_KEY, STORE_ID, STORE_MAGIC, STORE_RESERVED, STORE_VERSION,
};
use super::{Fault, check_version, is_zero};
use crate::bugs::{self, Bug};
use crate::timestamp::Timestamp;

/// The identity of a store, fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreFile {
    pub(crate) store_id: Uuid,
    /// Keys the hash of index terms, so that nobody can choose ids that collide.
    pub(crate) hash_key: [u8; 16],
    pub(crate) created_at: Timestamp,
}

impl StoreFile {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; STORE.size];
        STORE_FILE_MAGIC.put_bytes(&mut bytes, &STORE_MAGIC);
        STORE_VERSION.put(&mut bytes, FORMAT_VERSION.into());
        STORE_ID.put_bytes(&mut bytes, self.store_id.as_bytes());
        STORE_HASH_KEY.put_bytes(&mut bytes, &self.hash_key);
        STORE_CREATED_AT.put(&mut bytes, self.created_at.as_micros().cast_unsigned());
        let crc = crc32fast::hash(STORE_CRC.before(&bytes));
        STORE_CRC.put(&mut bytes, crc.into());
        bytes
    }

    /// Decodes the file. In every version its last four bytes are the checksum of the others, so that
    /// a newer format is told from a damaged one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let Some((checked, crc)) = bytes.split_last_chunk::<4>() else {
            return Err(Fault::Short);
        };
        if checked.get(..STORE_MAGIC.len()) != Some(&STORE_MAGIC) {
            return Err(Fault::Magic);
        }
        let is_checked = !bugs::on(Bug::StoreFileUnchecked);
        if is_checked && crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
            return Err(Fault::Checksum);
        }
        if checked.len() < STORE_ID.offset {
            return Err(Fault::Short);
        }
        check_version(STORE_VERSION.get_u32(bytes), STORE_FLAGS.get_u32(bytes), 0)?;
        if bytes.len() != STORE.size {
            return Err(Fault::Invalid("length"));
        }
        let reserved = bytes.get(STORE_RESERVED.offset..STORE_CRC.offset);
        if !is_zero(reserved.ok_or(Fault::Short)?) {
            return Err(Fault::Invalid("reserved part"));
        }
        Ok(Self {
            store_id: Uuid::from_bytes(STORE_ID.get_16(bytes)),
            hash_key: STORE_HASH_KEY.get_16(bytes),
            created_at: Timestamp::from_micros(STORE_CREATED_AT.get_i64(bytes)),
        })
    }
}
