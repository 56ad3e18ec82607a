//! What is encoded is read back, field by field.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, proptest};
use proptest::{prop_assert, prop_assert_eq};
use uuid::Uuid;

use super::material::{
    any_location, any_signing, any_written, frame_of, recorded, settings, some_frame, some_stamp,
};
use crate::event::NewEvent;
use crate::format::{
    Footer, Frame, FrameKind, Location, PackedFrame, SegmentHeader, Stamp, StoreFile, decode_first,
};
use crate::limits::COMMIT_EVENTS_MAX;
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

fn any_stamp() -> impl Strategy<Value = Stamp> {
    let numbers = (any::<u64>(), any::<i64>(), any::<u32>());
    (any_signing(), any_location(), numbers).prop_map(
        |(signing, location, (upto, micros, epoch))| {
            let (durable_upto, recorded_at) = (Location::new(upto), Timestamp::from_micros(micros));
            Stamp { signing, location, durable_upto, recorded_at, epoch }
        },
    )
}

fn any_position() -> impl Strategy<Value = GlobalPosition> {
    (1..u64::MAX >> 1).prop_map(GlobalPosition::new)
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn a_commit_is_read_back_event_by_event_and_field_by_field(
        events in vec(any_written(), 1..6),
        stamp in any_stamp(),
        first_position in any_position(),
    ) {
        let mut packed = frame_of(&events, first_position, &stamp);
        let bytes = Bytes::copy_from_slice(packed.as_bytes());
        let frame = Frame::verify(&bytes, stamp.signing, stamp.location).unwrap();

        let header = frame.header();
        prop_assert_eq!(header.length as usize, bytes.len());
        prop_assert_eq!(header.kind(), FrameKind::Commit);
        prop_assert_eq!(header.first_position, first_position);
        prop_assert_eq!(header.next_position(), first_position.advanced_by(events.len() as u64));
        prop_assert_eq!(header.durable_upto, stamp.durable_upto);
        prop_assert_eq!(header.recorded_at, stamp.recorded_at);
        prop_assert_eq!(header.epoch, stamp.epoch);

        let (_, locations) = packed.stamp(&stamp).unwrap();
        let found: Vec<_> = frame.events().map(|event| event.unwrap()).collect();
        prop_assert_eq!(found.len(), events.len());
        for (index, (location, event)) in found.iter().enumerate() {
            let number = index as u64;
            let version = StreamVersion::new(number + 1);
            let position = first_position.advanced_by(number);
            let expected = recorded(&events[index], version, position, stamp.recorded_at);
            prop_assert_eq!(event, &expected);
            prop_assert_eq!(event.metadata().unwrap(), expected.metadata().unwrap());
            prop_assert!(event.is_in(&events[index].0));
            prop_assert_eq!(*location, locations[index]);

            let start = location.distance_from(stamp.location) as usize;
            let own = bytes.slice(start..);
            let single = decode_first(&own, stamp.signing, *location).unwrap();
            prop_assert_eq!(&single, event);
        }
    }

    #[test]
    fn a_watermark_is_read_back(stamp in any_stamp(), position in any_position(), closed: bool) {
        let kind = if closed { FrameKind::Closed } else { FrameKind::Watermark };
        let mut packed = PackedFrame::watermark(kind, position);
        packed.stamp(&stamp).unwrap();
        let bytes = Bytes::copy_from_slice(packed.as_bytes());
        let frame = Frame::verify(&bytes, stamp.signing, stamp.location).unwrap();
        prop_assert_eq!(frame.header().kind(), kind);
        prop_assert_eq!(frame.header().first_position, position);
        prop_assert_eq!(frame.header().next_position(), position);
        prop_assert_eq!(frame.events().count(), 0);
    }

    #[test]
    fn a_store_file_is_read_back(id: u128, hash_key: [u8; 16], micros: i64) {
        let (store_id, created_at) = (Uuid::from_u128(id), Timestamp::from_micros(micros));
        let file = StoreFile { store_id, hash_key, created_at };
        prop_assert_eq!(StoreFile::decode(&file.encode()), Ok(file));
    }

    #[test]
    fn a_segment_header_and_its_footer_are_read_back(
        header in any_segment(),
        footer in any_footer(),
    ) {
        prop_assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        prop_assert_eq!(Footer::decode(&footer.encode(&header), &header), Ok(footer));
    }
}

pub(super) fn any_segment() -> impl Strategy<Value = SegmentHeader> {
    let size = (1_u64..1 << 20).prop_map(|pages| pages * 4096 + 4096);
    (any::<u128>(), 1_u64.., any_signing(), any_location(), size).prop_map(
        |(id, number, signing, base, size)| SegmentHeader {
            store_id: Uuid::from_u128(id),
            number,
            signing,
            base,
            size,
        },
    )
}

pub(super) fn any_footer() -> impl Strategy<Value = Footer> {
    let wide = (any::<u64>(), any::<u64>(), any::<u64>(), any::<i64>());
    (wide, any::<u32>(), any::<u32>(), any::<u32>()).prop_map(
        |((event_count, position, end, micros), frame_count, frames_crc, epoch)| Footer {
            event_count,
            first_position: GlobalPosition::new(position),
            end,
            recorded_at: Timestamp::from_micros(micros),
            frame_count,
            frames_crc,
            epoch,
        },
    )
}

#[test]
fn a_commit_of_as_many_events_as_there_can_be_is_read_back() {
    let stream = StreamId::new("T", "1").unwrap();
    let event = NewEvent::new("E", "");
    let mut packed = PackedFrame::new();
    for _ in 0..COMMIT_EVENTS_MAX {
        packed.push(&stream, &event).unwrap();
    }
    packed
        .place(GlobalPosition::FIRST, (1..=COMMIT_EVENTS_MAX.into()).map(StreamVersion::new))
        .unwrap();
    packed.stamp(&some_stamp()).unwrap();
    let bytes = Bytes::copy_from_slice(packed.as_bytes());
    let frame = Frame::verify(&bytes, some_stamp().signing, some_stamp().location).unwrap();
    let last = frame.events().last().unwrap().unwrap().1;
    assert_eq!(last.global_position().get(), u64::from(COMMIT_EVENTS_MAX));
    assert_eq!(last.stream_version().get(), u64::from(COMMIT_EVENTS_MAX));
}

#[test]
fn a_frame_is_read_where_more_bytes_follow_it_and_its_events_borrow_from_it() {
    let frame = some_frame();
    let bytes = Bytes::from([&frame[..], &[0xff; 100]].concat());
    let read = Frame::verify(&bytes, some_stamp().signing, some_stamp().location).unwrap();
    assert_eq!(read.header().length as usize, frame.len());
    for event in read.events() {
        let (_, event) = event.unwrap();
        assert!(bytes.as_ptr_range().contains(&event.payload().as_ptr()));
    }
}

#[test]
fn an_event_is_in_its_own_stream_alone() {
    let uuid = Uuid::from_bytes(*b"sixteen-letters!");
    let streams = [
        StreamId::of("Order", uuid).unwrap(),
        StreamId::of("Offer", uuid).unwrap(),
        StreamId::new("Order", "sixteen-letters!").unwrap(),
        StreamId::new("Order", "sixteen-letters").unwrap(),
        StreamId::new("Orders", "ixteen-letters!").unwrap(),
    ];
    for (own, stream) in streams.iter().enumerate() {
        let written = (stream.clone(), NewEvent::new("E", ""));
        let time = some_stamp().recorded_at;
        let event = recorded(&written, StreamVersion::FIRST, GlobalPosition::FIRST, time);
        let found = streams.iter().map(|stream| event.is_in(stream));
        assert!(found.enumerate().all(|(other, is_in)| is_in == (other == own)), "{stream}");
    }
}
