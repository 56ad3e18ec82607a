//! How far somebody has come, kept by the store.

use std::fmt;

use super::{Reached, Start};
use crate::encoding;
use crate::error::{Error, Result};
use crate::event::EventId;
use crate::position::GlobalPosition;
use crate::record::{Record, RecordKind};
use crate::store::{EventStore, RecordStore};

/// How far a follower with a name has come, kept in the store's own directory.
///
/// The id of the event at the position is kept with it, and compared when a subscription begins at its
/// [`start`](Self::start): a store that was restored from a backup and has another history since is
/// refused with [`Error::HistoryChanged`]. To continue all the same, discard what was made of the
/// events that are gone, and [`remove`](Self::remove) the checkpoint.
///
/// Saving it is durable and costs two syncs of the device: whoever handles events twice without harm
/// saves it every so many of them.
///
/// # Examples
///
/// ```
/// use annals::{Checkpoint, EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
/// use annals::{Delivery, Subscription};
///
/// # let store = MemoryStore::new();
/// # let task = StreamId::new("Task", "task-1")?;
/// # store.append(&task, ExpectedVersion::Any, vec![NewEvent::new("Created", "tea")])?;
/// let mut checkpoint = Checkpoint::load(&store, "mailer")?;
/// let mut subscription = Subscription::new(&store, checkpoint.start())?;
/// while let Delivery::Event(event) = subscription.next_within(Default::default())? {
///     println!("mail about {}", event.event_type());
///     checkpoint.save(subscription.reached())?;
/// }
/// assert_eq!(Checkpoint::load(&store, "mailer")?.position().get(), 1);
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias = "CheckpointRepository")]
pub struct Checkpoint<S> {
    store: S,
    name: String,
    reached: Reached,
}

/// What is kept: the position, and the id of the event at it. Before ids were kept, it was the position
/// alone, encoded the same way, so its bytes end where the id begins.
type Encoded = (u64, Option<u128>);

impl<S: EventStore + RecordStore> Checkpoint<S> {
    /// Reads the checkpoint with a name: 1 to 512 bytes of any text. One that was never saved stands
    /// before the first event.
    ///
    /// A checkpoint of before event ids were kept has none: it is continued from without being compared,
    /// and gets one when it is saved again.
    ///
    /// # Errors
    ///
    /// [`Error::RecordUnusable`] when a checkpoint is there and can not be used: it is not taken for one
    /// that was never saved, because that would deliver everything again. [`Error::Payload`] when the
    /// record is there and is no checkpoint. Otherwise as [`RecordStore::read_record`].
    #[doc(alias("get_checkpoint", "get_position"))]
    pub fn load(store: S, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let reached = match store.read_record(RecordKind::Checkpoint, &name)? {
            Record::Found(content) => decode(&content)?,
            Record::Absent => Reached::default(),
            Record::Unusable(reason) => {
                return Err(Error::RecordUnusable { kind: RecordKind::Checkpoint, name, reason });
            }
        };
        Ok(Self { store, name, reached })
    }

    /// Saves how far its follower has come, with the id of the event at the position, which is looked
    /// up. It is durable when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// [`Error::BeyondEnd`] when the store ends before the position, [`Error::Damage`] when the event
    /// at it cannot be read. Otherwise as [`RecordStore::write_record`]. What is kept is then the
    /// position that was saved before, or this one, and [`position`](Self::position) stays.
    #[doc(alias("update_checkpoint", "save_position"))]
    pub fn save(&mut self, position: GlobalPosition) -> Result<()> {
        let reached = Reached::look_up(&self.store, position)?;
        let event_id = reached.event_id.map(|id| id.as_uuid().as_u128());
        let encoded: Encoded = (position.get(), event_id);
        let content = encoding::encode(&encoded).map_err(Error::payload)?;
        self.store.write_record(RecordKind::Checkpoint, &self.name, &content)?;
        self.reached = reached;
        Ok(())
    }

    /// Forgets it: its follower begins with the first event again.
    ///
    /// # Errors
    ///
    /// As [`RecordStore::remove_record`].
    #[doc(alias = "reset_checkpoint")]
    pub fn remove(self) -> Result<()> {
        self.store.remove_record(RecordKind::Checkpoint, &self.name)
    }

    /// Returns the position of the last event that its follower is done with, as saved; 0 for none.
    pub fn position(&self) -> GlobalPosition {
        self.reached.position
    }

    /// Returns the id of that event, as saved. There is none at position 0, none for a position that a
    /// repair has given up, and none in a checkpoint of before ids were kept.
    pub fn event_id(&self) -> Option<EventId> {
        self.reached.event_id
    }

    /// Returns where a subscription begins that continues from here. It refuses a store with another
    /// history.
    pub fn start(&self) -> Start {
        self.reached.start()
    }
}

fn decode(content: &[u8]) -> Result<Reached> {
    let encoded = encoding::decode::<Encoded>(content)
        .or_else(|_| encoding::decode(content).map(|position| (position, None)));
    let (position, event_id) = encoded.map_err(Error::payload)?;
    let event_id = event_id.map(|id| EventId::from_uuid(uuid::Uuid::from_u128(id)));
    Ok(Reached { position: GlobalPosition::new(position), event_id })
}

impl<S> fmt::Debug for Checkpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Checkpoint");
        shown.field("name", &self.name).field("reached", &self.reached).finish_non_exhaustive()
    }
}
