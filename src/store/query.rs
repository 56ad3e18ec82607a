//! Which events are meant: queries over the whole store, and filters on any read.
//!
//! Both know how to judge an event; finding candidates quickly is left to each backend, which asks
//! them what an index could look up.

use uuid::Uuid;

use crate::error::Result;
use crate::event::RecordedEvent;
use crate::limits::{EVENT_TYPE_BYTES_MAX, TAG_BYTES_MAX};
use crate::stream::{TenantId, check_aggregate_type, check_text};
use crate::timestamp::Timestamp;

/// Matches events of the whole store: any of its items matches, or everything does.
///
/// # Examples
///
/// ```
/// use annals::{Query, QueryItem};
///
/// let orders = Query::category("Order");
/// let either = Query::from(QueryItem::new().tag("customer:7"))
///     .or(QueryItem::new().event_type("Refunded").event_type("Cancelled"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// `None` matches everything, an empty list nothing.
    items: Option<Vec<QueryItem>>,
}

impl Query {
    /// Matches every event.
    pub fn all() -> Self {
        Self { items: None }
    }

    /// Matches no event, until items are added.
    pub fn none() -> Self {
        Self { items: Some(Vec::new()) }
    }

    /// Matches the events of one aggregate type.
    pub fn category(aggregate_type: impl Into<String>) -> Self {
        QueryItem::new().category(aggregate_type).into()
    }

    /// Adds an item: an event that matches it matches the query.
    #[must_use]
    pub fn or(mut self, item: QueryItem) -> Self {
        if let Some(items) = &mut self.items {
            items.push(item);
        }
        self
    }

    /// Tells whether an event matches.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        match &self.items {
            None => true,
            Some(items) => items.iter().any(|item| item.matches(event)),
        }
    }

    /// Returns the items, or `None` when everything matches.
    pub(crate) fn items(&self) -> Option<&[QueryItem]> {
        self.items.as_deref()
    }

    /// Refuses names that no event can have.
    pub(crate) fn check(&self) -> Result<()> {
        self.items.iter().flatten().try_for_each(QueryItem::check)
    }
}

impl From<QueryItem> for Query {
    fn from(item: QueryItem) -> Self {
        Self { items: Some(vec![item]) }
    }
}

impl FromIterator<QueryItem> for Query {
    fn from_iter<I: IntoIterator<Item = QueryItem>>(items: I) -> Self {
        Self { items: Some(items.into_iter().collect()) }
    }
}

/// One alternative of a [`Query`]: one of the event types, one of the categories and all of the tags;
/// an empty list asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryItem {
    pub(crate) event_types: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) categories: Vec<String>,
}

impl QueryItem {
    /// Returns an item that matches every event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event type; the event has one of those added.
    #[must_use]
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_types.push(event_type.into());
        self
    }

    /// Adds a tag; the event has all of those added.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds an aggregate type; the event's stream has one of those added.
    #[must_use]
    pub fn category(mut self, aggregate_type: impl Into<String>) -> Self {
        self.categories.push(aggregate_type.into());
        self
    }

    /// Tells whether an event matches.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        one_of(&self.event_types, || event.event_type())
            && one_of(&self.categories, || event.aggregate_type())
            && self.tags.iter().all(|tag| event.has_tag(tag))
    }

    fn check(&self) -> Result<()> {
        check_names(&self.event_types, &self.tags, &self.categories)
    }
}

/// Narrows any read; what is set must all hold (CONTRACT R3).
///
/// # Examples
///
/// ```
/// use annals::{Filter, TenantId, Timestamp};
///
/// let filter = Filter::new()
///     .tenant(TenantId::new("acme")?)
///     .event_type("Paid")
///     .recorded_from(Timestamp::from_micros(1_700_000_000_000_000));
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub(crate) item: QueryItem,
    pub(crate) occurred_from: Option<Timestamp>,
    pub(crate) occurred_to: Option<Timestamp>,
    pub(crate) recorded_from: Option<Timestamp>,
    pub(crate) recorded_to: Option<Timestamp>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) correlation_id: Option<Uuid>,
}

impl Filter {
    /// Returns a filter that every event passes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes only events that happened at `time` or later.
    #[must_use]
    #[doc(alias = "from_timestamp")]
    pub fn occurred_from(self, time: Timestamp) -> Self {
        Self { occurred_from: Some(time), ..self }
    }

    /// Passes only events that happened at `time` or earlier.
    #[must_use]
    #[doc(alias = "to_timestamp")]
    pub fn occurred_to(self, time: Timestamp) -> Self {
        Self { occurred_to: Some(time), ..self }
    }

    /// Passes only events recorded at `time` or later.
    #[must_use]
    pub fn recorded_from(self, time: Timestamp) -> Self {
        Self { recorded_from: Some(time), ..self }
    }

    /// Passes only events recorded at `time` or earlier.
    #[must_use]
    pub fn recorded_to(self, time: Timestamp) -> Self {
        Self { recorded_to: Some(time), ..self }
    }

    /// Shows the store as it was at `time`: the same as [`recorded_to`](Self::recorded_to).
    #[must_use]
    pub fn as_of(self, time: Timestamp) -> Self {
        self.recorded_to(time)
    }

    /// Passes only events of a tenant; those without one never pass.
    #[must_use]
    #[doc(alias = "tenant_id")]
    pub fn tenant(self, tenant: impl Into<TenantId>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// Passes only events with this correlation id.
    #[must_use]
    pub fn correlation_id(self, correlation_id: Uuid) -> Self {
        Self { correlation_id: Some(correlation_id), ..self }
    }

    /// Adds an event type; events of one of those added pass.
    #[must_use]
    pub fn event_type(self, event_type: impl Into<String>) -> Self {
        Self { item: self.item.event_type(event_type), ..self }
    }

    /// Adds an aggregate type; events of one of those added pass.
    #[must_use]
    pub fn aggregate_type(self, aggregate_type: impl Into<String>) -> Self {
        Self { item: self.item.category(aggregate_type), ..self }
    }

    /// Adds a tag; events with all of those added pass.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> Self {
        Self { item: self.item.tag(tag), ..self }
    }

    /// Tells whether an event passes.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        let tenant = self.tenant.as_ref().map(TenantId::as_ref);
        within(event.recorded_at(), self.recorded_from, self.recorded_to)
            && within(event.occurred_at(), self.occurred_from, self.occurred_to)
            && (tenant.is_none() || event.tenant() == tenant)
            && (self.correlation_id.is_none() || event.correlation_id() == self.correlation_id)
            && self.item.matches(event)
    }

    /// Tells whether every event passes.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the bounds of the commit time, both included.
    pub(crate) fn recorded_bounds(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.recorded_from, self.recorded_to)
    }

    /// Refuses names that no event can have.
    pub(crate) fn check(&self) -> Result<()> {
        self.item.check()
    }
}

/// Tells whether a name is one of some, if any are asked for; only then is it looked at.
fn one_of<'a>(names: &[String], name: impl FnOnce() -> &'a str) -> bool {
    if names.is_empty() {
        return true;
    }
    let name = name();
    names.iter().any(|one| one == name)
}

fn within(time: Timestamp, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
    from.is_none_or(|from| from <= time) && to.is_none_or(|to| time <= to)
}

fn check_names(event_types: &[String], tags: &[String], categories: &[String]) -> Result<()> {
    event_types.iter().try_for_each(|name| check_text("event type", name, EVENT_TYPE_BYTES_MAX))?;
    tags.iter().try_for_each(|name| check_text("tag", name, TAG_BYTES_MAX))?;
    categories.iter().try_for_each(|name| check_aggregate_type(name))
}
