//! Upcasters: events as earlier versions of a program recorded them, read by the one of today.
//!
//! The bytes stand here as they were recorded, so that nothing that changes in the code can change them.

use annals::{
    Codec, ContentType, DecodeFailure, DomainEvent, Error, EventStore, ExpectedVersion,
    MemoryStore, NewEvent, RecordedEvent, StreamId, Upcasters,
};
use serde::{Deserialize, Serialize};

/// What `Registered` held in the first version: a name.
#[derive(Serialize, Deserialize)]
struct RegisteredV1 {
    name: String,
}

/// In the second it had two parts.
#[derive(Serialize, Deserialize)]
struct RegisteredV2 {
    first_name: String,
    last_name: String,
}

/// Today it also says in which country.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Registered {
    first_name: String,
    last_name: String,
    country: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum PersonEvent {
    Registered(Registered),
    Moved { country: String },
    Left,
}

impl DomainEvent for PersonEvent {
    const AGGREGATE_TYPE: &'static str = "Person";

    fn upcasters() -> Upcasters {
        Upcasters::new()
            .add("Registered", 1, |RegisteredV1 { name }| {
                let (first_name, last_name) = name.split_once(' ').unwrap_or(("", &name));
                let (first_name, last_name) = (first_name.to_owned(), last_name.to_owned());
                RegisteredV2 { first_name, last_name }
            })
            .add("Registered", 2, |RegisteredV2 { first_name, last_name }| Registered {
                first_name,
                last_name,
                country: None,
            })
    }
}

const BINCODE_V1: &[u8] = b"\x0cAda Lovelace";
const BINCODE_V2: &[u8] = b"\x03Ada\x08Lovelace";
const BINCODE_V3: &[u8] = b"\x03Ada\x08Lovelace\x01\x02UK";
const JSON_V1: &[u8] = br#"{"name":"Ada Lovelace"}"#;
const JSON_V2: &[u8] = br#"{"first_name":"Ada","last_name":"Lovelace"}"#;
const JSON_V3: &[u8] = br#"{"first_name":"Ada","last_name":"Lovelace","country":"UK"}"#;

fn recorded(
    event_type: &str,
    version: u32,
    content_type: ContentType,
    payload: &'static [u8],
) -> RecordedEvent {
    let store = MemoryStore::new();
    let stream = StreamId::new("Person", "ada").unwrap();
    let event = NewEvent::new(event_type, payload);
    let event = event.event_version(version).content_type(content_type);
    store.append(&stream, ExpectedVersion::NoStream, vec![event]).unwrap();
    store.all_events().remove(0)
}

fn decode(event: &RecordedEvent) -> Result<PersonEvent, DecodeFailure> {
    match Codec::bincode().decode(event) {
        Err(Error::Decode { cause, .. }) => Err(cause),
        other => Ok(other.unwrap()),
    }
}

fn ada(country: Option<&str>) -> PersonEvent {
    PersonEvent::Registered(Registered {
        first_name: "Ada".to_owned(),
        last_name: "Lovelace".to_owned(),
        country: country.map(str::to_owned),
    })
}

#[test]
fn golden_events_of_every_version_are_read_as_those_of_today() {
    let golden = [
        (1, ContentType::Bincode, BINCODE_V1, None),
        (2, ContentType::Bincode, BINCODE_V2, None),
        (3, ContentType::Bincode, BINCODE_V3, Some("UK")),
        (1, ContentType::Json, JSON_V1, None),
        (2, ContentType::Json, JSON_V2, None),
        (3, ContentType::Json, JSON_V3, Some("UK")),
    ];
    for (version, content_type, payload, country) in golden {
        let event = recorded("Registered", version, content_type, payload);
        assert_eq!(decode(&event).unwrap(), ada(country), "version {version} as {content_type:?}");
    }
}

#[test]
fn new_events_are_recorded_with_the_version_that_the_upcasters_lead_to() {
    let codec = Codec::<PersonEvent>::bincode();
    let new = codec.encode(&ada(Some("UK"))).unwrap();
    assert_eq!(&new.payload()[..], BINCODE_V3);
    let store = MemoryStore::new();
    let stream = StreamId::new("Person", "ada").unwrap();
    let left = codec.encode(&PersonEvent::Left).unwrap();
    store.append(&stream, ExpectedVersion::Any, vec![new, left]).unwrap();
    let versions: Vec<_> = store.all_events().iter().map(RecordedEvent::event_version).collect();
    assert_eq!(versions, [3, 1]);
}

#[test]
fn an_event_from_the_future_is_an_error_that_says_so() {
    let event = recorded("Registered", 4, ContentType::Bincode, BINCODE_V3);
    let failure = decode(&event).unwrap_err();
    assert!(matches!(failure, DecodeFailure::NewerSchema { newest_known: 3 }), "{failure}");
    let event = recorded("Left", 2, ContentType::Bincode, b"");
    let failure = decode(&event).unwrap_err();
    assert!(matches!(failure, DecodeFailure::NewerSchema { newest_known: 1 }), "{failure}");
}

#[test]
fn a_gap_between_upcasters_is_an_error_that_names_the_missing_one() {
    #[derive(Debug, Serialize, Deserialize)]
    enum Gapped {
        Registered(Registered),
    }
    impl DomainEvent for Gapped {
        const AGGREGATE_TYPE: &'static str = "Person";

        fn upcasters() -> Upcasters {
            Upcasters::new().add("Registered", 1, |old: RegisteredV1| old).add(
                "Registered",
                3,
                |old: RegisteredV2| old,
            )
        }
    }
    let event = recorded("Registered", 1, ContentType::Bincode, BINCODE_V1);
    let Err(Error::Decode { cause, .. }) = Codec::<Gapped>::bincode().decode(&event) else {
        panic!("it was read");
    };
    assert!(matches!(cause, DecodeFailure::MissingUpcaster { version: 2 }), "{cause}");
    let event = recorded("Registered", 0, ContentType::Bincode, BINCODE_V1);
    let Err(Error::Decode { cause, .. }) = Codec::<Gapped>::bincode().decode(&event) else {
        panic!("it was read");
    };
    assert!(matches!(cause, DecodeFailure::MissingUpcaster { version: 0 }), "{cause}");
}

#[test]
fn an_old_payload_that_is_none_of_its_version_is_an_error() {
    let event = recorded("Registered", 1, ContentType::Bincode, BINCODE_V2);
    assert!(matches!(decode(&event), Err(DecodeFailure::Payload(_))));
    let event = recorded("Registered", 2, ContentType::Bytes, BINCODE_V2);
    assert!(matches!(decode(&event), Err(DecodeFailure::ContentType(ContentType::Bytes))));
}

#[test]
fn the_later_upcaster_for_the_same_version_takes_the_place_of_the_earlier() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Replaced {
        Moved { country: String },
    }
    impl DomainEvent for Replaced {
        const AGGREGATE_TYPE: &'static str = "Person";

        fn upcasters() -> Upcasters {
            Upcasters::new().add("Moved", 1, |(): ()| String::from("first")).add(
                "Moved",
                1,
                |(): ()| String::from("second"),
            )
        }
    }
    let event = recorded("Moved", 1, ContentType::Bincode, b"");
    let read = Codec::<Replaced>::bincode().decode(&event).unwrap();
    assert_eq!(read, Replaced::Moved { country: "second".to_owned() });
}

#[test]
fn json_can_be_upcast_without_a_type_for_the_old_version() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Untyped {
        Moved { country: String },
    }
    impl DomainEvent for Untyped {
        const AGGREGATE_TYPE: &'static str = "Person";

        fn upcasters() -> Upcasters {
            Upcasters::new().add("Moved", 1, |mut old: serde_json::Value| {
                old["country"] = old["land"].take();
                old
            })
        }
    }
    let event = recorded("Moved", 1, ContentType::Json, br#"{"land":"France"}"#);
    let read = Codec::<Untyped>::json().decode(&event).unwrap();
    assert_eq!(read, Untyped::Moved { country: "France".to_owned() });
}

#[test]
fn an_upcaster_for_a_name_that_no_variant_has_lets_nothing_be_recorded() {
    #[derive(Debug, Serialize, Deserialize)]
    enum Mistyped {
        #[serde(alias = "Moved")]
        Relocated { country: String },
    }
    impl DomainEvent for Mistyped {
        const AGGREGATE_TYPE: &'static str = "Person";

        fn upcasters() -> Upcasters {
            let upcasters = Upcasters::new().add("Moved", 1, |(): ()| String::new());
            upcasters.add("Relocatd", 1, |(): ()| String::new())
        }
    }
    let event = Mistyped::Relocated { country: "UK".to_owned() };
    let error = Codec::bincode().encode(&event).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Payload(_)), "{text}");
    assert!(text.contains("of Relocatd is for no variant: there are Moved, Relocated"), "{text}");
}
