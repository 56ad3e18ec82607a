//! Bytes that no writer makes: every length and every value, with checksums that hold.
//!
//! None may panic or be taken for something it is not, whatever it claims.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::material::{
    frame_around, frame_of, full_event, full_event_bytes, settings, single, some_frame, some_stamp,
};
use super::roundtrip::{any_footer, any_segment};
use crate::event::RecordedEvent;
use crate::event::layout::{
    EVENT_AGGREGATE_ID_LENGTH, EVENT_AGGREGATE_TYPE_LENGTH, EVENT_CONTENT_TYPE, EVENT_CRC,
    EVENT_FLAGS, EVENT_HEADER, EVENT_LENGTH, EVENT_PAYLOAD_LENGTH, EVENT_TYPE_LENGTH,
    KNOWN_EVENT_FLAGS,
};
use crate::field::Field;
use crate::format::layout::{
    FOOTER_CRC, FRAME_EVENT_COUNT, FRAME_HEADER, FRAME_LENGTH, SEGMENT_CRC, SEGMENT_FLAGS,
    SEGMENT_HEADER, SEGMENT_RESERVED, SEGMENT_SIZE, SEGMENT_VERSION, STORE, STORE_CRC, STORE_FLAGS,
    STORE_RESERVED, STORE_VERSION,
};
use crate::format::{
    EventPlace, Fault, Footer, Frame, FrameHeader, Location, SegmentHeader, StoreFile,
};
use crate::position::GlobalPosition;
use crate::stream::{ActorId, IdRef, StreamId};

/// Decodes the event of a frame, together with its frame and on its own, to the same end.
fn decode(frame: &Bytes) -> Result<RecordedEvent, Fault> {
    let verified = Frame::verify(frame, some_stamp().signing, some_stamp().location)?;
    let event = verified.events().next().unwrap().map(|(_, event)| event);
    let location = some_stamp().location.plus(FRAME_HEADER.size as u64);
    assert_eq!(single(&frame.slice(FRAME_HEADER.size..), location), event);
    event
}

#[test]
fn an_event_with_everything_passes_before_it_is_changed() {
    assert_eq!(
        decode(&frame_around(&full_event_bytes())).unwrap().event_type(),
        "WorkoutScheduled"
    );
}

#[test]
fn a_length_in_an_event_that_is_not_the_right_one_is_refused() {
    let event = full_event_bytes();
    let lengths = [
        EVENT_AGGREGATE_TYPE_LENGTH,
        EVENT_AGGREGATE_ID_LENGTH,
        EVENT_TYPE_LENGTH,
        EVENT_PAYLOAD_LENGTH,
    ];
    for field in lengths {
        let right = field.get(&event);
        for wrong in hostile_values(field).into_iter().filter(|wrong| *wrong != right) {
            let mut changed = event.clone();
            field.put(&mut changed, wrong);
            let fault = decode(&frame_around(&changed)).unwrap_err();
            assert!(matches!(fault, Fault::Invalid(_)), "{} = {wrong}: {fault}", field.name);
        }
    }
}

#[test]
fn a_length_before_a_part_of_an_event_that_is_not_the_right_one_is_refused() {
    let event = full_event_bytes();
    let tags = event.windows(9).position(|window| window == b"athlete:7").unwrap();
    let metadata = event.windows(6).position(|window| window == b"source").unwrap() - 2;
    let tenant = event.windows(6).position(|window| window == b"club-1").unwrap();
    for (end, width) in [(tenant, 1), (tags, 2), (metadata, 4)] {
        for wrong in [0_u64, 1, 5, 7, 14, 16, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff] {
            let mut changed = event.clone();
            changed[end - width..end].copy_from_slice(&wrong.to_le_bytes()[..width]);
            if changed == event {
                continue;
            }
            let fault = decode(&frame_around(&changed)).unwrap_err();
            assert!(matches!(fault, Fault::Invalid(_)), "{width} bytes = {wrong}: {fault}");
        }
    }
}

#[test]
fn an_event_of_any_length_is_refused_or_read() {
    let event = full_event_bytes();
    for length in 0..event.len() {
        let fault = decode(&frame_around(&event[..length])).unwrap_err();
        assert!(!matches!(fault, Fault::Newer { .. }), "{length} bytes: {fault}");
    }
}

#[test]
fn a_hostile_length_in_a_header_is_refused_without_looking_behind_the_bytes() {
    let frame = some_frame();
    for (field, start) in
        [(FRAME_LENGTH, 0), (FRAME_EVENT_COUNT, 0), (EVENT_LENGTH, FRAME_HEADER.size)]
    {
        let right = field.get(&frame[start..]);
        for wrong in hostile_values(field).into_iter().filter(|wrong| *wrong != right) {
            let mut changed = frame.to_vec();
            field.put(&mut changed[start..], wrong);
            let changed = Bytes::from(changed);
            let (signing, location) = (some_stamp().signing, some_stamp().location);
            assert!(Frame::verify(&changed, signing, location).is_err(), "{} {wrong}", field.name);
            let first = location.plus(FRAME_HEADER.size as u64);
            let own = changed.slice(FRAME_HEADER.size..);
            if start > 0 {
                assert!(single(&own, first).is_err(), "{} = {wrong}", field.name);
            }
        }
    }
}

/// The ends and the middle of what a field can hold, and values near those that are right.
fn hostile_values(field: Field) -> Vec<u64> {
    let most = u64::MAX >> (64 - 8 * field.width.min(8));
    let near = (0..64).chain([120, 128, 256, 4095, 4096, 65_535]);
    near.chain([most / 2, most / 2 + 1, most - 7, most - 1, most])
        .filter(|value| *value <= most)
        .collect()
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn any_bytes_as_an_event_whose_checksums_hold_are_refused_or_read(
        mut event in vec(any::<u8>(), 0..400),
        only_known_flags: bool,
    ) {
        if only_known_flags && event.len() >= EVENT_HEADER.size {
            let known = EVENT_FLAGS.get(&event) & u64::from(KNOWN_EVENT_FLAGS);
            EVENT_FLAGS.put(&mut event, known);
        }
        if let Ok(event) = decode(&frame_around(&event)) {
            prop_assert!(event.stream().is_ok());
            let _not_checked_by_the_decoder = event.metadata();
        }
    }

    #[test]
    fn any_changed_byte_of_an_event_whose_checksums_hold_is_refused_or_read(
        at: proptest::sample::Index,
        value: u8,
    ) {
        let mut event = full_event_bytes();
        let at = at.index(event.len());
        event[at] = value;
        if let Ok(event) = decode(&frame_around(&event)) {
            prop_assert!(event.stream().is_ok());
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in vec(any::<u8>(), 0..5000), address: u64) {
        let header = some_segment();
        prop_assert!(StoreFile::decode(&bytes).is_err());
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
        prop_assert!(Footer::decode(&bytes, &header).is_err());
        let bytes = Bytes::from(bytes);
        let location = Location::new(address);
        prop_assert!(Frame::verify(&bytes, some_stamp().signing, location).is_err());
        prop_assert!(single(&bytes, location).is_err());
        let _plausible_or_not = FrameHeader::read(&bytes);
    }

    #[test]
    fn every_flipped_bit_of_a_segment_header_is_refused(
        header in any_segment(),
        at: proptest::sample::Index,
        bit in 0_u32..8,
    ) {
        let mut bytes = header.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let expected = if at < 8 { Fault::Magic } else { Fault::Checksum };
        prop_assert_eq!(SegmentHeader::decode(&bytes), Err(expected));
    }

    #[test]
    fn a_footer_is_refused_in_another_segment(
        header in any_segment(),
        footer in any_footer(),
        other in any_segment(),
    ) {
        prop_assert!(Footer::decode(&footer.encode(&header), &other).is_err());
        let next = SegmentHeader { number: header.number.wrapping_add(1), ..header };
        let decoded = Footer::decode(&footer.encode(&header), &next);
        prop_assert_eq!(decoded, Err(Fault::Invalid("segment number")));
    }
}

fn some_segment() -> SegmentHeader {
    let (signing, base) = (some_stamp().signing, Location::new(0));
    SegmentHeader { store_id: uuid::Uuid::nil(), number: 1, signing, base, size: 65_536 }
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_footer_is_refused() {
    let header = some_segment();
    let footer = Footer {
        event_count: 3,
        first_position: GlobalPosition::FIRST,
        end: 8000,
        recorded_at: some_stamp().recorded_at,
        frame_count: 2,
        frames_crc: 0xdead_beef,
        epoch: 1,
    };
    let bytes = footer.encode(&header);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Footer::decode(&flipped, &header).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(Footer::decode(&bytes[..length], &header), Err(Fault::Short));
    }
    let mut behind = bytes;
    FOOTER_CRC.put(&mut behind, 0);
    assert_eq!(Footer::decode(&behind, &header), Err(Fault::Checksum));
}

fn store_file() -> Vec<u8> {
    let (store_id, created_at) = (uuid::Uuid::max(), some_stamp().recorded_at);
    StoreFile { store_id, hash_key: [7; 16], created_at }.encode()
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_store_file_is_refused() {
    let bytes = store_file();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit < 64 { Fault::Magic } else { Fault::Checksum };
        assert_eq!(StoreFile::decode(&flipped), Err(expected), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(StoreFile::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(StoreFile::decode(&longer), Err(Fault::Checksum));
}

#[test]
fn a_segment_header_without_its_end_is_refused() {
    let bytes = some_segment().encode();
    for length in [0, 1, 8, 63, 64, 4095] {
        assert_eq!(SegmentHeader::decode(&bytes[..length]), Err(Fault::Short), "{length} bytes");
    }
}

/// Changes a structure that ends with its checksum, and finishes the checksum anew.
fn resealed(mut bytes: Vec<u8>, field: Field, value: u64) -> Vec<u8> {
    field.put(&mut bytes, value);
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_newer_version_and_an_unknown_feature_are_told_apart_from_damage() {
    let is_newer = |fault: &Fault| matches!(fault, Fault::Newer { .. });
    for (field, value) in [(STORE_VERSION, 2), (STORE_VERSION, 0xffff_ffff), (STORE_FLAGS, 1)] {
        let bytes = resealed(store_file(), field, value);
        assert!(is_newer(&StoreFile::decode(&bytes).unwrap_err()), "{} = {value}", field.name);
        let longer = resealed([bytes.clone(), vec![0; 100]].concat(), field, value);
        assert!(
            is_newer(&StoreFile::decode(&longer).unwrap_err()),
            "a longer one of a newer format"
        );
    }
    for (field, value) in
        [(SEGMENT_VERSION, 2), (SEGMENT_FLAGS, 2), (SEGMENT_FLAGS, 3), (SEGMENT_FLAGS, 1 << 31)]
    {
        let bytes = resealed(some_segment().encode(), field, value);
        assert!(is_newer(&SegmentHeader::decode(&bytes).unwrap_err()), "{} = {value}", field.name);
    }
}

#[test]
fn what_no_version_writes_is_refused_though_the_checksum_holds() {
    let reserved_end = Field { offset: STORE_CRC.offset - 1, width: 1, ..STORE_RESERVED };
    for (field, what) in [(STORE_RESERVED, "reserved part"), (reserved_end, "reserved part")] {
        let field = Field { width: 1, ..field };
        let found = StoreFile::decode(&resealed(store_file(), field, 1));
        assert_eq!(found, Err(Fault::Invalid(what)));
    }
    let version = StoreFile::decode(&resealed(store_file(), STORE_VERSION, 0));
    assert_eq!(version, Err(Fault::Invalid("format version")));
    let longer = resealed([store_file(), vec![0; 4]].concat(), STORE_VERSION, 1);
    assert_eq!(StoreFile::decode(&longer), Err(Fault::Invalid("length")));

    let reserved_end = Field { offset: SEGMENT_CRC.offset - 1, width: 1, ..SEGMENT_RESERVED };
    let reserved = Field { width: 1, ..SEGMENT_RESERVED };
    for field in [reserved, reserved_end] {
        let found = SegmentHeader::decode(&resealed(some_segment().encode(), field, 1));
        assert_eq!(found, Err(Fault::Invalid("reserved part")));
    }
    for size in [0, 8, SEGMENT_HEADER.size as u64, 4160, 65_537, u64::MAX] {
        let found = SegmentHeader::decode(&resealed(some_segment().encode(), SEGMENT_SIZE, size));
        assert_eq!(found, Err(Fault::Invalid("size")), "{size} bytes");
    }
}

#[test]
fn a_name_that_breaks_the_rules_is_refused_whichever_it_is() {
    let stream = StreamId::new("Workout", "w-1").unwrap();
    let event = full_event().actor(ActorId::new("coach-7").unwrap());
    let frame = frame_of(&[(stream, event)], GlobalPosition::FIRST, &some_stamp());
    let event = &frame.as_bytes()[FRAME_HEADER.size..];
    let event = &event[..EventPlace::read(event).unwrap().length as usize];
    assert!(decode(&frame_around(event)).is_ok());
    let names = [
        ("Workout", "aggregate type"),
        ("w-1", "aggregate id"),
        ("WorkoutScheduled", "event type"),
        ("club-1", "tenant id"),
        ("coach-7", "actor id"),
        ("athlete:7", "tags"),
    ];
    for (name, what) in names {
        let is_here = |window: &[u8]| window == name.as_bytes();
        let start = event.windows(name.len()).position(is_here).unwrap();
        for wrong in [b"\x07", b"\xff", b"\x7f"] {
            let mut changed = event.to_vec();
            changed[start..=start].copy_from_slice(wrong);
            let fault = decode(&frame_around(&changed)).unwrap_err();
            assert_eq!(fault, Fault::Invalid(what), "{name} with {wrong:?}");
        }
    }
}

#[test]
fn an_empty_name_is_refused() {
    for (type_length, id_length, event_type_length, what) in
        [(0, 1, 1, "aggregate type"), (1, 0, 1, "aggregate id"), (1, 1, 0, "event type")]
    {
        let mut event = vec![0; EVENT_HEADER.size];
        EVENT_AGGREGATE_TYPE_LENGTH.put(&mut event, type_length);
        EVENT_AGGREGATE_ID_LENGTH.put(&mut event, id_length);
        EVENT_TYPE_LENGTH.put(&mut event, event_type_length);
        event.extend_from_slice(b"xx");
        assert_eq!(decode(&frame_around(&event)).unwrap_err(), Fault::Invalid(what));
    }
}

/// Such an id was once given out as text: an event in a stream that no `StreamId` names.
#[test]
fn the_canonical_text_of_a_uuid_is_refused_as_text_and_every_other_spelling_is_an_id() {
    let text = "0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6";
    let mut event = vec![0; EVENT_HEADER.size];
    EVENT_AGGREGATE_TYPE_LENGTH.put(&mut event, 1);
    EVENT_TYPE_LENGTH.put(&mut event, 1);
    let (upper, digits) = (text.to_uppercase(), text.replace('-', ""));
    let (braced, urn) = (format!("{{{text}}}"), format!("urn:uuid:{text}"));
    let others = [&text[1..], &upper, &digits, &braced, &urn].map(|text| (text, true));
    for (text, is_taken) in others.into_iter().chain([(text, false)]) {
        EVENT_AGGREGATE_ID_LENGTH.put(&mut event, text.len() as u64);
        let own = [&event[..], b"T", text.as_bytes(), b"E"].concat();
        let decoded = decode(&frame_around(&own));
        match is_taken {
            true => assert_eq!(decoded.unwrap().aggregate_id(), IdRef::Text(text)),
            false => assert_eq!(decoded.unwrap_err(), Fault::Invalid("aggregate id")),
        }
    }
}

#[test]
fn a_content_type_without_a_name_is_kept() {
    let mut event = full_event_bytes();
    EVENT_CONTENT_TYPE.put(&mut event, 200);
    let read = decode(&frame_around(&event)).unwrap();
    assert_eq!(read.content_type(), crate::event::ContentType::Other(200));
}

#[test]
fn the_fields_that_a_checksum_leaves_out_are_the_checksums() {
    assert_eq!((EVENT_CRC.offset, EVENT_LENGTH.offset), (0, EVENT_CRC.width));
    assert_eq!(STORE_CRC.offset + STORE_CRC.width, STORE.size);
}
