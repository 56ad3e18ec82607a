//! The file `END`: read back as it was written, and refused when it is anything else.

use uuid::Uuid;

use crate::field::Field;
use crate::format::layout::{
    END, END_CRC, END_END, END_FLAGS, END_LAST_FRAME, END_NEXT_POSITION, END_RESERVED, END_VERSION,
};
use crate::format::{EndFile, Fault, Location};
use crate::position::GlobalPosition;
use crate::timestamp::Timestamp;

const STORE_ID: Uuid = Uuid::from_u128(7);

fn end() -> EndFile {
    EndFile {
        store_id: STORE_ID,
        next_position: GlobalPosition::new(301),
        end: Location::new(70_000),
        last_frame: Location::new(69_000),
        last_frame_crc: 0xdead_beef,
        epoch: 4,
        recorded_at: Timestamp::from_micros(-5),
    }
}

/// Returns the file with a field changed, and its checksum made to fit.
fn changed(field: Field, value: u64) -> Vec<u8> {
    let mut bytes = end().encode().to_vec();
    field.put(&mut bytes, value);
    let crc = crc32fast::hash(END_CRC.before(&bytes));
    END_CRC.put(&mut bytes, crc.into());
    bytes
}

#[test]
fn what_was_written_is_read_back() {
    for end in [end(), EndFile::of_nothing(STORE_ID)] {
        assert_eq!(EndFile::decode(&end.encode(), STORE_ID), Ok(end));
    }
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let bytes = end().encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit < 64 { Fault::Magic } else { Fault::Checksum };
        assert_eq!(EndFile::decode(&flipped, STORE_ID), Err(expected), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(EndFile::decode(&bytes[..length], STORE_ID).is_err(), "{length} bytes");
    }
    let longer = [bytes.as_slice(), &[0; 8]].concat();
    assert_eq!(EndFile::decode(&longer, STORE_ID), Err(Fault::Checksum));
}

#[test]
fn another_store_another_version_and_what_can_not_be_are_refused() {
    let refused = |bytes: &[u8]| EndFile::decode(bytes, STORE_ID).unwrap_err();
    assert_eq!(
        EndFile::decode(&end().encode(), Uuid::from_u128(8)),
        Err(Fault::Invalid("store id"))
    );
    assert!(matches!(refused(&changed(END_VERSION, 2)), Fault::Newer { .. }));
    assert_eq!(refused(&changed(END_VERSION, 0)), Fault::Invalid("format version"));
    assert!(matches!(refused(&changed(END_FLAGS, 1)), Fault::Newer { .. }));
    assert_eq!(refused(&changed(END_NEXT_POSITION, 0)), Fault::Invalid("end"));
    assert_eq!(refused(&changed(END_LAST_FRAME, 70_001)), Fault::Invalid("end"));
    assert_eq!(refused(&changed(END_END, 0)), Fault::Invalid("end"));
    let reserved = Field { width: 1, ..END_RESERVED };
    assert_eq!(refused(&changed(reserved, 1)), Fault::Invalid("reserved part"));
    assert_eq!(end().encode().len(), END.size);
}
