//! Makes a projection anew beside the one in use, then takes its place.

use std::fmt;

use super::kept::Kept;
use super::options::ProjectionOptions;
use super::runner::ProjectionRunner;
use crate::error::{Error, Result};
use crate::projection::Projection;
use crate::record::RecordKind;
use crate::store::{EventStore, RecordStore};

/// A projection that is made anew from the first event, under a name that is in use.
///
/// The one in use goes on meanwhile, with its own state. Run this one with its
/// [`runner`](Self::runner) until it has caught up, end the other, and
/// [`switch`](Self::switch). Ended before that, it goes on where it was when it is opened again with the
/// same [`STATE_VERSION`](Projection::STATE_VERSION), and begins anew with another one, in a store with another
/// history, or after [`discard`](Self::discard).
///
/// # Examples
///
/// ```
/// use annals::{Handled, MemoryStore, Projection, ProjectionOptions, ProjectionRunner, Rebuild};
/// # use annals::RecordedEvent;
/// # struct Count;
/// # impl Projection for Count {
/// #     type State = u64;
/// #     type Error = annals::Error;
/// #     fn handle(&mut self, count: &mut u64, _: &RecordedEvent) -> annals::Result<Handled> {
/// #         *count += 1;
/// #         Ok(Handled::Applied)
/// #     }
/// # }
///
/// let store = MemoryStore::new();
/// let in_use = ProjectionRunner::open(&store, "count", Count, ProjectionOptions::new())?;
///
/// let mut rebuild = Rebuild::open(&store, "count", Count, ProjectionOptions::new())?;
/// rebuild.runner().catch_up()?;
/// drop(in_use); // Usually it runs in a thread, and is stopped and joined here.
/// let runner = rebuild.switch()?;
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias("reset", "replay"))]
pub struct Rebuild<S: EventStore + RecordStore, P: Projection>(ProjectionRunner<S, P>);

impl<S: EventStore + RecordStore, P: Projection> Rebuild<S, P> {
    /// Begins to make a projection anew, or goes on with it.
    ///
    /// # Errors
    ///
    /// [`Error::Claimed`] when this is being done already; otherwise as
    /// [`ProjectionRunner::open`], but that what can not be gone on with is begun anew.
    pub fn open(
        store: S,
        name: impl Into<String>,
        projection: P,
        options: ProjectionOptions,
    ) -> Result<Self> {
        let (kind, name) = (RecordKind::Rebuild, name.into());
        let claim = store.claim(kind, &name)?;
        let in_use = Kept::edition_in_use(&store, &name)?;
        let can_go_on = |kept: &Kept| {
            // One that is no later edition has taken its place already, and was not removed any more.
            let is_later = kept.edition > in_use;
            is_later && kept.reached.check(&store).is_ok() && kept.state::<P>().is_ok()
        };
        let kept = match Kept::read::<P>(&store, kind, &name) {
            Ok(kept) => kept.filter(can_go_on),
            Err(Error::StateVersion { .. } | Error::RecordUnusable { .. } | Error::Payload(_)) => {
                None
            }
            Err(error) => return Err(error),
        };
        let kept = kept.map_or_else(|| Kept::blank::<P>(in_use.saturating_add(1)), Ok)?;
        ProjectionRunner::with(store, (kind, name), claim, kept, projection, options).map(Self)
    }

    /// Returns what runs it.
    pub fn runner(&mut self) -> &mut ProjectionRunner<S, P> {
        &mut self.0
    }

    /// Catches up with the log, takes the place of the projection in use in one step, and returns it.
    /// What was kept of the other one, its dead letters included, is gone then.
    ///
    /// # Errors
    ///
    /// [`Error::Claimed`] when the one in use is still open: end it and switch again, after
    /// [`open`](Self::open). [`Error::ProjectionStopped`] also when it was stopped by its handle before
    /// it had caught up: the one in use is then as it was. Otherwise as [`ProjectionRunner::catch_up`].
    pub fn switch(mut self) -> Result<ProjectionRunner<S, P>> {
        self.0.catch_up_to_the_end()?;
        self.0.take_the_place_of_the_one_in_use()?;
        Ok(self.0)
    }

    /// Forgets what was made so far: the next one begins with the first event, also with the same
    /// [`STATE_VERSION`](Projection::STATE_VERSION).
    ///
    /// # Errors
    ///
    /// As [`RecordStore::remove_record`].
    pub fn discard(self) -> Result<()> {
        self.0.remove_record()
    }
}

impl<S: EventStore + RecordStore, P: Projection> fmt::Debug for Rebuild<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rebuild").field(&self.0).finish()
    }
}
