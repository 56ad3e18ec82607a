//! Lines in both directions: what is taken, what is refused and why, and what comes back.

use annals::{
    ActorId, ContentType, EventStore, ExpectedVersion, MemoryStore, NewEvent, RecordedEvent,
    TenantId, Timestamp,
};
use uuid::Uuid;

use super::*;

const START: &str = r#"{"aggregate_type":"Task","aggregate_id":"t-1","event_type":"Created""#;

/// A line with the required fields and what else is given.
fn line(more: &str) -> String {
    format!("{START}{}{more}}}", if more.is_empty() { "" } else { "," })
}

fn event(more: &str) -> NewEvent {
    parse(line(more).as_bytes()).unwrap().event
}

fn refusal(more: &str) -> String {
    parse(line(more).as_bytes()).unwrap_err()
}

fn recorded(event: NewEvent) -> RecordedEvent {
    let store = MemoryStore::new();
    let stream = "t-1:Task".parse().unwrap();
    store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
    store.read_all(Default::default()).unwrap().next().unwrap().unwrap()
}

#[test]
fn the_required_fields_make_an_event_without_id() {
    let parsed = parse(line("").as_bytes()).unwrap();
    assert_eq!(parsed.stream.to_string(), "t-1:Task");
    assert_eq!(parsed.event_id, None);
    assert_eq!(parsed.event.event_type(), "Created");
    assert!(parsed.event.payload().is_empty());
}

#[test]
fn every_field_reaches_the_event() {
    let id = Uuid::from_u128(7);
    let more = format!(
        r#""occurred_at":"1970-01-01T01:00:00.000001+01:00","data":{{"a":1}},"event_id":"{id}",
        "event_version":3,"tenant_id":"acme","actor_id":"user:1","correlation_id":"{id}",
        "causation_id":"{id}","tags":["x","y"],"metadata":{{"k":"v"}},"aggregate_version":4,
        "global_position":1,"stream_version":2,"recorded_at":"ignored""#
    );
    let expected = NewEvent::new("Created", r#"{"a":1}"#)
        .content_type(ContentType::Json)
        .id(id)
        .occurred_at(Timestamp::from_micros(1))
        .event_version(3)
        .tenant(TenantId::new("acme").unwrap())
        .actor(ActorId::new("user:1").unwrap())
        .correlation_id(id)
        .causation_id(id)
        .tag("x")
        .tag("y")
        .metadata("k", "v")
        .claims_version(4);
    let parsed = parse(line(&more).as_bytes()).unwrap();
    assert_eq!(parsed.event, expected);
    assert_eq!(parsed.event_id, Some(id.into()));
}

#[test]
fn data_keeps_its_digits_and_its_order_and_null_is_data() {
    let data = r#"{"z": 1.50, "a": 123456789012345678901234567890, "s": "two words"}"#;
    let payload = r#"{"z":1.50,"a":123456789012345678901234567890,"s":"two words"}"#;
    assert_eq!(event(&format!(r#""data":{data}"#)).payload(), payload);
    let null = event(r#""data":null"#);
    assert_eq!(null.payload(), "null");
    assert_eq!(null.payload_content_type(), ContentType::Json);
}

#[test]
fn other_payloads_are_given_by_their_content_type() {
    let text = event(r#""content_type":"text","data":"a \"b\"""#);
    assert_eq!(
        (text.payload().as_ref(), text.payload_content_type()),
        (&b"a \"b\""[..], ContentType::Text)
    );
    let bytes = event(r#""data_base64":"/wA=""#);
    assert_eq!(
        (bytes.payload().as_ref(), bytes.payload_content_type()),
        (&[255, 0][..], ContentType::Bytes)
    );
    let other = event(r#""content_type":"77","data_base64":"""#);
    assert_eq!(other.payload_content_type(), ContentType::Other(77));
}

#[test]
fn what_is_wrong_with_a_line_is_said() {
    let said = [
        (r#""data":{"a":}"#, "expected value at column"),
        (r#""occured_at":"2011-10-01T00:38:44Z""#, "unknown field `occured_at`"),
        (r#""event_type":"Twice""#, "duplicate field `event_type`"),
        (r#""occurred_at":"2011-10-01T00:38:44""#, "`occurred_at`: not a time in RFC 3339"),
        (r#""event_id":"7""#, "`event_id`: \"7\" is not a UUID"),
        (r#""correlation_id":"x""#, "`correlation_id`"),
        (r#""causation_id":"x""#, "`causation_id`"),
        (r#""tenant_id":"""#, "invalid tenant id"),
        (r#""actor_id":"a\u0000""#, "invalid actor id \"a\\0\""),
        (r#""event_version":-1"#, "invalid value: integer `-1`"),
        (r#""metadata":{"k":1}"#, "expected a string"),
        (r#""tags":"x""#, "expected a sequence"),
        (r#""data":1,"data_base64":"""#, "both `data` and `data_base64`"),
        (r#""data_base64":"?""#, "not base 64"),
        (r#""content_type":"xml""#, "\"xml\" is not known"),
        (r#""content_type":"text","data":1"#, "`data` is not a text"),
        (r#""content_type":"bincode","data":1"#, "data of content type bincode"),
    ];
    for (more, expected) in said {
        let reason = refusal(more);
        assert!(reason.contains(expected), "{more}: {reason}");
        assert!(!reason.contains("line"), "{more}: {reason}");
    }
}

#[test]
fn lines_that_are_no_object_are_refused() {
    for text in ["", "5", "null", r#"["Task","t-1","Created"]"#, "{", "{}", "not json"] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(parse(line("").replace("t-1", "").as_bytes()).unwrap_err().contains("it is empty"));
    assert!(parse(line(r#""data":1"#).as_bytes()).is_ok());
    assert!(parse(format!("{} {{}}", line("")).as_bytes()).unwrap_err().contains("trailing"));
    assert!(parse(b"{\"aggregate_type\":\"\xff\"}").unwrap_err().contains("byte 20"));
}

#[test]
fn data_nested_ten_thousand_deep_is_taken_without_exhausting_the_stack() {
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(event(&format!(r#""data":{open}{close}"#)).payload().len(), 20_000);
}

#[test]
fn a_printed_event_is_parsed_as_the_event_that_was_recorded() {
    let payloads: [(&[u8], ContentType); 8] = [
        (br#"{"a":[1.0,"b c"]}"#, ContentType::Json),
        (b"no json", ContentType::Json),
        (b"", ContentType::Json),
        ("text \"é\"\n".as_bytes(), ContentType::Text),
        (b"\xff text", ContentType::Text),
        (b"", ContentType::Bytes),
        (b"\x00\x01\x02", ContentType::Bincode),
        (b"x", ContentType::Other(99)),
    ];
    for (payload, content_type) in payloads {
        let event = NewEvent::new("Created", payload.to_vec())
            .content_type(content_type)
            .occurred_at(Timestamp::from_micros(-1))
            .tenant(TenantId::from(Uuid::from_u128(1)))
            .actor(ActorId::new("a").unwrap())
            .correlation_id(Uuid::from_u128(2))
            .causation_id(Uuid::from_u128(3))
            .event_version(2)
            .tag("one")
            .metadata("k", "v");
        let recorded = recorded(event.clone());
        let printed = serde_json::to_string(&PrintedEvent::new(&recorded).unwrap()).unwrap();
        let parsed = parse(printed.as_bytes()).unwrap();
        assert_eq!(parsed.event, event, "{printed}");
        assert_eq!(parsed.stream.to_string(), "t-1:Task");
    }
}
