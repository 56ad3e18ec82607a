//! Bytes that do not reach are a fault, never a zero and never a checksum that holds.
//!
//! The CRC-32 of nothing is 0, and so is a field that is read beyond the end: where both came together, garbage
//! would verify. Every decoder is asked about every length that is too short for it.

use bytes::Bytes;
use uuid::Uuid;

use super::material::{full_event_bytes, some_frame, some_stamp, uuid_stream};
use crate::error::Error;
use crate::event::NewEvent;
use crate::event::layout::EVENT_HEADER;
use crate::format::layout::{
    BUCKET_HEADER, FORMAT_VERSION, FRAME_CRC, FRAME_HEADER, LOST_HEADER, LOST_MAGIC, LOST_VERSION,
    POSTING_BLOCK, RUN_HEADER, SEGMENT_FOOTER, SEGMENT_HEADER, STORE_ID, STORE_MAGIC,
};
use crate::format::{
    Bucket, EventPlace, Fault, Footer, FrameHeader, HashOrder, Location, PackedFrame, RunHeader,
    SegmentHeader, StoreFile, block_start, check, decode_block, decode_location, decode_lost,
    decode_short_list, filter_bits, filter_may_hold, list_counts,
};
use crate::position::{GlobalPosition, StreamVersion};

/// Puts the checksum of the bytes behind them.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat()
}

fn is_internal<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Internal { .. }))
}

#[test]
fn headers_without_their_end_are_short() {
    let bytes = some_frame();
    for length in 0..FRAME_HEADER.size {
        assert_eq!(FrameHeader::read(&bytes[..length]), Err(Fault::Short), "{length} bytes");
    }
    let event = full_event_bytes();
    for length in 0..EVENT_HEADER.size {
        assert_eq!(EventPlace::read(&event[..length]), Err(Fault::Short), "{length} bytes");
    }
    let zeros = [0; 4096];
    let header = SegmentHeader::fields(&zeros);
    for length in 0..SEGMENT_HEADER.size {
        assert_eq!(SegmentHeader::decode(&zeros[..length]), Err(Fault::Short), "{length} bytes");
    }
    for length in 0..SEGMENT_FOOTER.size {
        assert_eq!(Footer::decode(&zeros[..length], &header), Err(Fault::Short), "{length} bytes");
    }
    for length in 0..RUN_HEADER.size {
        assert_eq!(RunHeader::decode(&zeros[..length]), Err(Fault::Short), "{length} bytes");
    }
}

#[test]
fn an_event_without_its_end_never_verifies() {
    let (event, location) = (full_event_bytes(), some_stamp().location);
    for signing in HashOrder::ALL.map(|order| some_stamp().signing.with_order(order)) {
        for length in 0..EVENT_HEADER.size {
            let mut own = event[..length].to_vec();
            // The checksum that nothing at all would have here.
            if let Some(crc) = own.first_chunk_mut() {
                *crc = signing.signature(location).to_le_bytes();
            }
            assert_eq!(check(&own, signing, location), Err(Fault::Short), "{length} bytes");
        }
    }
}

#[test]
fn files_whose_checksum_holds_are_short_without_their_header() {
    let mut bytes = STORE_MAGIC.to_vec();
    for _ in STORE_MAGIC.len()..STORE_ID.offset {
        assert_eq!(StoreFile::decode(&sealed(&bytes)), Err(Fault::Short), "{} bytes", bytes.len());
        bytes.push(0);
    }
    let mut lost = vec![0; LOST_HEADER.size];
    lost[..LOST_MAGIC.len()].copy_from_slice(&LOST_MAGIC);
    LOST_VERSION.put(&mut lost, FORMAT_VERSION.into());
    for length in LOST_MAGIC.len()..LOST_HEADER.size {
        let fault = decode_lost(&sealed(&lost[..length]), Uuid::nil()).unwrap_err();
        assert_eq!(fault, Fault::Short, "{length} bytes");
    }
}

#[test]
fn parts_of_a_run_without_their_end_are_short() {
    let zeros = [0; 64];
    let is_short = |length: usize| {
        let own = &zeros[..length];
        assert_eq!(Bucket::decode(own).err().is_some(), length < BUCKET_HEADER.size);
        assert_eq!(decode_block(own).is_err(), length < POSTING_BLOCK.size);
        assert_eq!(block_start(own).is_err(), length < POSTING_BLOCK.size);
        assert_eq!(list_counts(own).is_err(), length < 8);
        assert_eq!(decode_location(own, Location::new(8)).is_err(), !matches!(length, 4 | 8));
        assert_eq!(decode_short_list(own).is_err(), !matches!(length, 0 | 4));
    };
    (0..zeros.len()).for_each(is_short);
    // What a filter does not say, it may hold.
    assert!(filter_may_hold(&[], 7) && !filter_may_hold(&zeros, 7));
    assert!(filter_may_hold(&filter_bits(7).map(u64::to_le_bytes).concat(), 7));
}

#[test]
fn a_frame_is_not_stamped_with_an_event_that_has_no_place_for_a_checksum() {
    for length in 0..EVENT_HEADER.size {
        let mut frame = PackedFrame::new();
        frame.push_raw(&vec![0; length]);
        let before = FRAME_CRC.get(frame.as_bytes());
        let _too_short_as_well = frame.place(GlobalPosition::FIRST, [StreamVersion::FIRST]);
        assert!(is_internal(&frame.stamp(&some_stamp())), "{length} bytes");
        assert_eq!(FRAME_CRC.get(frame.as_bytes()), before);
    }
}

#[test]
fn every_event_of_a_frame_gets_a_version() {
    for versions in 0..4 {
        let mut frame = PackedFrame::new();
        for _ in 0..2 {
            frame.push(&uuid_stream(), &NewEvent::new("Noted", Bytes::new())).unwrap();
        }
        let placed = frame.place(GlobalPosition::FIRST, (1..=versions).map(StreamVersion::new));
        assert_eq!(placed.is_ok(), versions == 2, "{versions} versions");
        assert_eq!(is_internal(&placed), versions != 2);
    }
}
