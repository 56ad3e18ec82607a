//! Hostile bytes for the decoders of the format, which a user reaches through files only.
//!
//! The fuzz target `frame` feeds [`check`] with any input. Half of the kinds of input get checksums
//! that hold, so that what stands behind the first check is reached too.
//!
//! What is held, besides that nothing panics:
//!
//! 1. Bytes behind a frame do not matter to it.
//! 2. An event reads the same within its frame and on its own.
//! 3. What is accepted and written again reads the same; structures without events are the same
//!    bytes.

use bytes::Bytes;

use crate::event::{NewEvent, RecordedEvent};
use crate::format::{
    FRAME_HEADER_BYTES, Fault, Footer, Frame, FrameKind, Location, PackedFrame,
    SEGMENT_FOOTER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, Signing, Stamp, StoreFile,
    decode_first,
};
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{ActorId, StreamId, TenantId};
use crate::timestamp::Timestamp;

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A decoder refused it.
    Refused,
    /// It was decoded, and everything that is to hold of it does.
    Accepted,
}

/// Decodes one input of the fuzz target and checks what is to hold; its first byte says what the
/// others are.
///
/// # Errors
///
/// What does not hold, as a sentence.
///
/// # Examples
///
/// ```
/// use annals::testing::bytes::{Verdict, check};
///
/// assert_eq!(check(b"no frame"), Ok(Verdict::Refused));
/// ```
pub fn check(input: &[u8]) -> Result<Verdict, String> {
    let Some((kind, rest)) = input.split_first() else { return Ok(Verdict::Refused) };
    match kind % KINDS {
        FRAME => check_frame(rest),
        FRAME_OF_EVENTS => check_frame(&frame_around(rest)),
        SEGMENT => check_segment(rest),
        SEALED_SEGMENT => check_segment(&sealed_segment(rest)),
        STORE => check_store_file(rest),
        _ => check_store_file(&sealed(rest.to_vec())),
    }
}

const FRAME: u8 = 0;
const FRAME_OF_EVENTS: u8 = 1;
const SEGMENT: u8 = 2;
const SEALED_SEGMENT: u8 = 3;
const STORE: u8 = 4;
const SEALED_STORE: u8 = 5;
const KINDS: u8 = 6;

/// Decodes a frame as if it stood where the seeds do.
///
/// # Errors
///
/// Why it is refused, or one of its events.
///
/// # Examples
///
/// ```
/// assert!(annals::testing::bytes::decode_frame(&[0; 40]).is_err());
/// ```
pub fn decode_frame(bytes: &[u8]) -> Result<Vec<RecordedEvent>, String> {
    let frame = verify(Bytes::copy_from_slice(bytes)).map_err(|fault| fault.to_string())?;
    let events = frame.events().map(|event| event.map(|(_, event)| event));
    events.collect::<Result<_, _>>().map_err(|fault| fault.to_string())
}

/// Inputs to begin with, each accepted, with a name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut commit = PackedFrame::new();
    for (stream, event) in seed_events() {
        commit.push(&stream, &event).unwrap();
    }
    commit.place(GlobalPosition::FIRST, [1, 7].map(StreamVersion::new)).unwrap();
    let raw_events: Vec<u8> = raw_events(&commit).iter().flat_map(|own| length_and(own)).collect();
    commit.stamp(&stamp(Timestamp::from_micros(9), 1)).unwrap();
    let mut mark = PackedFrame::watermark(FrameKind::Closed, GlobalPosition::new(3));
    mark.stamp(&stamp(Timestamp::from_micros(9), 1)).unwrap();
    let store_file = StoreFile {
        store_id: uuid::Uuid::from_u128(5),
        hash_key: [7; 16],
        created_at: Timestamp::from_micros(9),
    };
    let segment = seed_segment();
    let footer = Footer {
        event_count: 2,
        first_position: GlobalPosition::FIRST,
        end: 4500,
        recorded_at: Timestamp::from_micros(9),
        frame_count: 2,
        frames_crc: 3,
        epoch: 1,
    };
    let footer = footer.encode(&segment);
    let segment = segment.encode();
    let input = |kind: u8, parts: &[&[u8]]| [&[kind], parts.concat().as_slice()].concat();
    vec![
        ("commit", input(FRAME, &[commit.as_bytes()])),
        ("close-mark", input(FRAME, &[mark.as_bytes()])),
        ("events", input(FRAME_OF_EVENTS, &[&[0; RAW_HEADER_BYTES], &raw_events])),
        ("segment", input(SEGMENT, &[&segment, &footer])),
        ("sealed-segment", input(SEALED_SEGMENT, &[&footer, &segment[..64]])),
        ("store", input(STORE, &[&store_file.encode()])),
        ("sealed-store", input(SEALED_STORE, &[&store_file.encode()])),
    ]
}

/// An event without anything optional, and one with everything.
fn seed_events() -> [(StreamId, NewEvent); 2] {
    let id = uuid::Uuid::from_u128;
    let plain = NewEvent::new("Created", "tea").id(id(1));
    let full = NewEvent::new("Scheduled", "{}")
        .id(id(2))
        .event_version(2)
        .occurred_at(Timestamp::from_micros(8))
        .correlation_id(id(3))
        .causation_id(id(4))
        .tenant(TenantId::new("club-1").unwrap())
        .actor(ActorId::from(id(5)))
        .tag("athlete:7")
        .tag("coach")
        .metadata("source", "mobile");
    let task = StreamId::new("Task", "task-1").unwrap();
    [(task, plain), (StreamId::of("Plan", id(6)).unwrap(), full)]
}

fn raw_events(frame: &PackedFrame) -> Vec<&[u8]> {
    let bytes = frame.as_bytes();
    event_starts(bytes).into_iter().map(|start| without_padding(&bytes[start..])).collect()
}

fn without_padding(own: &[u8]) -> &[u8] {
    &own[..crate::format::EventPlace::read(own).unwrap().length as usize]
}

fn length_and(own: &[u8]) -> Vec<u8> {
    [&u16::try_from(own.len()).unwrap().to_le_bytes(), own].concat()
}

fn seed_segment() -> SegmentHeader {
    let (store_id, base) = (uuid::Uuid::from_u128(5), Location::new(0));
    SegmentHeader { store_id, number: 1, signing: SIGNING, base, size: 65_536 }
}

const SIGNING: Signing = Signing::new(0x0123_4567_89ab_cdef);
const LOCATION: Location = Location::new(4096);

fn stamp(recorded_at: Timestamp, epoch: u32) -> Stamp {
    Stamp { signing: SIGNING, location: LOCATION, durable_upto: LOCATION, recorded_at, epoch }
}

fn verify(bytes: Bytes) -> Result<Frame, Fault> {
    Frame::verify(&bytes, SIGNING, LOCATION)
}

/// Bytes before the events of an input: first position, commit time, epoch, flags.
const RAW_HEADER_BYTES: usize = 22;

/// Makes a frame whose checksums hold of an input: the fields of its header, then events, each with
/// its length in two bytes before it.
fn frame_around(input: &[u8]) -> Vec<u8> {
    let mut rest = input;
    let first_position = u64::from_le_bytes(take(&mut rest)).max(1);
    let recorded_at = Timestamp::from_micros(i64::from_le_bytes(take(&mut rest)));
    let epoch = u32::from_le_bytes(take(&mut rest));
    let mut frame = PackedFrame::with_flags(u16::from_le_bytes(take(&mut rest)));
    let mut versions = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(u16::from_le_bytes(take(&mut rest))).min(rest.len());
        let (event, behind) = rest.split_at(length);
        frame.push_raw(event);
        versions.push(StreamVersion::new(first_position ^ versions.len() as u64));
        rest = behind;
    }
    // What is too short for an event has no place for a checksum.
    let _refused = frame
        .place(GlobalPosition::new(first_position), versions)
        .and_then(|()| frame.stamp(&stamp(recorded_at, epoch)).map(drop));
    frame.as_bytes().to_vec()
}

/// Takes bytes off an input, zeros where it ends.
fn take<const WIDTH: usize>(input: &mut &[u8]) -> [u8; WIDTH] {
    let (own, behind) = input.split_at(WIDTH.min(input.len()));
    *input = behind;
    let mut taken = [0; WIDTH];
    taken[..own.len()].copy_from_slice(own);
    taken
}

fn check_frame(bytes: &[u8]) -> Result<Verdict, String> {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(frame) = verify(bytes.clone()) else { return Ok(Verdict::Refused) };
    let header = *frame.header();
    let own = bytes.slice(..header.length as usize);
    let alone = verify(own.clone()).map_err(|fault| format!("without more bytes {fault}"))?;
    hold(*alone.header() == header, "bytes behind a frame matter to it")?;
    let mut verdict = Verdict::Accepted;
    let events: Vec<_> = frame.events().collect();
    hold(events.len() == usize::from(header.event_count), "the frame has not all its events")?;
    for (place, event) in event_starts(&own).into_iter().zip(&events) {
        let location = LOCATION.plus(place as u64);
        let single = decode_first(&own.slice(place..), SIGNING, location);
        match (single, event) {
            (Ok(single), Ok((found_at, event))) => {
                hold(*found_at == location, "the event stands elsewhere")?;
                hold(single == *event, "the event reads otherwise on its own")?;
                check_event(event)?;
            }
            (Err(single), Err(event)) => {
                hold(single == *event, "the event is refused otherwise on its own")?;
                verdict = Verdict::Refused;
            }
            (single, _) => return Err(format!("on its own the event is {single:?}")),
        }
    }
    match header.event_count {
        0 => check_watermark(&frame, &own).map(|()| verdict),
        _ => Ok(verdict),
    }
}

/// Returns the offsets of the events of a frame that verifies.
fn event_starts(frame: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = FRAME_HEADER_BYTES;
    while at < frame.len() {
        starts.push(at);
        let length = crate::format::EventPlace::read(&frame[at..]).unwrap().length as usize;
        at = (at + length).next_multiple_of(8);
    }
    starts
}

/// Writes an event again, as its author would, and compares every field.
fn check_event(event: &RecordedEvent) -> Result<(), String> {
    let stream =
        event.stream().map_err(|error| format!("its stream has no valid name: {error}"))?;
    hold(event.is_in(&stream), "the event is not in its own stream")?;
    let Ok(metadata) = event.metadata() else { return Ok(()) };
    let mut again = NewEvent::new(event.event_type(), event.payload_bytes())
        .id(event.event_id())
        .event_version(event.event_version())
        .occurred_at(event.occurred_at())
        .content_type(event.content_type());
    for (key, value) in &metadata {
        again = again.metadata(key, value);
    }
    for tag in event.tags() {
        again = again.tag(tag);
    }
    if let Some(tenant) = event.tenant() {
        again = again.tenant(TenantId::try_from(tenant).map_err(|error| error.to_string())?);
    }
    if let Some(actor) = event.actor() {
        again = again.actor(ActorId::try_from(actor).map_err(|error| error.to_string())?);
    }
    if let Some(id) = event.correlation_id() {
        again = again.correlation_id(id);
    }
    if let Some(id) = event.causation_id() {
        again = again.causation_id(id);
    }
    compare(event, &write_again(event, &stream, &again)?)
}

fn write_again(
    event: &RecordedEvent,
    stream: &StreamId,
    again: &NewEvent,
) -> Result<RecordedEvent, String> {
    let mut frame = PackedFrame::new();
    frame.push(stream, again).map_err(|error| error.to_string())?;
    // The position of an event that is not the first may be the largest there is.
    let placed = frame.place(event.global_position(), [event.stream_version()]);
    let stamped = placed.and_then(|()| frame.stamp(&stamp(event.recorded_at(), 1)).map(drop));
    stamped.map_err(|error| error.to_string())?;
    let mut events = decode_frame(frame.as_bytes())?;
    events.pop().ok_or_else(|| "the event is gone".to_owned())
}

fn compare(event: &RecordedEvent, again: &RecordedEvent) -> Result<(), String> {
    let numbers = |event: &RecordedEvent| {
        let places = (event.global_position(), event.stream_version());
        (places, event.recorded_at(), event.occurred_at(), event.event_version())
    };
    let ids = |event: &RecordedEvent| {
        (event.event_id(), event.correlation_id(), event.causation_id(), event.content_type())
    };
    hold(numbers(event) == numbers(again), "its numbers read otherwise when written again")?;
    hold(ids(event) == ids(again), "its ids read otherwise when written again")?;
    hold(event.aggregate_id() == again.aggregate_id(), "its aggregate id has two forms")?;
    hold(event.aggregate_type() == again.aggregate_type(), "its aggregate type has two forms")?;
    hold(event.event_type() == again.event_type(), "its event type has two forms")?;
    hold(event.tenant() == again.tenant(), "its tenant has two forms")?;
    hold(event.actor() == again.actor(), "its actor has two forms")?;
    hold(event.tags().eq(again.tags()), "its tags have two forms")?;
    hold(event.metadata().ok() == again.metadata().ok(), "its metadata has two forms")?;
    hold(event.payload() == again.payload(), "its payload reads otherwise when written again")
}

fn check_watermark(frame: &Frame, bytes: &[u8]) -> Result<(), String> {
    let header = frame.header();
    let mut again = PackedFrame::watermark(header.kind(), header.first_position);
    let durable_upto = header.durable_upto;
    let stamped = again.stamp(&Stamp { durable_upto, ..stamp(header.recorded_at, header.epoch) });
    stamped.map_err(|error| error.to_string())?;
    hold(again.as_bytes() == bytes, "the watermark is otherwise when written again")
}

/// Takes the header of a segment and, behind it, a footer.
fn check_segment(bytes: &[u8]) -> Result<Verdict, String> {
    let Ok(header) = SegmentHeader::decode(bytes) else { return Ok(Verdict::Refused) };
    let (own, footer) = bytes.split_at(SEGMENT_HEADER_BYTES);
    hold(header.encode() == own, "the segment header is otherwise when written again")?;
    let Ok(decoded) = Footer::decode(footer, &header) else { return Ok(Verdict::Refused) };
    let footer = &footer[..SEGMENT_FOOTER_BYTES];
    hold(decoded.encode(&header) == footer, "the footer is otherwise when written again")?;
    Ok(Verdict::Accepted)
}

/// Makes a segment's header and footer whose checksums hold: of the input, the footer first, since
/// the end of the header is reserved.
fn sealed_segment(input: &[u8]) -> Vec<u8> {
    let (footer, header) = input.split_at(input.len().min(SEGMENT_FOOTER_BYTES));
    let mut header = header.to_vec();
    header.resize(SEGMENT_HEADER_BYTES, 0);
    let header = sealed(header);
    let mut footer = footer.to_vec();
    footer.resize(SEGMENT_FOOTER_BYTES, 0);
    if let Ok(decoded) = SegmentHeader::decode(&header) {
        Footer::seal(&mut footer, &decoded);
    }
    [header, footer].concat()
}

fn check_store_file(bytes: &[u8]) -> Result<Verdict, String> {
    let Ok(file) = StoreFile::decode(bytes) else { return Ok(Verdict::Refused) };
    hold(file.encode() == bytes, "the store file is otherwise when written again")?;
    Ok(Verdict::Accepted)
}

/// Puts the checksum of the bytes before it into the last four bytes.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some((checked, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(checked).to_le_bytes();
    }
    bytes
}

fn hold(holds: bool, otherwise: &str) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(otherwise.to_owned()),
    }
}
