//! What the store keeps of a projection: one record.
//!
//! The state is encoded by itself inside the record, so that a record whose state has another version is
//! understood without it. The record begins with the layout that it has; a record of the first layout,
//! which had no such number and neither the id of the event at the position nor when a dead letter
//! failed first, is read as well.

use serde::{Deserialize, Serialize};

use crate::encoding::{self, EncodingError};
use crate::error::{Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::limits::{DEAD_LETTER_ERROR_BYTES_MAX, DEAD_LETTERS_MAX};
use crate::position::GlobalPosition;
use crate::projection::{HandlerError, OnHistoryChange, Projection};
use crate::record::{Record, RecordKind, Unusable};
use crate::store::{EventStore, RecordStore};
use crate::subscription::Reached;
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
    /// When it failed first: at the attempt after which it was set aside. A letter of before this was
    /// kept has the time of its last failure at that moment.
    pub first_failed_at: Timestamp,
    /// When it failed last; handling it again moves this, and not the first.
    #[doc(alias = "last_failed_at")]
    pub failed_at: Timestamp,
    /// What the handler said last, up to 1,024 bytes of it.
    #[doc(alias = "error_message")]
    pub error: String,
}

impl DeadLetter {
    /// Reads the dead letters of the projection with a name, in the order in which they were set aside:
    /// as they were kept last, whether it is running or not, and whatever the version of its state.
    /// None where no such projection is kept. [`RecordStore::list`] names those that are.
    ///
    /// # Errors
    ///
    /// [`Error::RecordUnusable`] when what was kept cannot be used, [`Error::Payload`] when it is no
    /// state of a projection. Otherwise as [`RecordStore::read_record`].
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{DeadLetter, MemoryStore, RecordKind, RecordStore};
    ///
    /// # let store = MemoryStore::new();
    /// for projection in store.list(RecordKind::Projection)?.names {
    ///     for letter in DeadLetter::list(&store, &projection)? {
    ///         println!("{projection}: event {} failed: {}", letter.position, letter.error);
    ///     }
    /// }
    /// # Ok::<(), annals::Error>(())
    /// ```
    #[doc(alias("get_failed_events", "DLQRepository"))]
    pub fn list(store: &(impl RecordStore + ?Sized), projection: &str) -> Result<Vec<Self>> {
        let kept = Encoded::read(store, RecordKind::Projection, projection)?;
        let letters = kept.map(|kept| kept.dead_letters).unwrap_or_default();
        Ok(letters.into_iter().map(Self::from).collect())
    }

    pub(crate) fn new(
        event: &RecordedEvent,
        attempts: u32,
        failed_at: Timestamp,
        error: &HandlerError,
    ) -> Self {
        let (position, event_id) = (event.global_position(), event.event_id());
        let (first_failed_at, error) = (failed_at, shortened(error.to_string()));
        Self { position, event_id, attempts, first_failed_at, failed_at, error }
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
    pub(crate) reached: Reached,
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// The state, encoded.
    pub(crate) state: Vec<u8>,
}

/// Added to the number of a layout. The first layout began with the version of its state, which is less.
const LAYOUTS: u64 = 1 << 32;

/// The layout of [`Encoded`].
const LAYOUT: u64 = LAYOUTS + 2;

/// What is kept, as it is encoded.
#[derive(Serialize, Deserialize)]
struct Encoded {
    layout: u64,
    state_version: u32,
    edition: u64,
    position: u64,
    event_id: Option<u128>,
    dead_letters: Vec<EncodedLetter>,
    state: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct EncodedLetter {
    position: u64,
    event_id: u128,
    attempts: u32,
    first_failed_at: i64,
    failed_at: i64,
    error: String,
}

/// What was kept in the first layout.
#[derive(Deserialize)]
struct EncodedFirst {
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
        Ok(Self { edition, reached: Reached::default(), dead_letters: Vec::new(), state })
    }

    /// Returns how often the projection in use under a name was made anew, whatever the version of its
    /// state; never, where it can not be told.
    pub(crate) fn edition_in_use(store: &impl RecordStore, name: &str) -> Result<u64> {
        let content = store.read_record(RecordKind::Projection, name)?.content();
        let encoded = content.and_then(|content| Encoded::decode(&content).ok());
        Ok(encoded.map_or(0, |it| it.edition))
    }

    /// Reads what is kept under a name; nothing where nothing is.
    pub(crate) fn read<P: Projection>(
        store: &impl RecordStore,
        kind: RecordKind,
        name: &str,
    ) -> Result<Option<Self>> {
        let Some(encoded) = Encoded::read(store, kind, name)? else { return Ok(None) };
        let Encoded { state_version, edition, position, event_id, dead_letters, state, .. } =
            encoded;
        if state_version != P::STATE_VERSION {
            return Err(Error::StateVersion {
                projection: name.to_owned(),
                found: state_version,
                expected: P::STATE_VERSION,
            });
        }
        let dead_letters = dead_letters.into_iter().map(DeadLetter::from).collect();
        let position = GlobalPosition::new(position);
        let reached = Reached { position, event_id: event_id.map(id_of) };
        Ok(Some(Self { edition, reached, dead_letters, state }))
    }

    /// Returns what is to be continued from in a store: this, or, where the store has another history and
    /// the options say so, nothing.
    pub(crate) fn in_history_of<P: Projection>(
        self,
        store: &impl EventStore,
        on_change: OnHistoryChange,
    ) -> Result<Self> {
        match (self.reached.check(store), on_change) {
            (Ok(()), _) => Ok(self),
            (
                Err(Error::HistoryChanged { .. } | Error::BeyondEnd { .. }),
                OnHistoryChange::Rebuild,
            ) => Self::blank::<P>(self.edition.saturating_add(1)),
            (Err(error), _) => Err(error),
        }
    }

    /// Writes it in the place of what was kept before.
    pub(crate) fn write<P: Projection>(
        &self,
        store: &impl RecordStore,
        kind: RecordKind,
        name: &str,
    ) -> Result<()> {
        let content = encode(&Encoded {
            layout: LAYOUT,
            state_version: P::STATE_VERSION,
            edition: self.edition,
            position: self.reached.position.get(),
            event_id: self.reached.event_id.map(number_of),
            dead_letters: self.dead_letters.iter().map(EncodedLetter::from).collect(),
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
        let DeadLetter { position, event_id, .. } = letter;
        self.reached = Reached { position, event_id: Some(event_id) };
        self.dead_letters.push(letter);
        Ok(())
    }

    /// Returns the state as it is kept.
    pub(crate) fn state<P: Projection>(&self) -> Result<P::State> {
        encoding::decode_record(&self.state).map_err(Error::payload)
    }
}

impl Encoded {
    /// Reads what is kept under a name, whatever the version of its state.
    fn read(
        store: &(impl RecordStore + ?Sized),
        kind: RecordKind,
        name: &str,
    ) -> Result<Option<Self>> {
        let unusable = |reason| Error::RecordUnusable { kind, name: name.to_owned(), reason };
        match store.read_record(kind, name)? {
            Record::Found(content) => match Self::decode(&content) {
                Ok(encoded) => Ok(Some(encoded)),
                Err(Undecoded::Newer) => Err(unusable(Unusable::Newer)),
                Err(Undecoded::Other(error)) => Err(Error::payload(error)),
            },
            Record::Absent => Ok(None),
            Record::Unusable(reason) => Err(unusable(reason)),
        }
    }

    fn decode(content: &[u8]) -> Result<Self, Undecoded> {
        match encoding::decode_beginning::<u64>(content)? {
            LAYOUT => Ok(encoding::decode_record(content)?),
            ..LAYOUTS => Ok(encoding::decode_record::<EncodedFirst>(content)?.into()),
            _ => Err(Undecoded::Newer),
        }
    }
}

/// Why the content of a record is not taken.
enum Undecoded {
    /// It has a layout that is not known.
    Newer,
    Other(EncodingError),
}

impl From<EncodingError> for Undecoded {
    fn from(error: EncodingError) -> Self {
        Self::Other(error)
    }
}

impl From<EncodedFirst> for Encoded {
    fn from(first: EncodedFirst) -> Self {
        let letter = |(position, event_id, attempts, failed_at, error)| {
            let first_failed_at = failed_at;
            EncodedLetter { position, event_id, attempts, first_failed_at, failed_at, error }
        };
        let EncodedFirst { state_version, edition, position, dead_letters, state } = first;
        Self {
            layout: LAYOUT,
            state_version,
            edition,
            position,
            event_id: None,
            dead_letters: dead_letters.into_iter().map(letter).collect(),
            state,
        }
    }
}

impl From<&DeadLetter> for EncodedLetter {
    fn from(letter: &DeadLetter) -> Self {
        Self {
            position: letter.position.get(),
            event_id: number_of(letter.event_id),
            attempts: letter.attempts,
            first_failed_at: letter.first_failed_at.as_micros(),
            failed_at: letter.failed_at.as_micros(),
            error: letter.error.clone(),
        }
    }
}

impl From<EncodedLetter> for DeadLetter {
    fn from(letter: EncodedLetter) -> Self {
        Self {
            position: GlobalPosition::new(letter.position),
            event_id: id_of(letter.event_id),
            attempts: letter.attempts,
            first_failed_at: Timestamp::from_micros(letter.first_failed_at),
            failed_at: Timestamp::from_micros(letter.failed_at),
            error: letter.error,
        }
    }
}

fn number_of(id: EventId) -> u128 {
    id.as_uuid().as_u128()
}

fn id_of(number: u128) -> EventId {
    EventId::from_uuid(uuid::Uuid::from_u128(number))
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
