//! What is not exactly what was written, where it was written, is no frame.
//!
//! The invariants of `format::frame`, by number.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::proptest;
use proptest::{prop_assert, prop_assert_eq, prop_assume};

use super::material::{
    any_location, any_signing, any_written, frame_around, frame_of, full_event_bytes, settings,
    single, some_frame, some_stamp, uuid_stream,
};
use crate::event::NewEvent;
use crate::event::layout::{EVENT_FLAGS, KNOWN_EVENT_FLAGS};
use crate::format::layout::{
    ALIGNMENT, FRAME_CRC, FRAME_FIRST_POSITION, FRAME_FLAGS, FRAME_HEADER, FRAME_LENGTH,
    FRAME_RECORDED_AT,
};
use crate::format::{Fault, Frame, FrameKind, Location, PackedFrame, Signing, is_zero};
use crate::limits::COMMIT_BYTES_MAX;
use crate::position::GlobalPosition;

fn verify(bytes: impl Into<Bytes>) -> Result<Frame, Fault> {
    Frame::verify(&bytes.into(), some_stamp().signing, some_stamp().location)
}

#[test]
fn invariant_2_every_flipped_bit_of_a_frame_is_refused() {
    let frame = some_frame();
    assert!(verify(frame.clone()).is_ok());
    for bit in 0..frame.len() * 8 {
        let mut flipped = frame.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let fault = verify(flipped).unwrap_err();
        assert!(!matches!(fault, Fault::Newer { .. }), "bit {bit}: damage is not a newer format");
    }
}

#[test]
fn invariant_2_every_flipped_bit_of_a_watermark_is_refused() {
    let mut watermark = PackedFrame::watermark(FrameKind::Closed, GlobalPosition::new(9));
    watermark.stamp(&some_stamp()).unwrap();
    for bit in 0..watermark.length() * 8 {
        let mut flipped = watermark.as_bytes().to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn invariant_2_a_frame_without_its_end_is_refused() {
    let frame = some_frame();
    for length in 0..frame.len() {
        assert_eq!(verify(frame.slice(..length)).unwrap_err(), Fault::Short, "{length} bytes");
        let mut torn = frame.to_vec();
        torn[length..].fill(0);
        let is_whole = is_zero(&frame[length..]);
        assert_eq!(verify(torn).is_ok(), is_whole, "{length} bytes, then zeros");
    }
}

#[test]
fn invariant_2_a_frame_whose_padding_is_not_zero_is_refused() {
    let frame = some_frame();
    let last = frame.len() - 1;
    assert_eq!(frame[last], 0, "the last event of the frame is padded");
    let mut filled = frame.to_vec();
    filled[last] = 1;
    assert_eq!(verify(filled).unwrap_err(), Fault::Invalid("padding"));
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn invariant_2_any_changed_bytes_of_any_frame_are_refused(
        event in any_written(),
        at: proptest::sample::Index,
        noise in vec(1_u8.., 1..16),
    ) {
        let packed = frame_of(&[event], GlobalPosition::FIRST, &some_stamp());
        let mut changed = packed.as_bytes().to_vec();
        let start = at.index(changed.len());
        for (byte, noise) in changed[start..].iter_mut().zip(&noise) {
            *byte ^= noise;
        }
        prop_assert!(verify(changed).is_err());
    }

    #[test]
    fn invariant_1_a_frame_is_refused_at_another_location(location in any_location()) {
        prop_assume!(location != some_stamp().location);
        let elsewhere = Frame::verify(&some_frame(), some_stamp().signing, location);
        // Far away one signature in four thousand million is the same; a salt is of one segment.
        let folded = |location: Location| (location.get() >> 32) ^ (location.get() & 0xffff_ffff);
        prop_assume!(folded(location) != folded(some_stamp().location));
        prop_assert_eq!(elsewhere.unwrap_err(), Fault::Checksum);
    }

    #[test]
    fn invariant_1_a_frame_is_refused_in_another_segment(signing in any_signing()) {
        prop_assume!(signing != some_stamp().signing);
        let elsewhere = Frame::verify(&some_frame(), signing, some_stamp().location);
        prop_assert_eq!(elsewhere.unwrap_err(), Fault::Checksum);
    }

    #[test]
    fn invariant_1_no_two_locations_of_a_segment_have_one_signature(
        signing in any_signing(),
        base in any_location(),
        steps in (1..(4_u64 << 30) / 8),
    ) {
        let other = base.plus(steps * ALIGNMENT as u64);
        prop_assert!(signing.signature(base) != signing.signature(other));
    }
}

#[test]
fn invariant_1_a_frame_is_refused_everywhere_else_in_its_segment() {
    let frame = some_frame();
    for step in 1..10_000 {
        let location = some_stamp().location.plus(step * ALIGNMENT as u64);
        assert!(Frame::verify(&frame, some_stamp().signing, location).is_err(), "{location}");
    }
}

#[test]
fn invariant_1_a_frame_within_a_payload_is_refused() {
    let inner = some_frame();
    let event = NewEvent::new("Copied", inner.clone());
    let outer = frame_of(&[(uuid_stream(), event)], GlobalPosition::FIRST, &some_stamp());
    let outer = Bytes::copy_from_slice(outer.as_bytes());
    let payload = outer.windows(inner.len()).position(|window| window == inner).unwrap();
    for at in (0..outer.len()).skip(1) {
        let location = some_stamp().location.plus(at as u64);
        let found = Frame::verify(&outer.slice(at..), some_stamp().signing, location);
        assert!(found.is_err(), "at {at}, where the payload is at {payload}");
    }
    assert!(Frame::verify(&inner, some_stamp().signing, some_stamp().location).is_ok());
}

#[test]
fn invariant_3_zeros_are_never_a_frame() {
    for length in [0, 1, FRAME_HEADER.size, 4096, 1 << 20] {
        for salt in [0, 1, u64::MAX] {
            let zeros = Bytes::from(vec![0; length]);
            assert!(Frame::verify(&zeros, Signing::new(salt), Location::new(0)).is_err());
        }
    }
    assert_eq!(verify(vec![0; 4096]).unwrap_err(), Fault::Invalid("frame length"));
}

/// Sets a part of a frame's header and finishes its checksum anew.
fn with_header(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut watermark = PackedFrame::watermark(FrameKind::Watermark, GlobalPosition::new(9));
    watermark.stamp(&some_stamp()).unwrap();
    let mut bytes = watermark.as_bytes().to_vec();
    change(&mut bytes);
    let crc = crc32fast::hash(&bytes[FRAME_LENGTH.offset..FRAME_HEADER.size]);
    FRAME_CRC.put(&mut bytes, (crc ^ some_stamp().signing.signature(some_stamp().location)).into());
    bytes
}

#[test]
fn unknown_frame_flags_are_a_newer_format_only_when_the_checksum_holds() {
    assert!(verify(with_header(|_| {})).is_ok());
    for bit in 1..16 {
        let mut newer = with_header(|bytes| FRAME_FLAGS.put(bytes, 1 << bit));
        let fault = verify(newer.clone()).unwrap_err();
        assert!(matches!(fault, Fault::Newer { .. }), "bit {bit}: {fault}");
        newer[0] ^= 1;
        assert_eq!(verify(newer).unwrap_err(), Fault::Checksum, "bit {bit}");
    }
}

#[test]
fn unknown_event_flags_are_a_newer_format_only_when_the_checksum_holds() {
    for bit in (0..16).filter(|bit| KNOWN_EVENT_FLAGS >> bit & 1 == 0) {
        let newer = frame_with_event_flags(1 << bit);
        let frame = verify(newer.clone()).unwrap();
        let fault = frame.events().next().unwrap().unwrap_err();
        assert!(matches!(fault, Fault::Newer { .. }), "bit {bit}: {fault}");
        let mut damaged = newer;
        damaged[FRAME_HEADER.size] ^= 1;
        assert_eq!(verify(damaged).unwrap_err(), Fault::Checksum, "bit {bit}");
    }
}

fn frame_with_event_flags(flags: u16) -> Vec<u8> {
    let mut event = full_event_bytes();
    let known = EVENT_FLAGS.get(&event);
    EVENT_FLAGS.put(&mut event, known | u64::from(flags));
    frame_around(&event).to_vec()
}

#[test]
fn a_frame_longer_than_any_commit_is_refused_before_anything_is_hashed() {
    let longest = COMMIT_BYTES_MAX + 8;
    let bytes = with_header(|bytes| FRAME_LENGTH.put(bytes, longest.into()));
    assert_eq!(verify(bytes).unwrap_err(), Fault::Invalid("frame length"));
}

#[test]
fn a_frame_is_refused_whose_event_says_another_position_or_time() {
    let frame = some_frame();
    let own = frame.slice(FRAME_HEADER.size..);
    let location = some_stamp().location.plus(FRAME_HEADER.size as u64);
    assert!(single(&own, location).is_ok());
    for field in [FRAME_FIRST_POSITION, FRAME_RECORDED_AT] {
        let mut other = frame.to_vec();
        field.put(&mut other, 42);
        assert_eq!(
            verify(other).unwrap_err(),
            Fault::Invalid("place of an event"),
            "{}",
            field.name
        );
    }
}
