//! The file `LOST`: read back as it was written, and refused when it is anything else.

use uuid::Uuid;

use crate::format::layout::{HOLE, LOST_FLAGS, LOST_HEADER, LOST_HOLE_COUNT, LOST_VERSION};
use crate::format::{Fault, HOLES_MAX, Hole, HoleKind, Location, decode_lost, encode_lost};
use crate::position::GlobalPosition;
use crate::timestamp::Timestamp;

const STORE_ID: Uuid = Uuid::from_u128(7);

/// A hole of 80 bytes with 2 positions, the `number`th of its segment.
fn hole(number: u64) -> Hole {
    Hole {
        kind: HoleKind::Part,
        first_segment: 3,
        last_segment: 3,
        start: Location::new(8192 + number * 80),
        end: Location::new(8192 + number * 80 + 80),
        first_lost: GlobalPosition::new(10 + number * 2),
        next: GlobalPosition::new(12 + number * 2),
        repaired_at: Timestamp::from_micros(-5),
    }
}

fn whole() -> Hole {
    Hole { kind: HoleKind::Segments, last_segment: 9, ..hole(0) }
}

fn read_back(holes: &[Hole]) -> Result<Vec<Hole>, Fault> {
    decode_lost(&encode_lost(STORE_ID, holes), STORE_ID)
}

#[test]
fn what_was_written_is_read_back() {
    for holes in [vec![hole(0)], vec![whole()], vec![hole(0), hole(1), hole(2)]] {
        assert_eq!(read_back(&holes), Ok(holes));
    }
    let nothing_lost = Hole { next: hole(0).first_lost, ..hole(0) };
    assert_eq!(read_back(&[nothing_lost]), Ok(vec![nothing_lost]));
    let most: Vec<_> = (0..HOLES_MAX as u64).map(hole).collect();
    assert_eq!(read_back(&most), Ok(most));
}

#[test]
fn a_list_with_a_hole_in_a_frame_is_a_newer_format_to_who_does_not_know_it() {
    let in_frame = Hole { kind: HoleKind::PartOfFrame, ..hole(1) };
    let nothing_lost = Hole { next: in_frame.first_lost, ..in_frame };
    for holes in [vec![hole(0), in_frame], vec![nothing_lost], vec![in_frame, hole(2)]] {
        let bytes = encode_lost(STORE_ID, &holes);
        assert_eq!(LOST_FLAGS.get_u32(&bytes), 1);
        assert_eq!(decode_lost(&bytes, STORE_ID), Ok(holes));
    }
    assert_eq!(LOST_FLAGS.get_u32(&encode_lost(STORE_ID, &[hole(0), whole_behind()])), 0);
    let mut unmarked = encode_lost(STORE_ID, &[in_frame]);
    LOST_FLAGS.put(&mut unmarked, 0);
    let end = unmarked.len() - 4;
    let crc = crc32fast::hash(&unmarked[..end]);
    unmarked[end..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(decode_lost(&unmarked, STORE_ID), Err(Fault::Invalid("kind of hole")));
}

/// Whole segments behind those of `hole`.
fn whole_behind() -> Hole {
    let hole = hole(1);
    Hole { kind: HoleKind::Segments, first_segment: 4, last_segment: 9, ..hole }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let bytes = encode_lost(STORE_ID, &[hole(0), hole(1)]);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit < 64 { Fault::Magic } else { Fault::Checksum };
        assert_eq!(decode_lost(&flipped, STORE_ID), Err(expected), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(decode_lost(&bytes[..length], STORE_ID).is_err(), "{length} bytes");
    }
}

#[test]
fn a_hole_that_can_not_be_is_refused_though_the_checksum_holds() {
    let (hole, start) = (hole(0), hole(0).start);
    let position = GlobalPosition::new;
    let impossible = [
        Hole { first_segment: 0, last_segment: 0, ..hole },
        Hole { last_segment: 4, ..hole },
        Hole { last_segment: 4, kind: HoleKind::PartOfFrame, ..hole },
        Hole { last_segment: 2, kind: HoleKind::Segments, ..hole },
        Hole { end: Location::new(start.get() - 8), ..hole },
        Hole { start: Location::new(start.get() + 1), ..hole },
        Hole { end: Location::new(hole.end.get() + 1), ..hole },
        Hole { first_lost: position(0), ..hole },
        Hole { next: position(9), ..hole },
    ];
    for hole in impossible {
        assert_eq!(read_back(&[hole]), Err(Fault::Invalid("hole")), "{hole:?}");
    }
}

#[test]
fn holes_out_of_order_and_none_are_refused() {
    let order = Err(Fault::Invalid("order of holes"));
    assert_eq!(read_back(&[hole(1), hole(0)]), order);
    assert_eq!(read_back(&[hole(0), hole(0)]), order);
    assert_eq!(read_back(&[whole(), hole(1)]), order);
    assert_eq!(read_back(&[hole(0), Hole { first_lost: hole(0).first_lost, ..hole(1) }]), order);
    assert_eq!(read_back(&[]), Err(Fault::Invalid("length")));
    let too_many: Vec<_> = (0..=HOLES_MAX as u64).map(hole).collect();
    assert_eq!(read_back(&too_many), Err(Fault::Invalid("length")));
}

#[test]
fn another_store_another_version_and_another_count_are_refused() {
    let bytes = encode_lost(STORE_ID, &[hole(0)]);
    let other = decode_lost(&bytes, Uuid::from_u128(8));
    assert_eq!(other, Err(Fault::Invalid("store id")));
    let changed = |field: crate::field::Field, value| {
        let mut bytes = bytes.clone();
        field.put(&mut bytes, value);
        let end = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        decode_lost(&bytes, STORE_ID)
    };
    assert!(matches!(changed(LOST_VERSION, 2), Err(Fault::Newer { .. })));
    assert_eq!(changed(LOST_VERSION, 0), Err(Fault::Invalid("format version")));
    assert!(matches!(changed(LOST_FLAGS, 2), Err(Fault::Newer { .. })));
    for count in [0, 2, u64::MAX] {
        assert_eq!(changed(LOST_HOLE_COUNT, count), Err(Fault::Invalid("length")));
    }
    assert_eq!(bytes.len(), LOST_HEADER.size + HOLE.size + 4);
}
