//! What the tests of the format encode: fixed events, and any events.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, ProptestConfig, Strategy, any};
use uuid::Uuid;

use crate::event::{ContentType, EventId, NewEvent, RecordedEvent};
use crate::format::{
    EVENT_HEADER_BYTES, EventPlace, FRAME_HEADER_BYTES, Fault, HashOrder, Location, PackedFrame,
    Signing, Stamp, decode_first,
};
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{ActorId, AggregateId, StreamId, TenantId};
use crate::timestamp::Timestamp;

/// A failure prints its shortest input; no file is left beside the sources.
pub(super) fn settings() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// An event and the stream it goes to.
pub(super) type Written = (StreamId, NewEvent);

pub(super) fn uuid_stream() -> StreamId {
    let id = Uuid::from_u128(0x0191_f7d2_6a5b_7c3e_8f90_a1b2_c3d4_e5f6);
    StreamId::of("TrainingPlan", id).unwrap()
}

/// An event that has everything an event can have.
pub(super) fn full_event() -> NewEvent {
    let uuid = |number| Uuid::from_u128(number);
    NewEvent::new("WorkoutScheduled", r#"{"day":"monday"}"#)
        .content_type(ContentType::Json)
        .id(uuid(0x018b_cfe5_6800_7000_8000_0000_0000_0002))
        .event_version(2)
        .occurred_at(Timestamp::from_micros(1_699_999_999_000_000))
        .correlation_id(uuid(0xc0))
        .causation_id(uuid(0xca))
        .tenant(TenantId::new("club-1").unwrap())
        .actor(ActorId::from(uuid(0xac)))
        .tag("athlete:7")
        .tag("coach")
        .metadata("source", "mobile")
}

/// Returns what must be read back when an event was written.
pub(super) fn recorded(
    (stream, event): &Written,
    version: StreamVersion,
    position: GlobalPosition,
    recorded_at: Timestamp,
) -> RecordedEvent {
    RecordedEvent::from_new(event, stream, version, position, recorded_at).unwrap()
}

/// Where and when a frame is written in the tests that do not care.
pub(super) fn some_stamp() -> Stamp {
    Stamp {
        signing: Signing::new(0x5eed_0000_cafe_f00d),
        location: Location::new(4096),
        durable_upto: Location::new(4096),
        recorded_at: Timestamp::from_micros(1_700_000_000_000_000),
        epoch: 3,
    }
}

/// Encodes events as one frame whose versions count from 1.
pub(super) fn frame_of(
    events: &[Written],
    first_position: GlobalPosition,
    stamp: &Stamp,
) -> PackedFrame {
    let mut frame = PackedFrame::new();
    for (stream, event) in events {
        frame.push(stream, event).unwrap();
    }
    frame.place(first_position, (1..).map(StreamVersion::new).take(events.len())).unwrap();
    frame.stamp(stamp).unwrap();
    frame
}

/// A frame of two events, one of them with everything, in some place.
pub(super) fn some_frame() -> Bytes {
    let plain = NewEvent::new("Created", "tea").id(EventId::from_uuid(Uuid::from_u128(1)));
    let events = [(StreamId::new("Task", "task-1").unwrap(), plain), (uuid_stream(), full_event())];
    let frame = frame_of(&events, GlobalPosition::new(41), &some_stamp());
    Bytes::copy_from_slice(frame.as_bytes())
}

/// The bytes of an event that has everything, without padding.
pub(super) fn full_event_bytes() -> Vec<u8> {
    let frame = frame_of(&[(uuid_stream(), full_event())], GlobalPosition::FIRST, &some_stamp());
    let event = &frame.as_bytes()[FRAME_HEADER_BYTES..];
    event[..EventPlace::read(event).unwrap().length as usize].to_vec()
}

/// Puts bytes where the event of a frame stands, and finishes all checksums, of which bytes that are too few for
/// an event have none.
pub(super) fn frame_around(event: &[u8]) -> Bytes {
    let mut packed = PackedFrame::new();
    packed.push_raw(event);
    let placed = packed.place(GlobalPosition::FIRST, [StreamVersion::FIRST]);
    let stamped = placed.and_then(|()| packed.stamp(&some_stamp()));
    assert!(stamped.is_ok() || event.len() < EVENT_HEADER_BYTES);
    Bytes::copy_from_slice(packed.as_bytes())
}

/// Decodes an event on its own, as a read does.
pub(super) fn single(own: &Bytes, location: Location) -> Result<RecordedEvent, Fault> {
    decode_first(own, some_stamp().signing, location)
}

/// Any event that a store takes, to any stream.
pub(super) fn any_written() -> impl Strategy<Value = Written> {
    (any_stream(), any_event())
}

pub(super) fn any_signing() -> impl Strategy<Value = Signing> {
    (any::<u64>(), proptest::sample::select(&HashOrder::ALL))
        .prop_map(|(salt, order)| Signing::new(salt).with_order(order))
}

/// Any location at which a frame can stand, with room behind it.
pub(super) fn any_location() -> impl Strategy<Value = Location> {
    (0..u64::MAX >> 4).prop_map(|eighth| Location::new(eighth * 8))
}

fn any_stream() -> impl Strategy<Value = StreamId> {
    let aggregate_id = any_id().prop_map(|id| match id {
        Ok(uuid) => AggregateId::from(uuid),
        Err(text) => AggregateId::new(text).unwrap(),
    });
    ("[A-Za-z0-9_.-]{1,128}", aggregate_id)
        .prop_map(|(aggregate_type, id)| StreamId::of(aggregate_type, id).unwrap())
}

fn any_id() -> BoxedStrategy<Result<Uuid, String>> {
    proptest::prop_oneof![any_uuid().prop_map(Ok), any_name(255).prop_map(Err)].boxed()
}

fn any_uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

/// Any text of 1 to `bytes_max` bytes without control characters, short ones more often.
fn any_name(bytes_max: usize) -> BoxedStrategy<String> {
    let fits = move |text: &String| text.len() <= bytes_max;
    proptest::prop_oneof![
        4 => "[^\\p{Cc}]{1,20}".prop_filter("in bytes", fits),
        1 => Just("x".repeat(bytes_max)),
    ]
    .boxed()
}

fn any_payload() -> BoxedStrategy<Bytes> {
    proptest::prop_oneof![
        1 => Just(Bytes::new()),
        8 => vec(any::<u8>(), 0..200).prop_map(Bytes::from),
        1 => (any::<u8>(), 10_000_usize..300_000).prop_map(|(byte, n)| vec![byte; n].into()),
    ]
    .boxed()
}

fn any_content_type() -> BoxedStrategy<ContentType> {
    proptest::prop_oneof![
        Just(ContentType::Bytes),
        Just(ContentType::Text),
        Just(ContentType::Json),
        Just(ContentType::Bincode),
        (4_u8..).prop_map(ContentType::Other),
    ]
    .boxed()
}

fn any_event() -> impl Strategy<Value = NewEvent> {
    let what = (any_name(255), any_payload(), any_content_type(), any_uuid());
    let version = proptest::prop_oneof![Just(1), any::<u32>()];
    let when = option::of(any::<i64>().prop_map(Timestamp::from_micros));
    let ids = (option::of(any_uuid()), option::of(any_uuid()));
    let who = (option::of(any_id()), option::of(any_id()));
    let beside = (vec(any_name(255), 0..8), btree_map(".{0,20}", ".{0,40}", 0..5));
    (what, version, when, ids, who, beside).prop_map(
        |(what, event_version, occurred_at, ids, who, (tags, metadata))| {
            let (event_type, payload, content_type, event_id) = what;
            let tenant = who.0.map(|id| id.map_or_else(|t| TenantId::new(t).unwrap(), Into::into));
            let actor = who.1.map(|id| id.map_or_else(|t| ActorId::new(t).unwrap(), Into::into));
            let (correlation_id, causation_id) = ids;
            let event = NewEvent::new(event_type, payload).content_type(content_type).id(event_id);
            NewEvent {
                event_version,
                occurred_at,
                correlation_id,
                causation_id,
                tenant,
                actor,
                tags,
                metadata,
                ..event
            }
        },
    )
}
