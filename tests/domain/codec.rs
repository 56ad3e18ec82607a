//! Typed events: what is recorded of them, and what is read again.

use annals::{
    Codec, ContentType, DecodeFailure, DomainEvent, Error, EventStore, ExpectedVersion,
    MemoryStore, NewEvent, RecordedEvent, Registry, StreamId,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum TaskEvent {
    Created {
        title: String,
        hours: u32,
    },
    #[serde(rename = "TaskAssigned", alias = "Given")]
    Assigned(String),
    Moved(i64, i64),
    Completed,
}

impl DomainEvent for TaskEvent {
    const AGGREGATE_TYPE: &'static str = "Task";

    fn tags(&self) -> Vec<String> {
        match self {
            Self::Assigned(person) => vec![format!("person:{person}")],
            _ => Vec::new(),
        }
    }
}

/// The same events with their variants in another order, as a later version of a program may have them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Reordered {
    Completed,
    #[serde(rename = "TaskAssigned")]
    Assigned(String),
    Created {
        title: String,
        hours: u32,
    },
    Moved(i64, i64),
}

impl DomainEvent for Reordered {
    const AGGREGATE_TYPE: &'static str = "Task";
}

fn one_of_each() -> [TaskEvent; 4] {
    [
        TaskEvent::Created { title: "tea".to_owned(), hours: 300 },
        TaskEvent::Assigned("ada".to_owned()),
        TaskEvent::Moved(-1, 2),
        TaskEvent::Completed,
    ]
}

/// Records an event in a stream of its own and gives it back.
fn recorded(aggregate_type: &str, event: NewEvent) -> RecordedEvent {
    let store = MemoryStore::new();
    let stream = StreamId::new(aggregate_type, "1").unwrap();
    store.append(&stream, ExpectedVersion::NoStream, vec![event]).unwrap();
    store.all_events().remove(0)
}

fn failure(error: Error) -> DecodeFailure {
    match error {
        Error::Decode { cause, .. } => cause,
        other => panic!("{other}"),
    }
}

#[test]
fn the_variant_is_the_event_type_and_the_payload_is_what_it_holds() {
    let expected: [(&str, &[u8]); 4] = [
        ("Created", b"\x03tea\xfb\x2c\x01"),
        ("TaskAssigned", b"\x03ada"),
        ("Moved", b"\x01\x04"),
        ("Completed", b""),
    ];
    for (event, (event_type, payload)) in one_of_each().iter().zip(expected) {
        let new = Codec::bincode().encode(event).unwrap();
        assert_eq!((new.event_type(), &new.payload()[..]), (event_type, payload));
        assert_eq!(new.payload_content_type(), ContentType::Bincode);
    }
}

#[test]
fn json_reads_as_one_would_write_it_by_hand() {
    let expected = [r#"{"title":"tea","hours":300}"#, r#""ada""#, "[-1,2]", "{}"];
    for (event, payload) in one_of_each().iter().zip(expected) {
        let new = Codec::json().encode(event).unwrap();
        assert_eq!(&new.payload()[..], payload.as_bytes());
        assert_eq!(new.payload_content_type(), ContentType::Json);
    }
}

#[test]
fn every_codec_reads_what_any_other_wrote() {
    for event in one_of_each() {
        for writes in [Codec::bincode(), Codec::json()] {
            let recorded = recorded("Task", writes.encode(&event).unwrap());
            assert_eq!(Codec::<TaskEvent>::bincode().decode(&recorded).unwrap(), event);
            assert_eq!(Codec::<TaskEvent>::json().decode(&recorded).unwrap(), event);
        }
    }
}

#[test]
fn variants_may_change_places() {
    for event in one_of_each() {
        let recorded = recorded("Task", Codec::bincode().encode(&event).unwrap());
        let read = Codec::<Reordered>::bincode().decode(&recorded).unwrap();
        assert_eq!(format!("{read:?}"), format!("{event:?}"));
    }
}

#[test]
fn an_event_is_found_under_its_old_name_and_by_its_tags() {
    let old = NewEvent::bincode("Given", &"ada").unwrap();
    let read = Codec::<TaskEvent>::bincode().decode(&recorded("Task", old)).unwrap();
    assert_eq!(read, TaskEvent::Assigned("ada".to_owned()));
    let recorded = recorded("Task", Codec::bincode().encode(&read).unwrap());
    assert!(recorded.has_tag("person:ada"));
}

#[test]
fn an_unknown_event_type_is_an_error_that_lists_the_known_ones() {
    let error = Codec::<TaskEvent>::bincode()
        .decode(&recorded("Task", NewEvent::bincode("Deleted", &()).unwrap()))
        .unwrap_err();
    let text = error.to_string();
    let known = "known are Created, Given, TaskAssigned, Moved, Completed";
    assert!(text.starts_with("event 1, Deleted with schema version 1"), "{text}");
    assert!(text.contains(known), "{text}");
    assert!(matches!(failure(error), DecodeFailure::UnknownEventType { .. }));
}

#[test]
fn an_event_of_another_aggregate_type_is_not_taken_for_one_s_own() {
    let foreign = recorded("Order", Codec::bincode().encode(&TaskEvent::Completed).unwrap());
    let error = Codec::<TaskEvent>::bincode().decode(&foreign).unwrap_err();
    assert!(
        matches!(failure(error), DecodeFailure::AggregateType { actual, expected: "Task" } if actual == "Order")
    );
}

#[test]
fn a_payload_of_another_type_or_encoding_is_an_error() {
    let codec = Codec::<TaskEvent>::bincode();
    let too_short = recorded("Task", NewEvent::bincode("Created", &"tea").unwrap());
    let error = codec.decode(&too_short).unwrap_err();
    assert!(matches!(failure(error), DecodeFailure::Payload(_)));

    let too_long = recorded("Task", NewEvent::bincode("Completed", &7_u8).unwrap());
    let error = codec.decode(&too_long).unwrap_err();
    assert!(matches!(failure(error), DecodeFailure::Payload(_)));

    let followed = NewEvent::new("Completed", "{} {}").content_type(ContentType::Json);
    let error = codec.decode(&recorded("Task", followed)).unwrap_err();
    assert!(matches!(failure(error), DecodeFailure::Payload(_)));

    let raw = recorded("Task", NewEvent::new("Completed", ""));
    let error = codec.decode(&raw).unwrap_err();
    assert!(matches!(failure(error), DecodeFailure::ContentType(ContentType::Bytes)));
}

/// Events of a type that no variant has: in every content type, also of a newer schema.
fn of_an_unknown_type() -> Vec<NewEvent> {
    let payloads: [(&[u8], ContentType); 5] = [
        (b"\x03tea", ContentType::Bincode),
        (b"{\"by\":\"ada\"}", ContentType::Json),
        (b"not JSON", ContentType::Json),
        (b"raw", ContentType::Bytes),
        (b"", ContentType::Other(200)),
    ];
    let event = |(payload, content_type): (&'static [u8], _)| {
        NewEvent::new("Archived", payload).content_type(content_type)
    };
    let today = payloads.map(event).into_iter();
    let newer = payloads.map(event).into_iter().map(|event| event.event_version(7));
    today.chain(newer).collect()
}

#[test]
fn an_unknown_event_type_lists_the_known_ones_whatever_the_payload() {
    for event in of_an_unknown_type() {
        let event = recorded("Task", event);
        match failure(Codec::<TaskEvent>::bincode().decode(&event).unwrap_err()) {
            DecodeFailure::UnknownEventType { known } => {
                assert_eq!(known, ["Created", "Given", "TaskAssigned", "Moved", "Completed"]);
            }
            other => panic!("{event:?}: {other}"),
        }
    }
}

#[test]
fn a_variant_for_other_events_takes_every_unknown_one_whatever_the_payload() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Lenient {
        Completed,
        #[serde(other)]
        Other,
    }
    impl DomainEvent for Lenient {
        const AGGREGATE_TYPE: &'static str = "Task";
    }
    let codec = Codec::<Lenient>::bincode();
    for event in of_an_unknown_type() {
        assert_eq!(codec.decode(&recorded("Task", event)).unwrap(), Lenient::Other);
    }
    let garbled = recorded("Task", NewEvent::bincode("Completed", &7_u8).unwrap());
    assert!(matches!(failure(codec.decode(&garbled).unwrap_err()), DecodeFailure::Payload(_)));
}

#[test]
fn what_could_never_be_loaded_is_not_recorded() {
    #[derive(Serialize, Deserialize)]
    enum Leaky {
        Noted {
            #[serde(skip_serializing_if = "Option::is_none")]
            text: Option<String>,
        },
    }
    impl DomainEvent for Leaky {
        const AGGREGATE_TYPE: &'static str = "Leaky";
    }
    let event = Leaky::Noted { text: None };
    assert!(matches!(Codec::bincode().encode(&event), Err(Error::Payload(_))));
    assert_eq!(&Codec::json().encode(&event).unwrap().payload()[..], b"{}");
}

#[test]
fn what_is_no_variant_of_an_enum_is_refused_with_what_to_do() {
    #[derive(Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Noted { text: String },
    }
    impl DomainEvent for Tagged {
        const AGGREGATE_TYPE: &'static str = "Tagged";
    }
    let error = Codec::json().encode(&Tagged::Noted { text: String::new() }).unwrap_err();
    assert!(error.to_string().contains("serde's own representation"), "{error}");

    #[derive(Debug, Serialize, Deserialize)]
    struct Plain(u32);
    impl DomainEvent for Plain {
        const AGGREGATE_TYPE: &'static str = "Plain";
    }
    let error = Codec::bincode().encode(&Plain(7)).unwrap_err();
    assert!(error.to_string().contains("a variant of an enum"), "{error}");
    let event = recorded("Plain", NewEvent::bincode("Plain", &7_u32).unwrap());
    let error = Codec::<Plain>::bincode().decode(&event).unwrap_err();
    assert!(error.to_string().contains("a variant of an enum"), "{error}");
}

#[test]
fn a_variant_that_held_nothing_can_be_given_fields_with_defaults_in_json() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Later {
        Completed {
            #[serde(default)]
            by: String,
        },
    }
    impl DomainEvent for Later {
        const AGGREGATE_TYPE: &'static str = "Task";
    }
    let earlier = recorded("Task", Codec::json().encode(&TaskEvent::Completed).unwrap());
    let read = Codec::<Later>::json().decode(&earlier).unwrap();
    assert_eq!(read, Later::Completed { by: String::new() });

    let later = Later::Completed { by: "ada".to_owned() };
    let later = recorded("Task", Codec::json().encode(&later).unwrap());
    assert_eq!(Codec::<TaskEvent>::json().decode(&later).unwrap(), TaskEvent::Completed);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum PaymentEvent {
    Received { cents: u64 },
}

impl DomainEvent for PaymentEvent {
    const AGGREGATE_TYPE: &'static str = "Payment";
}

#[derive(Debug, PartialEq)]
enum Either {
    Task(TaskEvent),
    Payment(PaymentEvent),
}

#[test]
fn a_registry_decodes_the_events_of_several_aggregate_types() {
    let registry = Registry::new()
        .register(Codec::bincode(), Either::Task)
        .register(Codec::json(), Either::Payment);
    let completed = Codec::json().encode(&TaskEvent::Completed).unwrap();
    let task = recorded("Task", completed.clone());
    assert_eq!(registry.decode(&task).unwrap(), Either::Task(TaskEvent::Completed));
    let received = Codec::bincode().encode(&PaymentEvent::Received { cents: 5 }).unwrap();
    let payment = registry.decode(&recorded("Payment", received)).unwrap();
    assert_eq!(payment, Either::Payment(PaymentEvent::Received { cents: 5 }));

    let unknown = recorded("Payment", completed);
    assert!(registry.knows(&task) && !registry.knows(&unknown));
    let text = registry.decode(&unknown).unwrap_err().to_string();
    let known = "known are Task/Created, Task/Given, Task/TaskAssigned, Task/Moved, \
                 Task/Completed, Payment/Received";
    assert!(text.contains(known), "{text}");
}
