//! Upcasters: functions that bring old payloads to the schema of today, step by step, when they are
//! read.
//!
//! A step works on the stored representation: the payload is decoded as the old type, given to the
//! function, and what it returns is encoded in the same way again, which is what the next step
//! begins with. Only old events pay for it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::payload;
use crate::error::{DecodeFailure, Source};
use crate::event::ContentType;

type Convert = dyn Fn(&[u8], ContentType) -> Result<Vec<u8>, DecodeFailure> + Send + Sync;

/// Functions from old schemas of events to later ones, by event type and schema version.
///
/// A function takes what the payload of version `n` holds and returns what version `n + 1` holds; from
/// the oldest version on they are applied one after the other. The version that is recorded with new
/// events follows: one more than the latest upcaster of the event type starts from, 1 without any.
///
/// The types are plain structures with the fields of the variant, in their order: bincode writes
/// neither names nor types. A variant that holds the structure of its newest version,
/// `Created(Created)`, can not fall out of step with the last upcaster. With JSON,
/// `serde_json::Value` does as well.
///
/// # Examples
///
/// ```
/// use annals::{Codec, DomainEvent, EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId, Upcasters};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct CreatedV1 { name: String }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Created { first_name: String, last_name: String }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum PersonEvent { Created(Created) }
///
/// impl DomainEvent for PersonEvent {
///     const AGGREGATE_TYPE: &'static str = "Person";
///
///     fn upcasters() -> Upcasters {
///         Upcasters::new().add("Created", 1, |old: CreatedV1| {
///             let (first, last) = old.name.split_once(' ').unwrap_or(("", &old.name));
///             Created { first_name: first.to_owned(), last_name: last.to_owned() }
///         })
///     }
/// }
///
/// let store = MemoryStore::new();
/// let ada = StreamId::new("Person", "ada")?;
/// let old = NewEvent::bincode("Created", &CreatedV1 { name: "Ada Lovelace".to_owned() })?;
/// store.append(&ada, ExpectedVersion::NoStream, vec![old])?;
///
/// let event = store.load_stream(&ada, Default::default())?.events()[0].clone();
/// let PersonEvent::Created(created) = Codec::<PersonEvent>::bincode().decode(&event)?;
/// assert_eq!(created.last_name, "Lovelace");
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Upcasters {
    /// Few: they are looked for by comparing names.
    steps: Vec<Step>,
}

#[derive(Clone)]
struct Step {
    event_type: Arc<str>,
    from_version: u32,
    convert: Arc<Convert>,
}

impl Upcasters {
    /// Returns none: every event has schema version 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the step from a schema version of an event type to the next; one that was added for the
    /// same version before is replaced.
    ///
    /// The event type is the one that was recorded, also where the variant has another name today and keeps
    /// the old one as an `alias`.
    #[must_use]
    pub fn add<Old: DeserializeOwned, New: Serialize>(
        mut self,
        event_type: &str,
        from_version: u32,
        upcaster: impl Fn(Old) -> New + Send + Sync + 'static,
    ) -> Self {
        let convert = move |bytes: &[u8], content_type| {
            let old = payload::decode::<Old>(bytes, content_type)?;
            payload::encode(&upcaster(old), content_type).map_err(DecodeFailure::Payload)
        };
        self.steps.retain(|step| !step.is_from(event_type, from_version));
        let (event_type, convert) = (event_type.into(), Arc::new(convert));
        self.steps.push(Step { event_type, from_version, convert });
        self
    }

    /// Returns the newest schema version of an event type: the one that is recorded with new events.
    pub fn newest_version(&self, event_type: &str) -> u32 {
        let steps = self.steps.iter().filter(|step| *step.event_type == *event_type);
        steps.map(|step| step.from_version.saturating_add(1)).max().unwrap_or(1)
    }

    /// Refuses an upcaster for an event type that is none of the known ones.
    pub(super) fn check(&self, known: &[&str]) -> Result<(), Source> {
        match self.steps.iter().find(|step| !known.contains(&&*step.event_type)) {
            None => Ok(()),
            Some(stray) => {
                let Step { event_type, from_version, .. } = stray;
                let known = known.join(", ");
                Err(format!(
                    "the upcaster from schema version {from_version} of {event_type} is for no variant: \
                     there are {known}"
                )
                .into())
            }
        }
    }

    /// Brings a payload to the newest version; `None` when it has that.
    pub(super) fn upcast(
        &self,
        event_type: &str,
        version: u32,
        bytes: &[u8],
        content_type: ContentType,
    ) -> Result<Option<Vec<u8>>, DecodeFailure> {
        let newest = self.newest_version(event_type);
        if version > newest {
            return Err(DecodeFailure::NewerSchema { newest_known: newest });
        }
        let mut upcasted: Option<Vec<u8>> = None;
        for version in version..newest {
            let step = self.steps.iter().find(|step| step.is_from(event_type, version));
            let step = step.ok_or(DecodeFailure::MissingUpcaster { version })?;
            let bytes = (step.convert)(upcasted.as_deref().unwrap_or(bytes), content_type)?;
            upcasted = Some(bytes);
        }
        Ok(upcasted)
    }
}

impl Step {
    fn is_from(&self, event_type: &str, version: u32) -> bool {
        self.from_version == version && *self.event_type == *event_type
    }
}

impl fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.iter().map(|step| (&step.event_type, step.from_version));
        f.debug_set().entries(steps).finish()
    }
}
