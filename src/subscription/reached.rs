//! A position that is kept, with the id of the event at it, and whether a store still has that event there.
//!
//! A position alone does not tell two histories apart: a store that was restored from a backup gives the
//! same positions to other events. So whoever keeps a position keeps the id with it, and both are
//! compared before anything is continued (CONTRACT F5).

use super::Start;
use crate::error::{Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::position::GlobalPosition;
use crate::store::EventStore;

/// How far a follower has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reached {
    pub(crate) position: GlobalPosition,
    /// The id of the event at the position. There is none at 0, none for a position that a repair has
    /// given up, and none in records of before ids were kept.
    pub(crate) event_id: Option<EventId>,
}

impl Reached {
    /// Looks up which event a store has at a position.
    ///
    /// # Errors
    ///
    /// [`Error::BeyondEnd`] where the store ends before the position; otherwise as
    /// [`EventStore::event_id_at`].
    pub(crate) fn look_up(store: &impl EventStore, position: GlobalPosition) -> Result<Self> {
        let end = store.global_position()?;
        if position > end {
            return Err(Error::BeyondEnd { position, end });
        }
        Ok(Self { position, event_id: store.event_id_at(position)? })
    }

    /// Returns where a subscription begins that continues from here.
    pub(crate) fn start(self) -> Start {
        match (self.position, self.event_id) {
            (GlobalPosition::ZERO, _) => Start::Beginning,
            (position, Some(event_id)) => Start::AfterEvent { position, event_id },
            (position, None) => Start::After(position),
        }
    }

    /// Refuses a position of another history than that of a store.
    ///
    /// # Errors
    ///
    /// [`Error::HistoryChanged`], and [`Error::BeyondEnd`] for a position without an id.
    pub(crate) fn check(self, store: &impl EventStore) -> Result<()> {
        self.start().place(store).map(drop)
    }
}

impl From<&RecordedEvent> for Reached {
    fn from(event: &RecordedEvent) -> Self {
        Self { position: event.global_position(), event_id: Some(event.event_id()) }
    }
}

impl Start {
    /// Returns what a subscription of a store begins behind.
    pub(super) fn place(self, store: &impl EventStore) -> Result<Reached> {
        // Taken before the event is looked up: what is appended meanwhile can not be what was kept.
        let end = match (store.global_position(), self) {
            // Where the end of the log is lost, reading tells so.
            (Err(Error::Damage(_)), Self::Beginning | Self::After(_) | Self::AfterEvent { .. }) => {
                GlobalPosition::MAX
            }
            (end, _) => end?,
        };
        match self {
            Self::Beginning => Ok(Reached::default()),
            Self::End => Ok(Reached { position: end, event_id: None }),
            Self::After(position) if position > end => Err(Error::BeyondEnd { position, end }),
            Self::After(position) => Ok(Reached { position, event_id: None }),
            Self::AfterEvent { position: GlobalPosition::ZERO, .. } => Ok(Reached::default()),
            Self::AfterEvent { position, event_id: kept } => {
                let found = match position <= end {
                    true => store.event_id_at(position)?,
                    false => None,
                };
                // Where a position within the log has no event, the event was lost, not exchanged.
                match found.map_or(position <= end, |found| found == kept) {
                    true => Ok(Reached { position, event_id: Some(kept) }),
                    false => Err(Error::HistoryChanged { position, kept, found }),
                }
            }
        }
    }
}
