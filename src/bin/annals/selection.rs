//! Which events a read asks for: by the index of the store, and one by one.

use annals::{
    Direction, Error, EventStore, Events, FileStore, Filter, GlobalRead, RecordedEvent, StreamId,
    StreamRead, TenantId, Timestamp,
};
use clap::Args;
use uuid::Uuid;

use crate::moment;

/// The events that a read asks for, and in which order.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Read one stream, named by aggregate id and aggregate type
    #[arg(long, value_name = "ID:TYPE", conflicts_with = "category", value_parser = stream)]
    pub(crate) stream: Option<StreamId>,

    /// Read the streams of one aggregate type
    #[arg(long, value_name = "TYPE")]
    pub(crate) category: Option<String>,

    /// Newest first
    #[arg(long)]
    pub(crate) backward: bool,

    /// Print at most so many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    #[command(flatten)]
    pub(crate) bounds: Bounds,

    #[command(flatten)]
    pub(crate) names: Names,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Bounds {
    /// First version or position, itself included
    #[arg(long, value_name = "N", conflicts_with = "after")]
    from: Option<u64>,

    /// Last version or position, itself included
    #[arg(long, value_name = "N", conflicts_with = "before")]
    to: Option<u64>,

    /// Start behind this version or position
    #[arg(long, value_name = "N")]
    after: Option<u64>,

    /// End before this version or position
    #[arg(long, value_name = "N")]
    before: Option<u64>,
}

/// What events are filtered by.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Only events of this type; given several times: of one of them
    #[arg(long, value_name = "TYPE")]
    pub(crate) event_type: Vec<String>,

    /// Only events with this tag; given several times: with all of them
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,

    /// Only events of this tenant
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<TenantId>,

    /// Only events with this correlation id
    #[arg(long, value_name = "UUID")]
    pub(crate) correlation: Option<Uuid>,

    /// Only events that happened at this time or later (RFC 3339 with an offset)
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    occurred_from: Option<Timestamp>,

    /// Only events that happened at this time or earlier
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    occurred_to: Option<Timestamp>,

    /// Only events recorded at this time or later
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    recorded_from: Option<Timestamp>,

    /// Only events recorded at this time or earlier
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    recorded_to: Option<Timestamp>,
}

/// Reads the name of a stream; of one that is the wrong way round, says so.
fn stream(text: &str) -> Result<StreamId, String> {
    text.parse().map_err(|error: Error| match swapped(text).into_iter().next() {
        Some(swapped) => format!("{error}; a stream is ID:TYPE, did you mean {swapped}?"),
        None => error.to_string(),
    })
}

/// Returns the streams that a text names when its type comes first: ids may hold colons.
pub(crate) fn swapped(text: &str) -> Vec<StreamId> {
    let colons = text.match_indices(':').map(|(at, _)| text.split_at(at));
    let streams = colons.filter_map(|(category, id)| StreamId::new(category, id.get(1..)?).ok());
    streams.collect()
}

impl Bounds {
    /// Returns the first and the last version or position that lie within, both included; `None` when
    /// none does.
    pub(crate) fn range(self) -> Option<(u64, u64)> {
        let first = match self.after {
            Some(after) => after.checked_add(1)?,
            None => self.from.unwrap_or(1).max(1),
        };
        let last = match self.before {
            Some(before) => before.checked_sub(1)?,
            None => self.to.unwrap_or(u64::MAX),
        };
        (first <= last).then_some((first, last))
    }

    /// Returns the lower bound as it was given.
    pub(crate) fn lower(self) -> Option<String> {
        let from = self.from.map(|from| format!("--from {from}"));
        from.or_else(|| self.after.map(|after| format!("--after {after}")))
    }

    /// Returns the upper bound as it was given.
    pub(crate) fn upper(self) -> Option<String> {
        let to = self.to.map(|to| format!("--to {to}"));
        to.or_else(|| self.before.map(|before| format!("--before {before}")))
    }
}

impl Selection {
    pub(crate) fn direction(&self) -> Direction {
        match self.backward {
            true => Direction::Backward,
            false => Direction::Forward,
        }
    }

    /// Returns whether every event of the store is asked for.
    pub(crate) fn is_everything(&self) -> bool {
        let is_unbounded = self.bounds.lower().is_none() && self.bounds.upper().is_none();
        let is_any = self.stream.is_none() && self.category.is_none();
        is_any && is_unbounded && self.names.filter() == Filter::new()
    }

    /// Reads the events by the index of the store.
    pub(crate) fn events(&self, store: &FileStore) -> annals::Result<Events> {
        let Some((first, last)) = self.bounds.range() else { return Ok(Events::empty()) };
        let (direction, limit) = (self.direction(), self.limit.unwrap_or(u64::MAX));
        let filter = self.names.filter();
        let global = GlobalRead::new().from(first).to(last).direction(direction).limit(limit);
        match (&self.stream, &self.category) {
            (Some(stream), _) => {
                let options = StreamRead::new().from(first).to(last);
                let options = options.direction(direction).limit(limit).filter(filter);
                store.read_stream(stream, options)
            }
            (None, Some(category)) => store.read_category(category, global.filter(filter)),
            (None, None) => store.read_all(global.filter(filter)),
        }
    }

    /// Returns the global positions between which the events lie.
    pub(crate) fn positions(&self) -> Option<(u64, u64)> {
        match self.stream {
            Some(_) => Some((1, u64::MAX)),
            None => self.bounds.range(),
        }
    }

    /// Returns whether an event between these positions is asked for.
    pub(crate) fn holds(&self, event: &RecordedEvent, filter: &Filter) -> bool {
        let is_of_stream = self.stream.as_ref().is_none_or(|stream| {
            let version = event.stream_version().get();
            let is_within = |(first, last)| (first..=last).contains(&version);
            event.stream().is_ok_and(|own| own == *stream)
                && self.bounds.range().is_some_and(is_within)
        });
        let is_of_category = |category: &String| event.aggregate_type() == category;
        is_of_stream && self.category.as_ref().is_none_or(is_of_category) && filter.matches(event)
    }
}

impl Names {
    pub(crate) fn filter(&self) -> Filter {
        let mut filter = Filter::new();
        filter = self.event_type.iter().cloned().fold(filter, Filter::event_type);
        filter = self.tag.iter().cloned().fold(filter, Filter::tag);
        if let Some(tenant) = self.tenant.clone() {
            filter = filter.tenant(tenant);
        }
        if let Some(id) = self.correlation {
            filter = filter.correlation_id(id);
        }
        if let Some(time) = self.occurred_from {
            filter = filter.occurred_from(time);
        }
        if let Some(time) = self.occurred_to {
            filter = filter.occurred_to(time);
        }
        if let Some(time) = self.recorded_from {
            filter = filter.recorded_from(time);
        }
        if let Some(time) = self.recorded_to {
            filter = filter.recorded_to(time);
        }
        filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Bounds = Bounds { from: None, to: None, after: None, before: None };

    #[test]
    fn bounds_are_a_range_or_nothing() {
        assert_eq!(NONE.range(), Some((1, u64::MAX)));
        assert_eq!(Bounds { from: Some(0), to: Some(3), ..NONE }.range(), Some((1, 3)));
        assert_eq!(Bounds { after: Some(3), before: Some(5), ..NONE }.range(), Some((4, 4)));
        assert_eq!(Bounds { after: Some(3), before: Some(4), ..NONE }.range(), None);
        assert_eq!(Bounds { from: Some(10), to: Some(5), ..NONE }.range(), None);
        assert_eq!(Bounds { after: Some(u64::MAX), ..NONE }.range(), None);
        assert_eq!(Bounds { before: Some(0), ..NONE }.range(), None);
    }

    #[test]
    fn a_stream_with_its_type_first_is_turned_round_at_any_colon() {
        let swapped = |text| swapped(text).iter().map(StreamId::to_string).collect::<Vec<_>>();
        assert_eq!(swapped("Order:o-1"), ["o-1:Order"]);
        assert_eq!(swapped("Order:urn:x"), ["urn:x:Order"]);
        assert!(swapped("Order").is_empty());
        assert!(stream("Order:o 1").unwrap_err().ends_with("did you mean o 1:Order?"));
    }
}
