//! `annals read`: prints events of a stream, of a category, or of the whole store.

use annals::{Error, Events, FileStore, RecordedEvent, Severity};
use clap::Args;

use crate::StoreArguments;
use crate::failure::{Failure, complain, with_causes};
use crate::json_line::PrintedEvent;
use crate::nothing_found;
use crate::opening;
use crate::output::Output;
use crate::selection::Selection;
use crate::skipping::{Next, Walk, is_passed_over};
use crate::text::{HEADING, event_line};

/// Print events
///
/// Bounds are stream versions with `--stream`, otherwise global positions; they mean the same in both
/// directions. All filters must hold. The columns are global position, time, stream, its version,
/// event type and the beginning of the payload.
///
/// A read stops at the first event that cannot be read, with exit code 1. The exit code is 4 when there is
/// nothing of what was asked for; standard error then says what is not there. When the reader of the output
/// has enough, as `head` has, the read ends, with exit code 1 if damage is known by then.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  annals read --store orders --stream order-1:Order
  annals read --store orders --event-type Paid --backward --limit 10
  annals read --store orders --json --skip-damage > rescued.jsonl")]
pub(crate) struct ReadArguments {
    #[command(flatten)]
    store: StoreArguments,

    #[command(flatten)]
    selection: Selection,

    /// Go on behind what cannot be read: standard error says which positions are missing, whichever streams
    /// they may be of, and the exit code is 1
    #[arg(long)]
    skip_damage: bool,

    /// Print one JSON object a line, in the form that `import` reads
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &ReadArguments) -> Result<(), Failure> {
    let store = opening::open(&arguments.store)?;
    let mut printing = Printing::new(&store, arguments);
    printing.print()?;
    let Printing { output, printed, missing, stopped_at, is_given_up, .. } = printing;
    output.finish()?;
    if let Some(error) = stopped_at {
        complain(&with_causes(&error));
        if is_passed_over(&error) {
            complain("nothing behind this was read; with --skip-damage all that verifies is");
        }
        return Err(Failure::Reported);
    }
    if let Some(missing) = missing {
        complain(&format!("what verifies was printed; {missing}"));
        return Err(Failure::Reported);
    }
    match is_given_up {
        true => known_damage(&store),
        false => say_what_is_absent(&store, &arguments.selection, printed),
    }
}

/// A read under way.
struct Printing<'a> {
    store: &'a FileStore,
    selection: &'a Selection,
    skips_damage: bool,
    json: bool,
    output: Output,
    printed: u64,
    /// How many positions cannot be read, in words.
    missing: Option<String>,
    /// The error that ended the read.
    stopped_at: Option<Error>,
    /// Whether the reader of the output has had enough before the end.
    is_given_up: bool,
}

impl<'a> Printing<'a> {
    fn new(store: &'a FileStore, arguments: &'a ReadArguments) -> Self {
        Self {
            store,
            selection: &arguments.selection,
            skips_damage: arguments.skip_damage,
            json: arguments.json,
            output: Output::new(),
            printed: 0,
            missing: None,
            stopped_at: None,
            is_given_up: false,
        }
    }

    /// Prints by the index up to the first event that cannot be read, and from there on position by
    /// position if that is asked for: what the index knows may be what is damaged.
    fn print(&mut self) -> Result<(), Failure> {
        if !self.json && self.output.is_terminal() {
            self.output.line(HEADING)?;
        }
        let mut walk = self.selection.positions().map(|(first, last)| Walk {
            first,
            last,
            direction: self.selection.direction(),
        });
        let ended = match self.selection.events(self.store) {
            Ok(events) => self.print_all(events, &mut walk)?,
            Err(error @ (Error::InvalidName { .. } | Error::Limit { .. })) => {
                return Err(Failure::Usage(error.to_string()));
            }
            Err(error) => Some(error),
        };
        let Some(error) = ended else { return Ok(()) };
        match walk {
            Some(walk) if self.skips_damage && is_passed_over(&error) => self.print_around(walk),
            _ => {
                self.stopped_at = Some(error);
                Ok(())
            }
        }
    }

    /// Prints up to the first event that cannot be read, and returns why it cannot.
    fn print_all(
        &mut self,
        events: Events,
        walk: &mut Option<Walk>,
    ) -> Result<Option<Error>, Failure> {
        for event in events {
            let event = match event {
                Ok(event) => event,
                Err(error) => return Ok(Some(error)),
            };
            walk.iter_mut().for_each(|walk| walk.go_past(event.global_position().get()));
            if self.event(&event)? == Next::Stop {
                break;
            }
        }
        Ok(None)
    }

    fn print_around(&mut self, walk: Walk) -> Result<(), Failure> {
        let filter = self.selection.names.filter();
        let mut missing = Vec::new();
        let store = self.store;
        let ended = walk.run(
            store,
            |event| match self.selection.holds(event, &filter) {
                true => self.event(event),
                false => Ok(Next::GoOn),
            },
            |gap| {
                missing.push(gap.count());
                complain(&gap.to_string());
            },
        );
        let count = missing.iter().copied().try_fold(0, |sum, count| Some(sum + count?));
        self.missing = match (missing.is_empty(), count) {
            (true, _) => None,
            (false, Some(1)) => Some("1 position is missing".to_owned()),
            (false, Some(count)) => Some(format!("{count} positions are missing")),
            (false, None) => Some("the end of the log is missing".to_owned()),
        };
        ended
    }

    fn event(&mut self, event: &RecordedEvent) -> Result<Next, Failure> {
        match self.json {
            true => self.output.json(&PrintedEvent::new(event)?)?,
            false => self.output.line(event_line(event))?,
        }
        self.printed += 1;
        self.is_given_up = self.output.is_enough();
        let is_last = self.selection.limit == Some(self.printed);
        Ok(if is_last || self.is_given_up { Next::Stop } else { Next::GoOn })
    }
}

/// Fails if opening the store has found damage: the reader of the output may have gone before it was met.
fn known_damage(store: &FileStore) -> Result<(), Failure> {
    match store.findings().iter().find(|finding| finding.severity == Severity::Damage) {
        Some(finding) => Err(Failure::failed(finding.to_string())),
        None => Ok(()),
    }
}

fn say_what_is_absent(
    store: &FileStore,
    selection: &Selection,
    printed: u64,
) -> Result<(), Failure> {
    let is_nothing_wanted = selection.limit == Some(0);
    match printed {
        0 if is_nothing_wanted => Ok(()),
        0 if selection.is_everything() => {
            complain("the store holds no events");
            Ok(())
        }
        0 => Err(Failure::NothingFound(nothing_found::explain(store, selection)?)),
        _ if selection.names.event_type.len() > 1 => {
            let absent = nothing_found::absent_event_types(store, selection)?;
            absent.iter().for_each(|message| complain(message));
            Ok(())
        }
        _ => Ok(()),
    }
}
