//! A record: read back as it was written, and refused when it is anything else.

use bytes::Bytes;
use uuid::Uuid;

use crate::field::Field;
use crate::format::layout::{
    RECORD_CONTENT_LENGTH, RECORD_FLAGS, RECORD_HEADER, RECORD_KIND, RECORD_NAME_LENGTH,
    RECORD_VERSION,
};
use crate::format::{Fault, RECORD_FILE_BYTES_MAX, RecordFile};
use crate::limits::{RECORD_BYTES_MAX, RECORD_NAME_BYTES_MAX};
use crate::record::RecordKind;

const STORE_ID: Uuid = Uuid::from_u128(7);

fn encoded() -> Vec<u8> {
    RecordFile::encode(STORE_ID, RecordKind::Projection, "täglich", b"content")
}

/// Decodes a record of which one field is other, under a checksum that holds.
fn changed(field: Field, value: u64) -> Result<RecordFile, Fault> {
    let mut bytes = encoded();
    field.put(&mut bytes, value);
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    RecordFile::decode(&bytes.into())
}

#[test]
fn what_was_written_is_read_back() {
    for kind in RecordKind::ALL {
        for (name, content) in [("n", &b""[..]), ("täglich", b"content")] {
            let bytes = RecordFile::encode(STORE_ID, kind, name, content);
            let record = RecordFile::decode(&bytes.into()).unwrap();
            assert_eq!((record.store_id, record.kind), (STORE_ID, kind));
            assert_eq!((record.name.as_str(), &record.content[..]), (name, content));
        }
    }
    let name = "n".repeat(RECORD_NAME_BYTES_MAX as usize);
    let content = vec![1; RECORD_BYTES_MAX as usize];
    let longest = RecordFile::encode(STORE_ID, RecordKind::Snapshot, &name, &content);
    assert_eq!(longest.len(), RECORD_FILE_BYTES_MAX);
    assert_eq!(RecordFile::decode(&longest.into()).unwrap().content, content);
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let bytes = encoded();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = RecordFile::decode(&flipped.into()).unwrap_err();
        match bit {
            0..64 => assert_eq!(refused, Fault::Magic, "bit {bit}"),
            _ => assert!(matches!(refused, Fault::Checksum | Fault::Short), "bit {bit}"),
        }
    }
    for length in 0..bytes.len() {
        let cut = RecordFile::decode(&Bytes::copy_from_slice(&bytes[..length]));
        assert_eq!(cut, Err(Fault::Short), "{length} bytes");
    }
}

#[test]
fn a_record_that_can_not_be_is_refused_though_its_checksum_holds() {
    assert!(matches!(changed(RECORD_VERSION, 2), Err(Fault::Newer { .. })));
    assert_eq!(changed(RECORD_VERSION, 0), Err(Fault::Invalid("format version")));
    assert!(matches!(changed(RECORD_FLAGS, 1), Err(Fault::Newer { .. })));
    for kind in [0, 5, u64::from(u32::MAX)] {
        assert_eq!(changed(RECORD_KIND, kind), Err(Fault::Invalid("kind")));
    }
    for length in [0, 1, u64::from(u32::MAX)] {
        assert_eq!(changed(RECORD_NAME_LENGTH, length), Err(Fault::Invalid("length")));
    }
    for length in [0, 8, u64::MAX] {
        assert_eq!(changed(RECORD_CONTENT_LENGTH, length), Err(Fault::Invalid("length")));
    }
    let mut no_text = encoded();
    no_text[RECORD_HEADER.size] = 0xff;
    let end = no_text.len() - 4;
    let crc = crc32fast::hash(&no_text[..end]);
    no_text[end..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(RecordFile::decode(&no_text.into()), Err(Fault::Invalid("name")));
}
