//! The repository: loads aggregates from a store and saves what commands made of them.
//!
//! The only part that knows both streams and aggregates. It decides nothing of the domain, and leaves
//! to the store what an append comes to.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::root::Belongs;
use super::snapshot::{SnapshotPolicy, SnapshotStore, Snapshots, Snapshotted};
use super::{Aggregate, Context, IntoEvents, Root};
use crate::codec::{Codec, DomainEvent};
use crate::error::{Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::position::StreamVersion;
use crate::store::{AppendResult, EventStore, Events, Filter, StreamRead};
use crate::stream::{AggregateId, IdRef, StreamId, TenantId};

/// How often a command is decided at most, when others keep writing to the stream. Each conflict means
/// that one of the others got on, so only many writers of one aggregate come near it.
const ATTEMPTS_DEFAULT: u32 = 64;

/// Why a command led to nothing.
///
/// It is an error for every rejection that can be displayed: a type of errors, or a text. So `?` hands it
/// on as a `Box<dyn Error>`. Its source is that of the store's error; a rejection is the error itself, and
/// what caused it is asked of [`Rejected`](Self::Rejected).
///
/// # Examples
///
/// ```
/// use annals::CommandError;
///
/// fn answer(error: CommandError<&str>) -> String {
///     match error {
///         CommandError::Rejected(reason) => format!("you may not: {reason}"),
///         CommandError::Store(error) => format!("try again later: {error}"),
///     }
/// }
/// assert_eq!(answer(CommandError::Rejected("too late")), "you may not: too late");
///
/// fn rejected() -> Result<(), Box<dyn std::error::Error>> {
///     Err(CommandError::Rejected("too late"))?
/// }
/// assert!(rejected().is_err_and(|error| error.to_string() == "too late"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum CommandError<R> {
    /// The domain rejects it. Nothing was written.
    ///
    /// What to do: tell whoever gave the command.
    #[error("{0}")]
    #[doc(alias = "CommandRejectedError")]
    Rejected(R),
    /// Loading or saving failed.
    ///
    /// What to do: as [`Error`] says. A conflict comes only when others were faster in every attempt.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Loads and saves the aggregates of one type in a store.
///
/// The store may be owned, borrowed or shared (`FileStore`, `&FileStore`, `Arc<FileStore>`). A repository is
/// cheap to clone where its store is.
///
/// With a [tenant](Context::tenant) only that tenant's events are loaded: an aggregate of another one
/// is absent, and nothing can be saved under its id. A stream belongs to one tenant or to none; nothing is
/// saved in a stream that holds an event of somebody else. Without a tenant everything can be loaded, and
/// saved where no event has a tenant.
///
/// # Examples
///
/// ```
/// use annals::{Aggregate, AggregateId, DomainEvent, MemoryStore, Repository};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum AccountEvent { Opened, Deposited { cents: u64 } }
///
/// impl DomainEvent for AccountEvent {
///     const AGGREGATE_TYPE: &'static str = "Account";
/// }
///
/// #[derive(Debug, Default)]
/// struct Account { is_open: bool, cents: u64 }
///
/// impl Account {
///     fn open(&self) -> Result<AccountEvent, &'static str> {
///         if self.is_open { Err("it is open already") } else { Ok(AccountEvent::Opened) }
///     }
///
///     fn deposit(&self, cents: u64) -> Result<AccountEvent, &'static str> {
///         if self.is_open { Ok(AccountEvent::Deposited { cents }) } else { Err("it is not open") }
///     }
/// }
///
/// impl Aggregate for Account {
///     type Event = AccountEvent;
///
///     fn apply(&mut self, event: &AccountEvent) {
///         match event {
///             AccountEvent::Opened => self.is_open = true,
///             AccountEvent::Deposited { cents } => self.cents += cents,
///         }
///     }
/// }
///
/// let store = MemoryStore::new();
/// let accounts = Repository::<Account, _>::new(&store);
/// let id = AggregateId::new("ada")?;
/// accounts.execute(&id, Account::open).unwrap();
/// let account = accounts.execute(&id, |account| account.deposit(500)).unwrap();
/// assert_eq!((account.cents, account.version().get()), (500, 2));
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias = "AggregateRepository")]
pub struct Repository<A: Aggregate, S> {
    store: S,
    codec: Codec<A::Event>,
    context: Arc<Context>,
    snapshots: Option<Snapshots<A>>,
    attempts_max: u32,
}

impl<A: Aggregate, S: EventStore> Repository<A, S> {
    /// Returns a repository that writes with bincode, stamps nothing on events and takes no snapshots.
    pub fn new(store: S) -> Self {
        Self {
            store,
            codec: Codec::bincode(),
            context: Arc::default(),
            snapshots: None,
            attempts_max: ATTEMPTS_DEFAULT,
        }
    }

    /// Sets the codec that new events are written with; events of any codec are read.
    #[must_use]
    pub fn codec(self, codec: Codec<A::Event>) -> Self {
        Self { codec, ..self }
    }

    /// Sets what is stamped on events, and whose events are loaded.
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{Aggregate, ActorId, Context, DomainEvent, EventStore, Repository};
    /// # fn example<A: Aggregate, S: EventStore + Clone>(plans: &Repository<A, S>) -> annals::Result<()> {
    /// let for_anna = plans.clone().context(Context::new().actor(ActorId::new("anna")?));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn context(self, context: Context) -> Self {
        Self { context: Arc::new(context), ..self }
    }

    /// Sets where snapshots are kept, and when one is taken.
    ///
    /// They are written beside the saving, and loading uses the latest that fits. One that is missing,
    /// stale, damaged, or of another schema, type or store makes loading replay every event, and is never an
    /// error. None is taken of events that are not durable yet
    /// ([`MayLoseLast`](crate::Durability::MayLoseLast)).
    #[must_use]
    #[doc(alias = "snapshot_store")]
    pub fn snapshots(self, store: impl SnapshotStore + 'static, policy: SnapshotPolicy) -> Self
    where
        A: Snapshotted,
    {
        Self { snapshots: Some(Snapshots::new(Arc::new(store), policy)), ..self }
    }

    /// Sets how often a command is decided at most, when others keep writing to the stream; 64 when not
    /// set, 1 at least.
    #[must_use]
    pub fn attempts_max(self, attempts_max: u32) -> Self {
        Self { attempts_max, ..self }
    }

    /// Returns the store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Loads an aggregate; `None` when it has no events.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] for an event that this program can not read; otherwise as
    /// [`EventStore::read_stream`].
    #[doc(alias(
        "get_or_none",
        "get_or_raise",
        "AggregateNotFoundError",
        "load_from_history",
        "from_events"
    ))]
    pub fn load(&self, id: &AggregateId) -> Result<Option<Root<A>>> {
        let root = self.load_or_create(id)?;
        Ok((root.saved_version() > StreamVersion::ZERO).then_some(root))
    }

    /// Loads an aggregate; one that has no events is new, at version 0.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    #[doc(alias = "create_new")]
    pub fn load_or_create(&self, id: &AggregateId) -> Result<Root<A>> {
        let stream = self.stream(id)?;
        if let Some(root) = self.load_from_snapshot(&stream)? {
            return Ok(root);
        }
        let events = self.store.read_stream(&stream, StreamRead::new())?;
        self.replay(Root::new(stream, self.tenant().cloned()), events)
    }

    /// Tells whether an aggregate has events.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn exists(&self, id: &AggregateId) -> Result<bool> {
        let stream = self.stream(id)?;
        match self.tenant() {
            None => Ok(self.store.stream_version(&stream)? > StreamVersion::ZERO),
            Some(tenant) => {
                let its_own = Filter::new().tenant(tenant.clone());
                let first = StreamRead::new().filter(its_own).limit(1);
                Ok(self.store.read_stream(&stream, first)?.next().transpose()?.is_some())
            }
        }
    }

    /// Records the uncommitted events of an aggregate, if its stream is still at the version that was
    /// loaded. Without any it does nothing.
    ///
    /// After a failure the root is as it was. To save it again is safe: what was recorded is recognised
    /// by its event ids, also when the store was opened again meanwhile and with a repository on that.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when somebody else has changed the aggregate: load it again and decide anew,
    /// or let [`execute`](Self::execute) do so. [`Error::OtherTenant`] when the stream holds events of
    /// another tenant, [`Error::Payload`] when an event can not be encoded; otherwise as
    /// [`EventStore::append`].
    #[doc(alias("mark_events_as_committed", "clear_uncommitted_events"))]
    pub fn save(&self, root: &mut Root<A>) -> Result<AppendResult> {
        self.save_in(&self.context, root)
    }

    /// Loads an aggregate, or begins one, gives its state to a command, and saves the events that the
    /// command gives. On a conflict all of that is done again, as often as
    /// [`attempts_max`](Self::attempts_max) allows.
    ///
    /// Returns the aggregate as it is now.
    ///
    /// After [`Error::OutcomeUnknown`] nobody can tell whether the command was done, and to give it again may
    /// do it twice: where that matters use [`execute_once`](Self::execute_once), or [`save`](Self::save) a
    /// root of your own.
    ///
    /// # Errors
    ///
    /// [`CommandError::Rejected`] with the rejection of the command; [`CommandError::Store`] as
    /// [`load`](Self::load) and [`save`](Self::save).
    pub fn execute<C: IntoEvents<A::Event>, R>(
        &self,
        id: &AggregateId,
        command: impl Fn(&A) -> Result<C, R>,
    ) -> Result<Root<A>, CommandError<R>> {
        self.attempt(|| {
            let mut root = self.load_or_create(id)?;
            root.execute(&command).map_err(CommandError::Rejected)?;
            self.save(&mut root)?;
            Ok(root)
        })
    }

    /// As [`execute`](Self::execute), and does nothing if the command with this id has given events of this
    /// aggregate before: for a caller that did not get the answer and asks again.
    ///
    /// The ids of the events follow from the id of the command, which is also recorded as their cause if
    /// the context names none. A command that gave no events leaves no trace, and is decided anew.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{Aggregate, AggregateId, DomainEvent, MemoryStore, Repository};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # enum CounterEvent { Added(u64) }
    /// # impl DomainEvent for CounterEvent { const AGGREGATE_TYPE: &'static str = "Counter"; }
    /// # #[derive(Default)]
    /// # struct Counter { sum: u64 }
    /// # impl Counter {
    /// #     fn add(&self, n: u64) -> Result<CounterEvent, String> { Ok(CounterEvent::Added(n)) }
    /// # }
    /// # impl Aggregate for Counter {
    /// #     type Event = CounterEvent;
    /// #     fn apply(&mut self, event: &CounterEvent) { let CounterEvent::Added(n) = event; self.sum += n; }
    /// # }
    /// use uuid::Uuid;
    ///
    /// let counters = Repository::<Counter, _>::new(MemoryStore::new());
    /// let (id, request) = (AggregateId::new("visits")?, Uuid::now_v7());
    /// counters.execute_once(request, &id, |counter| counter.add(2)).unwrap();
    /// let counter = counters.execute_once(request, &id, |counter| counter.add(2)).unwrap();
    /// assert_eq!(counter.sum, 2);
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn execute_once<C: IntoEvents<A::Event>, R>(
        &self,
        command_id: Uuid,
        id: &AggregateId,
        command: impl Fn(&A) -> Result<C, R>,
    ) -> Result<Root<A>, CommandError<R>> {
        let stream = self.stream(id)?;
        let event_id = |index: usize| derived_id(command_id, &stream, index);
        let context = Context::clone(&self.context).or_caused_by(command_id);
        self.attempt(|| {
            let mut root = self.load_or_create(id)?;
            // Asked after loading: what is not found here is not in the state that the command gets.
            match self.own_version(&stream, event_id(0))? {
                Some(version) if version <= root.saved_version() => {}
                Some(_) => root = self.load_or_create(id)?,
                None => {
                    root.execute(&command).map_err(CommandError::Rejected)?;
                    root.number_events(event_id);
                    if self.save_in(&context, &mut root)?.replayed {
                        // Another try was faster and decided the same on a state that is not known here.
                        root = self.load_or_create(id)?;
                    }
                }
            }
            Ok(root)
        })
    }

    /// Calls `decide` until nobody else was faster.
    fn attempt<T, R>(
        &self,
        decide: impl Fn() -> Result<T, CommandError<R>>,
    ) -> Result<T, CommandError<R>> {
        for _ in 1..self.attempts_max {
            match decide() {
                Err(CommandError::Store(error)) if is_overtaken(&error) => {}
                outcome => return outcome,
            }
        }
        decide()
    }

    fn save_in(&self, context: &Context, root: &mut Root<A>) -> Result<AppendResult> {
        let encoded =
            root.uncommitted().map(|(event, event_id)| self.encode(context, event, event_id));
        let events = encoded.collect::<Result<Vec<_>>>()?;
        if events.is_empty() {
            return self.nothing_saved(root);
        }
        let Belongs { tenant, is_shared } = root.belongs();
        if *is_shared || tenant.as_ref() != self.tenant() {
            let (stream, tenant) = (root.stream().clone(), self.tenant().cloned());
            return Err(Error::OtherTenant { stream, tenant });
        }
        let (before, after) = (root.saved_version(), root.version());
        let last = events.last().map(NewEvent::event_id);
        let result = self.store.append(root.stream(), before.into(), events)?;
        root.mark_events_as_committed(result.new_version);
        if let (Some(snapshots), Some(last)) = (&self.snapshots, last) {
            // A replay that stands elsewhere was decided on another state.
            let is_state = result.new_version == after;
            // A crash may take what is acknowledged and not durable, and the snapshot would outlive it.
            let is_durable = |durable| durable >= result.global_position;
            if is_state && self.store.global_position().is_ok_and(is_durable) {
                snapshots.consider(root, before, last);
            }
        }
        Ok(result)
    }

    fn encode(&self, context: &Context, event: &A::Event, event_id: EventId) -> Result<NewEvent> {
        Ok(context.stamp(self.codec.encode(event)?.id(event_id)))
    }

    /// Returns what an append of nothing comes to (CONTRACT A7), without asking for it.
    fn nothing_saved(&self, root: &Root<A>) -> Result<AppendResult> {
        Ok(AppendResult {
            new_version: root.saved_version(),
            global_position: self.store.global_position()?,
            first_global_position: None,
            appended: 0,
            replayed: false,
        })
    }

    /// Loads from a snapshot and the events behind it. The last event that is in the snapshot is read
    /// again: only if it is the one at that version is the snapshot one of this stream's history.
    fn load_from_snapshot(&self, stream: &StreamId) -> Result<Option<Root<A>>> {
        let snapshots = self.snapshots.as_ref();
        let Some(found) = snapshots.and_then(|it| it.load(stream, self.tenant())) else {
            return Ok(None);
        };
        let version = found.root.saved_version();
        let mut events = self.store.read_stream(stream, StreamRead::new().from(version))?;
        let is_in_history = |event: RecordedEvent| {
            event.stream_version() == version
                && event.event_id() == found.last_event_id
                && event.tenant() == found.tenant.as_ref().map(TenantId::as_ref)
        };
        // What can not be read is an error of the replay, if the replay meets it.
        match events.next().and_then(Result::ok).is_some_and(is_in_history) {
            true => self.replay(found.root, events).map(Some),
            false => Ok(None),
        }
    }

    /// Applies the events of a stream that belong to the tenant.
    fn replay(&self, mut root: Root<A>, events: Events) -> Result<Root<A>> {
        let tenant = self.tenant().map(TenantId::as_ref);
        for event in events {
            let event = event?;
            let is_own = event.tenant() == tenant;
            if !is_own {
                root.mark_as_shared();
            }
            if is_own || tenant.is_none() {
                root.replay(&self.codec.decode(&event)?, event.stream_version());
            }
        }
        Ok(root)
    }

    /// Returns at which version an event of the tenant is in a stream, if it is.
    fn own_version(&self, stream: &StreamId, event_id: EventId) -> Result<Option<StreamVersion>> {
        let tenant: Option<IdRef<'_>> = self.tenant().map(TenantId::as_ref);
        let event = self.store.event(event_id)?;
        let own = event.filter(|event| event.is_in(stream) && event.tenant() == tenant);
        Ok(own.map(|event| event.stream_version()))
    }

    fn tenant(&self) -> Option<&TenantId> {
        self.context.of_tenant()
    }

    fn stream(&self, id: &AggregateId) -> Result<StreamId> {
        StreamId::of(A::Event::AGGREGATE_TYPE, id.clone())
    }
}

/// Returns the id of an event of a command that is known by its own id.
fn derived_id(command_id: Uuid, stream: &StreamId, index: usize) -> EventId {
    Uuid::new_v5(&command_id, format!("{index}:{stream}").as_bytes()).into()
}

/// Tells whether others were faster, among them another try of the same command that has used the ids of
/// its events.
fn is_overtaken(error: &Error) -> bool {
    error.is_conflict() || matches!(error, Error::EventIdTaken { .. })
}

impl<A: Aggregate, S: Clone> Clone for Repository<A, S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            codec: self.codec.clone(),
            context: Arc::clone(&self.context),
            snapshots: self.snapshots.clone(),
            attempts_max: self.attempts_max,
        }
    }
}

impl<A: Aggregate, S> fmt::Debug for Repository<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("aggregate_type", &A::Event::AGGREGATE_TYPE)
            .field("codec", &self.codec)
            .field("context", &self.context)
            .field("snapshots", &self.snapshots)
            .finish_non_exhaustive()
    }
}
