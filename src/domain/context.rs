//! Who does something, for whom and because of what: the metadata that a repository stamps on events.

use uuid::Uuid;

use crate::error::Result;
use crate::event::{Metadata, NewEvent, RecordedEvent};
use crate::stream::{ActorId, TenantId};

/// What is recorded with every event beside what has happened; and whose events are loaded.
///
/// # Examples
///
/// ```
/// use annals::{ActorId, Context, TenantId};
/// use uuid::Uuid;
///
/// let request = Uuid::now_v7();
/// let context = Context::new()
///     .correlation_id(request)
///     .actor(ActorId::new("user:42")?)
///     .tenant(TenantId::new("acme")?)
///     .metadata("source", "mobile");
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias("tenant_context", "tenant_scope"))]
pub struct Context {
    correlation_id: Option<Uuid>,
    causation_id: Option<Uuid>,
    actor: Option<ActorId>,
    tenant: Option<TenantId>,
    metadata: Metadata,
}

impl Context {
    /// Returns a context that says nothing: of no tenant.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the context of what an event leads to: the event is the cause, and its correlation id and
    /// tenant are kept. An event without a correlation id starts one: its own id.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) when the recorded tenant breaks the rules for
    /// names, which only a faulty writer can bring about.
    #[doc(alias = "with_causation")]
    pub fn caused_by(event: &RecordedEvent) -> Result<Self> {
        let event_id = event.event_id().as_uuid();
        Ok(Self {
            correlation_id: event.correlation_id().or(Some(event_id)),
            causation_id: Some(event_id),
            tenant: event.tenant().map(TenantId::try_from).transpose()?,
            ..Self::default()
        })
    }

    /// Sets the id shared by everything that one request led to.
    #[must_use]
    pub fn correlation_id(self, correlation_id: Uuid) -> Self {
        Self { correlation_id: Some(correlation_id), ..self }
    }

    /// Sets the id of the event or command that directly led to the events.
    #[must_use]
    pub fn causation_id(self, causation_id: Uuid) -> Self {
        Self { causation_id: Some(causation_id), ..self }
    }

    /// Sets who causes the events.
    #[must_use]
    #[doc(alias = "actor_id")]
    pub fn actor(self, actor: impl Into<ActorId>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// Sets the tenant: events are recorded for it, and only its events are loaded.
    #[must_use]
    #[doc(alias = "tenant_id")]
    #[doc(alias = "TenantDomainEvent")]
    pub fn tenant(self, tenant: impl Into<TenantId>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// Adds an entry to the metadata, in place of one with the same key.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    pub(super) fn of_tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Names the cause, unless there is a nearer one.
    pub(super) fn or_caused_by(self, cause: Uuid) -> Self {
        Self { causation_id: self.causation_id.or(Some(cause)), ..self }
    }

    /// Stamps an event.
    pub(super) fn stamp(&self, mut event: NewEvent) -> NewEvent {
        let Self { correlation_id, causation_id, actor, tenant, metadata } = self;
        event.correlation_id = *correlation_id;
        event.causation_id = *causation_id;
        event.actor.clone_from(actor);
        event.tenant.clone_from(tenant);
        event.metadata.clone_from(metadata);
        event
    }
}
