//! What the store keeps of a projection: one record.
//!
//! The state is encoded by itself inside the record, so that a record whose state has another version is
//! understood without it.

use serde::{Deserialize, Serialize};

use crate::encoding;
use crate::error::{Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::limits::{DEAD_LETTER_ERROR_BYTES_MAX, DEAD_LETTERS_MAX};
use crate::position::GlobalPosition;
use crate::projection::{HandlerError, Projection};
use crate::record::{Record, RecordKind};
use crate::store::RecordStore;
use crate::timestamp::Timestamp;

/// An event that failed at every attempt and was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "DLQEntry")]
pub struct DeadLetter {
    /// The position of the event.
    pub position: GlobalPosition,
    /// The id of the event, by which it is read: [`EventStore::event`](crate::EventStore::event).
    pub event_id: EventId,
    /// How often it was tried in all.
    #[doc(alias = "retry_count")]
    pub attempts: u32,
    /// When it failed last.
    #[doc(alias = "last_failed_at")]
    pub failed_at: Timestamp,
    /// What the handler said last, up to 1,024 bytes of it.
    #[doc(alias = "error_message")]
    pub error: String,
}

impl DeadLetter {
    pub(crate) fn new(
        event: &RecordedEvent,
        attempts: u32,
        failed_at: Timestamp,
        error: &HandlerError,
    ) -> Self {
        let (position, event_id) = (event.global_position(), event.event_id());
        Self { position, event_id, attempts, failed_at, error: shortened(error.to_string()) }
    }

    /// Returns the letter after one more attempt has failed.
    pub(crate) fn failed_again(self, failed_at: Timestamp, error: String) -> Self {
        let attempts = self.attempts.saturating_add(1);
        Self { attempts, failed_at, error: shortened(error), ..self }
    }
}

/// What is kept, but for the state itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// How often the projection was made anew.
    pub(crate) edition: u64,
    pub(crate) position: GlobalPosition,
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// The state, encoded.
    pub(crate) state: Vec<u8>,
}

/// What is kept, as it is encoded.
#[derive(Serialize, Deserialize)]
struct Encoded {
    state_version: u32,
    edition: u64,
    position: u64,
    dead_letters: Vec<(u64, u128, u32, i64, String)>,
    state: Vec<u8>,
}

impl Kept {
    /// Returns what is kept before the first event.
    pub(crate) fn blank<P: Projection>(edition: u64) -> Result<Self> {
        let state = encode(&P::State::default())?;
        Ok(Self { edition, position: GlobalPosition::ZERO, dead_letters: Vec::new(), state })
    }

    /// Returns how often the projection in use under a name was made anew, whatever the version of its
    /// state; never, where it can not be told.
    pub(crate) fn edition_in_use(store: &impl RecordStore, name: &str) -> Result<u64> {
        let content = store.read_record(RecordKind::Projection, name)?.content();
        let encoded = content.and_then(|it| encoding::decode_record::<Encoded>(&it).ok());
        Ok(encoded.map_or(0, |it| it.edition))
    }

    /// Reads what is kept under a name; nothing where nothing is.
    pub(crate) fn read<P: Projection>(
        store: &impl RecordStore,
        kind: RecordKind,
        name: &str,
    ) -> Result<Option<Self>> {
        let content = match store.read_record(kind, name)? {
            Record::Found(content) => content,
            Record::Absent => return Ok(None),
            Record::Unusable(reason) => {
                return Err(Error::RecordUnusable { kind, name: name.to_owned(), reason });
            }
        };
        let Encoded { state_version, edition, position, dead_letters, state } =
            encoding::decode_record(&content).map_err(Error::payload)?;
        if state_version != P::STATE_VERSION {
            return Err(Error::StateVersion {
                projection: name.to_owned(),
                found: state_version,
                expected: P::STATE_VERSION,
            });
        }
        let letter = |(position, event_id, attempts, failed_at, error)| DeadLetter {
            position: GlobalPosition::new(position),
            event_id: EventId::from_uuid(uuid::Uuid::from_u128(event_id)),
            attempts,
            failed_at: Timestamp::from_micros(failed_at),
            error,
        };
        let dead_letters = dead_letters.into_iter().map(letter).collect();
        let position = GlobalPosition::new(position);
        Ok(Some(Self { edition, position, dead_letters, state }))
    }

    /// Writes it in the place of what was kept before.
    pub(crate) fn write<P: Projection>(
        &self,
        store: &impl RecordStore,
        kind: RecordKind,
        name: &str,
    ) -> Result<()> {
        let letter = |letter: &DeadLetter| {
            let DeadLetter { position, event_id, attempts, failed_at, error } = letter;
            let id = event_id.as_uuid().as_u128();
            (position.get(), id, *attempts, failed_at.as_micros(), error.clone())
        };
        let content = encode(&Encoded {
            state_version: P::STATE_VERSION,
            edition: self.edition,
            position: self.position.get(),
            dead_letters: self.dead_letters.iter().map(letter).collect(),
            state: self.state.clone(),
        })?;
        store.write_record(kind, name, &content)
    }

    /// Adds an event that is set aside.
    pub(crate) fn set_aside(&mut self, letter: DeadLetter) -> Result<()> {
        let (limit, actual) = (DEAD_LETTERS_MAX as u64, self.dead_letters.len() as u64 + 1);
        if actual > limit {
            return Err(Error::Limit { what: "dead letters of a projection", limit, actual });
        }
        self.position = letter.position;
        self.dead_letters.push(letter);
        Ok(())
    }

    /// Returns the state as it is kept.
    pub(crate) fn state<P: Projection>(&self) -> Result<P::State> {
        encoding::decode_record(&self.state).map_err(Error::payload)
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    encoding::encode(value).map_err(Error::payload)
}

/// Cuts a text to the bytes that are kept of it, between two characters.
fn shortened(mut text: String) -> String {
    let mut ends = (0..=DEAD_LETTER_ERROR_BYTES_MAX.min(text.len())).rev();
    text.truncate(ends.find(|end| text.is_char_boundary(*end)).unwrap_or_default());
    text
}
