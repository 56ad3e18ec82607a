//! How far somebody has come, kept by the store.

use std::fmt;

use crate::encoding;
use crate::error::{Error, Result};
use crate::position::GlobalPosition;
use crate::record::{Record, RecordKind};
use crate::store::RecordStore;
use crate::subscription::Start;

/// How far a follower with a name has come, kept in the store's own directory.
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
    position: GlobalPosition,
}

impl<S: RecordStore> Checkpoint<S> {
    /// Reads the checkpoint with a name: 1 to 512 bytes of any text. One that was never saved stands
    /// before the first event.
    ///
    /// # Errors
    ///
    /// [`Error::RecordUnusable`] when a checkpoint is there and can not be used: it is not taken for one
    /// that was never saved, because that would deliver everything again. [`Error::Payload`] when the
    /// record is there and is no checkpoint. Otherwise as [`RecordStore::read_record`].
    #[doc(alias("get_checkpoint", "get_position"))]
    pub fn load(store: S, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let position = match store.read_record(RecordKind::Checkpoint, &name)? {
            Record::Found(content) => {
                let position = encoding::decode(&content).map_err(Error::payload)?;
                GlobalPosition::new(position)
            }
            Record::Absent => GlobalPosition::ZERO,
            Record::Unusable(reason) => {
                return Err(Error::RecordUnusable { kind: RecordKind::Checkpoint, name, reason });
            }
        };
        Ok(Self { store, name, position })
    }

    /// Saves how far its follower has come, for good when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// As [`RecordStore::write_record`]. What is kept is then the position that was saved before, or this
    /// one, and [`position`](Self::position) stays.
    #[doc(alias("update_checkpoint", "save_position"))]
    pub fn save(&mut self, position: GlobalPosition) -> Result<()> {
        let content = encoding::encode(&position.get()).map_err(Error::payload)?;
        self.store.write_record(RecordKind::Checkpoint, &self.name, &content)?;
        self.position = position;
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
        self.position
    }

    /// Returns where a subscription begins that goes on from here.
    pub fn start(&self) -> Start {
        Start::After(self.position)
    }
}

impl<S> fmt::Debug for Checkpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Checkpoint");
        shown.field("name", &self.name).field("position", &self.position).finish_non_exhaustive()
    }
}
