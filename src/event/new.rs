//! An event to be recorded.

use bytes::Bytes;
use smol_str::SmolStr;
use uuid::Uuid;

use super::{ContentType, EventId, Metadata};
use crate::encoding;
use crate::error::{Error, Result};
use crate::position::StreamVersion;
use crate::stream::{ActorId, TenantId};
use crate::timestamp::Timestamp;

/// An event to be recorded.
///
/// Made by [`new`](Self::new) and the methods that set what is optional. The event id is chosen when
/// the event is made, so appending the same value again is recognised as a retry (CONTRACT A3).
/// Names and sizes are checked when it is appended.
///
/// # Examples
///
/// ```
/// use annals::{NewEvent, TenantId};
///
/// let event = NewEvent::new("WorkoutScheduled", r#"{"day":"monday"}"#)
///     .tag("athlete:7")
///     .tenant(TenantId::new("club-1")?)
///     .metadata("source", "mobile");
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "DomainEvent")]
pub struct NewEvent {
    pub(crate) event_id: EventId,
    pub(crate) event_type: SmolStr,
    pub(crate) event_version: u32,
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) claimed_version: Option<StreamVersion>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) actor: Option<ActorId>,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Metadata,
    pub(crate) content_type: ContentType,
    pub(crate) payload: Bytes,
}

impl NewEvent {
    /// Makes an event of a type with a payload, and a new event id.
    pub fn new(event_type: impl AsRef<str>, payload: impl Into<Bytes>) -> Self {
        Self::with_id(EventId::generate(), event_type, payload)
    }

    /// As [`new`](Self::new), with an event id that is known, such as one derived from the input so that
    /// importing twice is harmless.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{EventId, NewEvent};
    ///
    /// let id = EventId::generate();
    /// assert_eq!(NewEvent::with_id(id, "Created", "tea"), NewEvent::new("Created", "tea").id(id));
    /// ```
    pub fn with_id(
        event_id: impl Into<EventId>,
        event_type: impl AsRef<str>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self {
            event_id: event_id.into(),
            event_type: SmolStr::new(event_type),
            event_version: 1,
            occurred_at: None,
            claimed_version: None,
            tenant: None,
            actor: None,
            correlation_id: None,
            causation_id: None,
            tags: Vec::new(),
            metadata: Metadata::new(),
            content_type: ContentType::default(),
            payload: payload.into(),
        }
    }

    /// Makes an event whose payload is `value` encoded with bincode.
    ///
    /// # Errors
    ///
    /// [`Error::Payload`] when the value can not be encoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::NewEvent;
    ///
    /// let event = NewEvent::bincode("Moved", &(3_u32, 4_u32))?;
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn bincode<T: serde::Serialize>(event_type: impl AsRef<str>, value: &T) -> Result<Self> {
        let payload = encoding::encode(value).map_err(Error::payload)?;
        Ok(Self::new(event_type, payload).content_type(ContentType::Bincode))
    }

    /// Makes an event whose payload is `value` as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Payload`] when the value can not be encoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::NewEvent;
    ///
    /// let event = NewEvent::json("Moved", &serde_json::json!({ "x": 3, "y": 4 }))?;
    /// # Ok::<(), annals::Error>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize>(event_type: impl AsRef<str>, value: &T) -> Result<Self> {
        let payload = serde_json::to_vec(value).map_err(Error::payload)?;
        Ok(Self::new(event_type, payload).content_type(ContentType::Json))
    }

    /// Sets the event id; [`with_id`](Self::with_id) spares making one first.
    #[must_use]
    pub fn id(self, event_id: impl Into<EventId>) -> Self {
        Self { event_id: event_id.into(), ..self }
    }

    /// Sets the version of the payload's schema; 1 when not set.
    #[must_use]
    pub fn event_version(self, event_version: u32) -> Self {
        Self { event_version, ..self }
    }

    /// Sets when the event happened; when not set, that is the time of the store's clock at its commit.
    #[must_use]
    pub fn occurred_at(self, occurred_at: Timestamp) -> Self {
        Self { occurred_at: Some(occurred_at), ..self }
    }

    /// Claims the stream version the event must get; another one is an error (CONTRACT S4).
    #[must_use]
    #[doc(alias = "aggregate_version")]
    pub fn claims_version(self, version: impl Into<StreamVersion>) -> Self {
        Self { claimed_version: Some(version.into()), ..self }
    }

    /// Sets the tenant the event belongs to.
    #[must_use]
    #[doc(alias = "tenant_id")]
    pub fn tenant(self, tenant: impl Into<TenantId>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// Sets who caused the event.
    #[must_use]
    #[doc(alias = "actor_id")]
    pub fn actor(self, actor: impl Into<ActorId>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// Sets the id shared by everything that one request led to.
    #[must_use]
    pub fn correlation_id(self, correlation_id: Uuid) -> Self {
        Self { correlation_id: Some(correlation_id), ..self }
    }

    /// Sets the id of the event or command that directly led to this event.
    #[must_use]
    pub fn causation_id(self, causation_id: Uuid) -> Self {
        Self { causation_id: Some(causation_id), ..self }
    }

    /// Adds a tag: 1 to 255 bytes without control characters, at most 64 an event.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds an entry to the metadata, in place of one with the same key.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets how the payload is encoded; [`ContentType::Bytes`] when not set.
    #[must_use]
    pub fn content_type(self, content_type: ContentType) -> Self {
        Self { content_type, ..self }
    }

    /// Returns the event id.
    pub fn event_id(&self) -> EventId {
        self.event_id
    }

    /// Returns the event type.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Returns the payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns how the payload is encoded.
    pub fn payload_content_type(&self) -> ContentType {
        self.content_type
    }
}
