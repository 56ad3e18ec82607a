//! Events that an earlier version of a program recorded, read by the one of today.
//!
//! Run it with `cargo run --release --example upcasting`. The store is in memory: the example plays both
//! versions of the program, one after the other.

#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::io::{self, Write};

use annals::{
    Aggregate, AggregateId, Codec, DecodeFailure, DomainEvent, Error, EventStore, MemoryStore,
    NewEvent, ReadOptions, Repository, Upcasters,
};
use serde::{Deserialize, Serialize};

type Outcome<T = ()> = Result<T, Box<dyn StdError>>;

fn main() -> Outcome {
    tell(&MemoryStore::new(), &mut io::stdout().lock())
}

/// The program as it was: a person has one name.
mod first_version {
    use annals::DomainEvent;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    pub(crate) enum PersonEvent {
        Registered { name: String },
        Moved { city: String },
    }

    impl DomainEvent for PersonEvent {
        const AGGREGATE_TYPE: &'static str = "Person";
    }
}

/// What `Registered` held in the first version: the fields in their order.
#[derive(Serialize, Deserialize)]
struct RegisteredV1 {
    name: String,
}

/// In the second version the name had two parts.
#[derive(Serialize, Deserialize)]
struct RegisteredV2 {
    first_name: String,
    last_name: String,
}

/// Today there is a language, too.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Registered {
    first_name: String,
    last_name: String,
    language: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum PersonEvent {
    /// Holds the very structure that the last upcaster returns: they can not fall out of step.
    Registered(Registered),
    /// Was called `Moved`: the old name is still read, and what it holds is the same.
    #[serde(alias = "Moved")]
    Relocated { city: String },
}

impl DomainEvent for PersonEvent {
    const AGGREGATE_TYPE: &'static str = "Person";

    fn upcasters() -> Upcasters {
        Upcasters::new()
            .add("Registered", 1, |RegisteredV1 { name }| {
                let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
                RegisteredV2 { first_name: first.to_owned(), last_name: last.to_owned() }
            })
            .add("Registered", 2, |RegisteredV2 { first_name, last_name }| Registered {
                first_name,
                last_name,
                language: "en".to_owned(),
            })
    }
}

#[derive(Debug, Default)]
struct Person {
    name: String,
    language: String,
    city: String,
}

impl Aggregate for Person {
    type Event = PersonEvent;

    fn apply(&mut self, event: &PersonEvent) {
        match event {
            PersonEvent::Registered(Registered { first_name, last_name, language }) => {
                self.name = format!("{last_name}, {first_name}");
                self.language.clone_from(language);
            }
            PersonEvent::Relocated { city } => self.city.clone_from(city),
        }
    }
}

/// Records events of the first version, reads them with that of today, and prints what it reads.
pub(crate) fn tell(store: &dyn EventStore, out: &mut dyn Write) -> Outcome {
    let people = Repository::<Person, _>::new(store);
    let ada = AggregateId::new("ada")?;
    let stream = people.load_or_create(&ada)?.stream().clone();

    let old = Codec::<first_version::PersonEvent>::bincode();
    let registered = first_version::PersonEvent::Registered { name: "Ada Lovelace".to_owned() };
    let moved = first_version::PersonEvent::Moved { city: "London".to_owned() };
    let recorded = vec![old.encode(&registered)?, old.encode(&moved)?];
    store.append(&stream, annals::ExpectedVersion::NoStream, recorded)?;

    let person = people.load_or_create(&ada)?;
    writeln!(out, "{}, in {}, speaks {}", person.name, person.city, person.language)?;

    // What is recorded stays as it was; what is recorded from now on has the schema of today.
    people
        .execute(&ada, |_| Ok::<_, Error>(PersonEvent::Relocated { city: "Paris".to_owned() }))?;
    for event in store.read_stream(&stream, ReadOptions::new())? {
        let event = event?;
        writeln!(out, "{} with schema version {}", event.event_type(), event.event_version())?;
    }

    // An event from the future is an error that says so, and not a guess.
    let later = NewEvent::bincode("Registered", &"something new")?.event_version(4);
    store.append(&stream, annals::ExpectedVersion::exact(3), vec![later])?;
    match people.load(&ada) {
        Err(Error::Decode { global_position, cause, .. }) => {
            let is_newer = matches!(cause, DecodeFailure::NewerSchema { .. });
            writeln!(out, "Event {global_position} is newer than this program: {is_newer}")?;
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("an event of an unknown schema was read".into()),
    }
    Ok(())
}
