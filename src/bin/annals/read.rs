//! `annals read`: prints events of a stream, of a category, or of the whole store.

use annals::{
    Direction, Error, EventStore, Events, FileStore, Filter, GlobalRead, StreamId, StreamRead,
    TenantId, Timestamp,
};
use clap::Args;
use uuid::Uuid;

use crate::StoreArguments;
use crate::failure::Failure;
use crate::json_line::PrintedEvent;
use crate::moment;
use crate::output::Output;
use crate::text::event_line;

/// Print events
///
/// Bounds are stream versions with `--stream`, otherwise global positions; they mean the same in both
/// directions. All filters must hold. The columns are global position, time, stream, its version,
/// event type and the beginning of the payload.
#[derive(Debug, Args)]
pub(crate) struct ReadArguments {
    #[command(flatten)]
    store: StoreArguments,

    /// Read one stream, named by aggregate id and aggregate type
    #[arg(long, value_name = "ID:TYPE", conflicts_with = "category")]
    stream: Option<StreamId>,

    /// Read the streams of one aggregate type
    #[arg(long, value_name = "TYPE")]
    category: Option<String>,

    /// Newest first
    #[arg(long)]
    backward: bool,

    /// Print at most so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    #[command(flatten)]
    bounds: Bounds,

    #[command(flatten)]
    filter: FilterArguments,

    /// Print one JSON object a line, in the form that `import` reads
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Bounds {
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

#[derive(Debug, Args)]
struct FilterArguments {
    /// Only events of this type; given several times: of one of them
    #[arg(long, value_name = "TYPE")]
    event_type: Vec<String>,

    /// Only events with this tag; given several times: with all of them
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// Only events of this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,

    /// Only events with this correlation id
    #[arg(long, value_name = "UUID")]
    correlation: Option<Uuid>,

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

pub(crate) fn run(arguments: ReadArguments) -> Result<(), Failure> {
    let store = FileStore::open_read_only(&arguments.store.path)?;
    let json = arguments.json;
    let events = events(&store, arguments).map_err(|error| match error {
        Error::InvalidName { .. } | Error::Limit { .. } => Failure::Usage(error.to_string()),
        error => error.into(),
    })?;
    let mut output = Output::new();
    let printed = print(events, json, &mut output);
    output.finish()?;
    printed
}

fn print(events: Events, json: bool, output: &mut Output) -> Result<(), Failure> {
    for event in events {
        let event = event?;
        match json {
            true => output.json(&PrintedEvent::new(&event)?)?,
            false => output.line(event_line(&event))?,
        }
    }
    Ok(())
}

/// Sets the same bounds on either kind of read.
macro_rules! bounded {
    ($options:expr, $bounds:expr) => {{
        let (mut options, Bounds { from, to, after, before }) = ($options, $bounds);
        if let Some(bound) = from {
            options = options.from(bound);
        }
        if let Some(bound) = to {
            options = options.to(bound);
        }
        if let Some(bound) = after {
            options = options.after(bound);
        }
        if let Some(bound) = before {
            options = options.before(bound);
        }
        options
    }};
}

fn events(store: &FileStore, arguments: ReadArguments) -> annals::Result<Events> {
    let ReadArguments { stream, category, backward, limit, bounds, filter, .. } = arguments;
    let (direction, limit) = (direction(backward), limit.unwrap_or(u64::MAX));
    match (stream, category) {
        (Some(stream), _) => {
            let options = bounded!(StreamRead::new(), bounds).direction(direction).limit(limit);
            store.read_stream(&stream, options.filter(filter.into()))
        }
        (None, category) => {
            let options = bounded!(GlobalRead::new(), bounds).direction(direction).limit(limit);
            let options = options.filter(filter.into());
            match category {
                Some(category) => store.read_category(&category, options),
                None => store.read_all(options),
            }
        }
    }
}

fn direction(backward: bool) -> Direction {
    match backward {
        true => Direction::Backward,
        false => Direction::Forward,
    }
}

impl From<FilterArguments> for Filter {
    fn from(arguments: FilterArguments) -> Self {
        let mut filter = Self::new();
        filter = arguments.event_type.into_iter().fold(filter, Self::event_type);
        filter = arguments.tag.into_iter().fold(filter, Self::tag);
        if let Some(tenant) = arguments.tenant {
            filter = filter.tenant(tenant);
        }
        if let Some(id) = arguments.correlation {
            filter = filter.correlation_id(id);
        }
        if let Some(time) = arguments.occurred_from {
            filter = filter.occurred_from(time);
        }
        if let Some(time) = arguments.occurred_to {
            filter = filter.occurred_to(time);
        }
        if let Some(time) = arguments.recorded_from {
            filter = filter.recorded_from(time);
        }
        if let Some(time) = arguments.recorded_to {
            filter = filter.recorded_to(time);
        }
        filter
    }
}
