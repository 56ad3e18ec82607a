//! Lines in both directions: what is taken, what is refused and why, and what comes back.

use annals::{
    ActorId, ContentType, EventId, EventStore, ExpectedVersion, MemoryStore, NewEvent,
    RecordedEvent, TenantId, Timestamp,
};
use serde::Serialize;
use uuid::Uuid;

use super::*;
use crate::output::SafeJson;

const START: &str = r#"{"aggregate_type":"Task","aggregate_id":"t-1","event_type":"Created""#;

/// A line with the required fields and what else is given.
fn line(more: &str) -> String {
    format!("{START}{}{more}}}", if more.is_empty() { "" } else { "," })
}

const ID: EventId = EventId::from_uuid(Uuid::from_u128(7));

fn event(more: &str) -> NewEvent {
    parse(line(more).as_bytes()).unwrap().new_event(ID)
}

fn refusal_of(line: &[u8]) -> String {
    parse(line).unwrap_err().to_string()
}

fn refusal(more: &str) -> String {
    refusal_of(line(more).as_bytes())
}

/// Writes an event as `read --json` does.
fn printed(event: &RecordedEvent) -> String {
    let (mut output, form) = (Vec::new(), SafeJson { escapes_payloads: false });
    let mut writer = serde_json::Serializer::with_formatter(&mut output, form);
    PrintedEvent::new(event).unwrap().serialize(&mut writer).unwrap();
    String::from_utf8(output).unwrap()
}

/// Records an event, prints it, reads the line, and asserts that the same comes of it.
fn comes_back(event: NewEvent) -> String {
    let recorded = recorded(event.clone());
    let printed = printed(&recorded);
    assert!(!printed.contains(['\n', '\r']), "{printed}");
    let parsed = parse(printed.as_bytes()).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(parsed.event_id(), Some(recorded.event_id()));
    assert_eq!(parsed.difference(&recorded), None, "{printed}");
    let occurred_at = event.occurred_at(recorded.occurred_at());
    assert_eq!(parsed.new_event(recorded.event_id()), occurred_at, "{printed}");
    printed
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
    assert_eq!(parsed.stream().to_string(), "t-1:Task");
    assert_eq!(parsed.event_id(), None);
    let event = parsed.new_event(ID);
    assert_eq!((event.event_id(), event.event_type()), (ID, "Created"));
    assert!(event.payload().is_empty());
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
    assert_eq!(parsed.event_id(), Some(ID));
    assert_eq!(parsed.new_event(ID), expected);
}

#[test]
fn data_is_kept_byte_for_byte_and_null_is_data() {
    let data = r#"{"z": 1.50, "a":	123456789012345678901234567890, "z" : "two  words"}"#;
    assert_eq!(event(&format!(r#""data": {data} "#)).payload(), data);
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
        (r#""event_version":-1"#, "`event_version: -1`: expected a number from 0 to 4294967295"),
        (r#""event_version":1.5"#, "`event_version: 1.5`: expected a number"),
        (r#""event_version":"1""#, "`event_version: \"1\"`: expected a number"),
        (r#""aggregate_version":4294967296000000000000"#, "from 0 to 18446744073709551615"),
        (r#""occurred_at":1317422324"#, "`occurred_at: 1317422324`: expected a text"),
        (r#""event_id":{"a":"b"}"#, "`event_id: {\"a\":\"b\"}`: expected a text"),
        (r#""tenant_id":true"#, "`tenant_id: true`: expected a text"),
        (r#""actor_id":[1,2]"#, "`actor_id: [1,2]`: expected a text"),
        (r#""correlation_id":1e3"#, "`correlation_id: 1e3`: expected a text"),
        (r#""tenant_id":"\ud800""#, "`tenant_id`: "),
        (r#""metadata":{"k":1}"#, "`metadata.k: 1`: expected a text"),
        (r#""metadata":["k"]"#, "`metadata: [\"k\"]`: expected an object of texts"),
        (r#""metadata":{"k":"1","k":"2"}"#, "`metadata.k` is given twice"),
        (r#""tags":"x""#, "`tags: \"x\"`: expected a list of texts"),
        (r#""tags":["a",5]"#, "`tags: 5`: expected a text"),
        (r#""data_base64":5"#, "`data_base64: 5`: expected a text"),
        (r#""content_type":300"#, "`content_type: 300`: expected a text"),
        (r#""data":1,"data_base64":"""#, "both `data` and `data_base64`"),
        (r#""data_base64":"?""#, "not base 64"),
        (r#""content_type":"xml""#, "\"xml\" is not known"),
        (r#""content_type":"text","data":1"#, "`data: 1`: expected a text"),
        (r#""content_type":"bincode","data":1"#, "data of content type bincode"),
    ];
    for (more, expected) in said {
        let reason = refusal(more);
        assert!(reason.contains(expected), "{more}: {reason}");
        assert!(!reason.contains("line"), "{more}: {reason}");
    }
}

#[test]
fn a_required_field_of_the_wrong_type_is_named_with_its_value_and_without_one_is_missing() {
    for field in ["aggregate_type", "aggregate_id", "event_type"] {
        let with = |value: &str| {
            let fields = ["aggregate_type", "aggregate_id", "event_type"];
            let fields = fields
                .map(|own| format!(r#""{own}":{}"#, if own == field { value } else { r#""x""# }));
            refusal_of(format!("{{{}}}", fields.join(",")).as_bytes())
        };
        assert_eq!(with("42"), format!("`{field}: 42`: expected a text"));
        assert_eq!(with("null"), format!("`{field}` is missing"));
        let long = with(&format!("[{}]", "1,".repeat(100) + "1"));
        assert!(long.starts_with(&format!("`{field}: [1,1,")) && long.contains("...`"), "{long}");
    }
    assert_eq!(refusal_of(b"{}"), "`aggregate_type` is missing");
    assert!(refusal(r#""b\u001b[31m":1"#).contains("unknown field"));
}

#[test]
fn null_is_as_good_as_left_out() {
    let nulls = [
        "occurred_at",
        "data_base64",
        "content_type",
        "event_id",
        "event_version",
        "tenant_id",
        "actor_id",
        "correlation_id",
        "causation_id",
        "tags",
        "metadata",
        "aggregate_version",
        "global_position",
        "stream_version",
        "recorded_at",
    ];
    for field in nulls {
        let parsed = parse(line(&format!(r#""{field}":null"#)).as_bytes()).unwrap();
        assert_eq!(parsed, parse(line("").as_bytes()).unwrap(), "{field}");
    }
    assert_eq!(event(r#""tags":[null,"a",null]"#), event(r#""tags":["a"]"#));
    assert_eq!(event(r#""metadata":{"a":null,"b":"c"}"#), event(r#""metadata":{"b":"c"}"#));
    assert_eq!(event(r#""data":null,"data_base64":"/w==""#).payload(), &[255][..]);
    assert_eq!(event(r#""data":null,"content_type":"bytes""#).payload(), "");
    assert_eq!(event(r#""data":null,"content_type":"json""#).payload(), "null");
}

#[test]
fn lines_that_are_no_object_are_refused() {
    for text in ["", "5", "null", r#"["Task","t-1","Created"]"#, "{", "{}", "not json"] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(parse(b"["), Err(Refusal::Array));
    assert!(matches!(parse(b"{"), Err(Refusal::Unfinished(_))));
    assert!(refusal_of(line("").replace("t-1", "").as_bytes()).contains("it is empty"));
    assert!(parse(line(r#""data":1"#).as_bytes()).is_ok());
    assert!(refusal_of(format!("{} {{}}", line("")).as_bytes()).contains("trailing"));
    assert!(refusal_of(b"{\"aggregate_type\":\"\xff\"}").contains("byte 20"));
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
        comes_back(
            NewEvent::new("Created", payload.to_vec())
                .content_type(content_type)
                .occurred_at(Timestamp::from_micros(-1))
                .tenant(TenantId::from(Uuid::from_u128(1)))
                .actor(ActorId::new("a").unwrap())
                .correlation_id(Uuid::from_u128(2))
                .causation_id(Uuid::from_u128(3))
                .event_version(2)
                .tag("one")
                .metadata("k", "v"),
        );
    }
}

fn json(payload: impl Into<bytes::Bytes>) -> NewEvent {
    NewEvent::new("Created", payload).content_type(ContentType::Json)
}

/// Invalid JSON was once shown, and printed, with its white space taken out: `[1 2]` as `[12]`.
#[test]
fn what_is_labelled_json_and_is_none_is_printed_as_its_bytes() {
    let deep = "[".repeat(100_000);
    for payload in [
        "[1 2]",
        "1 .5",
        "tr ue",
        "",
        " ",
        "\u{feff}{}",
        "{\"a\":",
        "01",
        "+1",
        "NaN",
        "'a'",
        "{a:1}",
        "[1,]",
        "1 2",
        "\"\u{1}\"",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12\"",
        "nul",
        "// a\n1",
        "\u{a0}1",
        &deep,
    ] {
        let printed = comes_back(json(payload.to_owned()));
        assert!(printed.contains("\"data_base64\":") && printed.contains("\"json\""), "{printed}");
    }
    comes_back(json(&b"\"\xff\""[..]));
    comes_back(json(&b"\"\xed\xa0\x80\""[..]));
}

#[test]
fn json_is_printed_byte_for_byte_where_it_stands_in_one_line() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for payload in [
        "{\"a\": 1}",
        "[1,\t2 ]",
        "{\"a\":1,\"a\":2}",
        "1e999999",
        "-0.0",
        "123456789012345678901234567890",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\/\\u0041\"",
        "null",
        "\"\u{2028}\"",
        "\"\u{7f}\"",
        &deep,
    ] {
        let printed = comes_back(json(payload.to_owned()));
        assert!(printed.contains(&format!("\"data\":{payload}}}")), "{printed}");
        assert!(!printed.contains("content_type"), "{printed}");
    }
}

#[test]
fn json_of_several_lines_or_with_white_space_around_it_is_printed_as_its_bytes() {
    for payload in ["{\n  \"a\": 1\n}", "[1,\r2]", " 1", "1 ", "1\n", "\t{}"] {
        let printed = comes_back(json(payload));
        assert!(printed.contains("data_base64"), "{printed}");
    }
}

#[test]
fn a_text_is_printed_as_text_unless_that_is_longer_than_its_bytes() {
    let text = |payload: String| {
        comes_back(NewEvent::new("Created", payload).content_type(ContentType::Text))
    };
    assert!(text("two\nlines \"é\" 日本 \u{202e}".into()).contains(r#""data":"two\nlines"#));
    let controls = text("\u{1}".repeat(30_000));
    assert!(controls.contains("data_base64") && controls.len() < 41_000);
    assert!(text("\"".repeat(300)).contains("data_base64"));
    text((0..=0x2100).filter_map(char::from_u32).collect());
    text("\u{10ffff}\u{1f468}\u{200d}\u{1f469}".into());
}

#[test]
fn characters_that_are_not_seen_are_escapes_in_names_and_texts() {
    let hidden = "a\u{202e}\u{200b}\u{9b}\u{feff}\u{e0001}";
    let event = NewEvent::new("Created", hidden).content_type(ContentType::Text);
    let printed = comes_back(event.metadata(hidden, "\u{1b}[31m"));
    assert!(printed.is_ascii() && !printed.contains('\u{1b}'), "{printed}");
    assert!(printed.contains(r"a\u202e\u200b\u009b\ufeff\udb40\udc01"), "{printed}");
}

#[test]
fn every_time_comes_back() {
    for micros in [
        i64::MIN,
        i64::MIN + 1,
        -62_167_219_200_000_001,
        -62_167_219_200_000_000,
        -1,
        0,
        253_402_300_799_999_999,
        253_402_300_800_000_000,
        i64::MAX - 1,
        i64::MAX,
    ] {
        comes_back(json("1").occurred_at(Timestamp::from_micros(micros)));
    }
    comes_back(json("1"));
}

#[test]
fn metadata_and_tags_of_any_text_come_back() {
    let texts = ["", "\0\n\u{7f}", "\"\\/", "null", "\u{10ffff}", "é e\u{301}", "\u{2028}"];
    let event = texts.into_iter().fold(json("1"), |event, text| {
        event.metadata(text, text.repeat(3)).metadata(format!("k{text}"), text)
    });
    comes_back(
        ["\"", "\\", " ", "a:b", "null", "é\u{200d}"].into_iter().fold(event, NewEvent::tag),
    );
}

#[test]
fn each_field_that_a_recorded_event_has_otherwise_is_named() {
    let start = r#""event_id":"00000000-0000-0000-0000-000000000007","data":1"#;
    let recorded = recorded(event(start));
    let of = |more: &str| parse(line(&format!("{start}{more}")).as_bytes()).unwrap();
    assert_eq!(of("").difference(&recorded), None);
    let time = format!(r#","occurred_at":"{}""#, recorded.recorded_at());
    assert_eq!(of(&time).difference(&recorded), None);
    for (more, field) in [
        (r#","occurred_at":"2011-10-01T00:38:44Z""#, "occurred_at"),
        (r#","tags":["a"]"#, "tags"),
        (r#","tenant_id":"t""#, "tenant_id"),
        (r#","metadata":{"a":"b"}"#, "metadata"),
        (r#","actor_id":"a""#, "actor_id"),
        (r#","correlation_id":"00000000-0000-0000-0000-000000000001""#, "correlation_id"),
        (r#","causation_id":"00000000-0000-0000-0000-000000000001""#, "causation_id"),
        (r#","event_version":2"#, "event_version"),
    ] {
        assert_eq!(of(more).difference(&recorded), Some(field), "{more}");
    }
    let text = r#""data":"1","content_type":"text""#;
    let text = parse(line(text).as_bytes()).unwrap();
    assert_eq!(text.difference(&recorded), Some("content_type"));
}
