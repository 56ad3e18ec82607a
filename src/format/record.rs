//! A record beside the log: a header, the name, the content, and the checksum of all of them.
//!
//! The name stands in the record because its file is named by a hash: a record that is found under the
//! name of another is told by its own.

use bytes::Bytes;
use uuid::Uuid;

use super::layout::{
    FORMAT_VERSION, RECORD_CONTENT_LENGTH, RECORD_FILE_MAGIC, RECORD_FLAGS, RECORD_HEADER,
    RECORD_KIND, RECORD_MAGIC, RECORD_NAME_LENGTH, RECORD_STORE_ID, RECORD_VERSION,
};
use super::{Fault, check_version};
use crate::limits::{RECORD_BYTES_MAX, RECORD_NAME_BYTES_MAX};
use crate::record::RecordKind;

const CRC_BYTES: usize = 4;

/// Bytes of the longest record.
pub(crate) const RECORD_FILE_BYTES_MAX: usize =
    RECORD_HEADER.size + RECORD_NAME_BYTES_MAX as usize + RECORD_BYTES_MAX as usize + CRC_BYTES;

/// A record, as its file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordFile {
    pub(crate) store_id: Uuid,
    pub(crate) kind: RecordKind,
    pub(crate) name: String,
    pub(crate) content: Bytes,
}

impl RecordFile {
    /// Encodes a record whose name and content are within their limits.
    pub(crate) fn encode(store_id: Uuid, kind: RecordKind, name: &str, content: &[u8]) -> Vec<u8> {
        let length = RECORD_HEADER.size + name.len() + content.len() + CRC_BYTES;
        let mut bytes = Vec::with_capacity(length);
        bytes.resize(RECORD_HEADER.size, 0);
        RECORD_FILE_MAGIC.put_bytes(&mut bytes, &RECORD_MAGIC);
        RECORD_VERSION.put(&mut bytes, FORMAT_VERSION.into());
        RECORD_STORE_ID.put_bytes(&mut bytes, store_id.as_bytes());
        RECORD_KIND.put(&mut bytes, number_of(kind).into());
        RECORD_NAME_LENGTH.put(&mut bytes, name.len() as u64);
        RECORD_CONTENT_LENGTH.put(&mut bytes, content.len() as u64);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(content);
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes a record. In every version its last four bytes are the checksum of the others, so that a
    /// newer format is told from a damaged one.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Fault> {
        let Some((checked, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
            return Err(Fault::Short);
        };
        if checked.len() < RECORD_HEADER.size {
            return Err(Fault::Short);
        }
        if checked.get(..RECORD_MAGIC.len()) != Some(&RECORD_MAGIC) {
            return Err(Fault::Magic);
        }
        let content_start = (RECORD_HEADER.size as u64) + RECORD_NAME_LENGTH.get(checked);
        let end = content_start.saturating_add(RECORD_CONTENT_LENGTH.get(checked));
        if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
            let is_cut = end > checked.len() as u64;
            return Err(if is_cut { Fault::Short } else { Fault::Checksum });
        }
        check_version(RECORD_VERSION.get_u32(checked), RECORD_FLAGS.get_u32(checked), 0)?;
        let kind = kind_of(RECORD_KIND.get_u32(checked)).ok_or(Fault::Invalid("kind"))?;
        if end != checked.len() as u64 {
            return Err(Fault::Invalid("length"));
        }
        let content_start = usize::try_from(content_start).map_err(|_| Fault::Invalid("length"))?;
        let name = checked.get(RECORD_HEADER.size..content_start);
        let name = name.ok_or(Fault::Invalid("length"))?;
        let name = str::from_utf8(name).map_err(|_| Fault::Invalid("name"))?;
        Ok(Self {
            store_id: Uuid::from_bytes(RECORD_STORE_ID.get_16(checked)),
            kind,
            name: name.to_owned(),
            content: bytes.slice(content_start..checked.len()),
        })
    }
}

fn number_of(kind: RecordKind) -> u32 {
    match kind {
        RecordKind::Snapshot => 1,
        RecordKind::Checkpoint => 2,
        RecordKind::Projection => 3,
        RecordKind::Rebuild => 4,
    }
}

fn kind_of(number: u32) -> Option<RecordKind> {
    RecordKind::ALL.into_iter().find(|kind| number_of(*kind) == number)
}
