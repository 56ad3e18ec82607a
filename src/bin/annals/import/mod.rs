//! `annals import`: opens the input and the store, shows progress, says what came of it.

mod event_ids;
mod foreign;
mod gzip;
mod importer;
mod input;
mod lines;
mod rejects;
mod remarks;
#[cfg(unix)]
mod signals;
mod target;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use annals::limits::PAYLOAD_BYTES_MAX;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::StoreArguments;
use crate::failure::{Failure, complain};
use crate::output::Output;
use foreign::Origin;
use importer::{Counts, Fault, Importer, Manner, OnInvalid};
use input::Input;
use lines::Lines;
use rejects::Rejects;
use remarks::Remarks;
use target::Target;

/// Bytes of a line, line end included: the largest payload there is, should every byte of it take the six
/// that a control character takes in JSON, and room for the other fields.
const LINE_BYTES_MAX: usize = 6 * PAYLOAD_BYTES_MAX as usize + (1 << 20);

const EXAMPLES: &str = "\
Examples:
  annals import events.jsonl.gz --store DIR
  tail -f app.log | annals import - --store DIR
  annals import events.jsonl --store DIR --skip-invalid --rejects refused.jsonl";

/// Append events from JSON Lines, plain or gzip
///
/// Each line is a JSON object with `aggregate_type`, `aggregate_id` and `event_type`, and optionally
/// `occurred_at` (RFC 3339 with an offset), `data` (any JSON: the payload, kept byte for byte; a text when
/// `content_type` is `text`), `data_base64` (the payload in base 64, in place of `data`), `content_type`
/// (`json`, `text`, `bytes`, `bincode` or a number), `event_id`, `event_version`, `tenant_id`, `actor_id`,
/// `correlation_id`, `causation_id`, `tags` (list of texts), `metadata` (object of texts) and
/// `aggregate_version` (refused unless it is the version that the event gets). A field that is `null` is
/// left out, but `data`, which is the JSON `null` then. What `read --json` prints can be imported as the same
/// events; its `global_position`, `stream_version` and `recorded_at` are ignored. Other fields are refused.
///
/// Ids are texts and kept as they are: `4BF9...` and `4bf9...` are two ids. Only `event_id`, `correlation_id`
/// and `causation_id` have to be UUIDs, and any spelling of one is the same.
///
/// A time is kept as a moment in microseconds. What else it says is dropped: its offset, digits of a second
/// beyond the sixth (the time is that or up to a microsecond earlier), and a leap second (:60 is :59). Years
/// before 0 and after 9999 have a sign and six digits.
///
/// Importing a line again appends nothing: it is recognised by its event id. When other fields than type and
/// payload differ from what is recorded, that stays, and the first such line is named. A line without
/// `event_id` gets one that is derived from its bytes and from how many equal lines came before it in
/// the same input. So the ids stay the same under another file name, compressed or not, after an
/// import that was interrupted, and when lines are added to the input. Equal lines of two inputs are
/// the same event; where they are not meant to be, give them event ids. Lines without `event_id` and
/// `occurred_at` that equal another one are counted, and the first is named. About twenty bytes of memory
/// are taken for every line without an event id.
///
/// A line that comes through a pipe is recorded within a second, whether others follow or not. On SIGINT
/// (Ctrl-C) and SIGTERM the lines that were read are recorded and counted, and the exit code is 130 or 143; a
/// second signal ends the program at once.
///
/// A line that is not valid ends the import with its number; the lines before it stay imported. A store is
/// made with the first event that it takes.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ImportArguments {
    /// File to import, `-` for standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,

    #[command(flatten)]
    store: StoreArguments,

    /// Leave out lines that are not valid, and go on; when no line is valid, the exit code is 1
    #[arg(long)]
    skip_invalid: bool,

    /// Keep the lines that are refused, as they are, in a new file
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    /// Largest number of events in one commit
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,

    /// Print nothing but errors: no counts, no remarks, no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(arguments: &ImportArguments) -> Result<(), Failure> {
    let name = input_name(&arguments.input);
    let unreadable = |error: io::Error| Failure::failed(format!("can not read {name}: {error}"));
    let rejects = open_rejects(arguments.rejects.as_deref())?;
    let (input, bytes) = open_input(&arguments.input).map_err(unreadable)?;
    if is_standard_input(&arguments.input) && io::stdin().is_terminal() && !arguments.quiet {
        complain("reading from the terminal, end with Ctrl-D");
    }
    let progress = progress_bar(bytes, arguments.quiet);
    let input = Input::new(progress.wrap_read(input));
    #[cfg(unix)]
    signals::interrupt(input.interrupter()).map_err(Failure::failed)?;
    let mut lines = Lines::new(input, LINE_BYTES_MAX);
    let store = Target::open(&arguments.store.path)?;

    let on_invalid = if arguments.skip_invalid { OnInvalid::Skip } else { OnInvalid::Stop };
    let manner = Manner { batch_events_max: arguments.batch.into(), on_invalid, rejects };
    let mut importer = Importer::new(&store, manner, origin(&arguments.input), |fault| {
        progress.suspend(|| complain(&format!("{fault}; skipped")));
    });
    let outcome = importer.take_all(&mut lines);
    let (counts, remarks, kept) = importer.finish();
    progress.finish_and_clear();
    let closed = store.close();
    let said = if arguments.quiet { Ok(()) } else { say(&counts, &remarks) };
    outcome.map_err(|fault| failure_of(fault, &store))?;
    closed?;
    kept.map_err(|error| Failure::failed(format!("can not keep the refused lines: {error}")))?;
    match lines.waiting().interrupted() {
        Some(signal) => Err(Failure::Interrupted(exit_code_of_signal(signal))),
        None => said.and_then(|()| verdict(&counts)),
    }
}

/// Returns the exit code of a program that a signal has ended, as a shell gives it.
fn exit_code_of_signal(signal: i32) -> u8 {
    u8::try_from(signal).unwrap_or_default().saturating_add(128)
}

/// Fails where every line was refused: a job that takes nothing has gone wrong.
fn verdict(counts: &Counts) -> Result<(), Failure> {
    match (counts.taken(), counts.skipped) {
        (0, skipped @ 1..) => {
            let lines = if skipped == 1 { "the only line was" } else { "all lines were" };
            Err(Failure::failed(format!("no line was taken: {lines} refused")))
        }
        _ => Ok(()),
    }
}

/// Leaves out the line where the store could not be made for it.
fn failure_of(fault: Fault, store: &Target) -> Failure {
    if !store.has_failed() {
        return Failure::failed(fault);
    }
    match fault.into_store_error() {
        Ok(error) => error.into(),
        Err(fault) => Failure::failed(fault),
    }
}

fn open_rejects(path: Option<&Path>) -> Result<Rejects, Failure> {
    Rejects::new(path.map(Path::to_owned)).map_err(|error| {
        let path = path.unwrap_or(Path::new("")).display();
        Failure::Usage(format!("--rejects {path}: {error}; name a file that is not there yet"))
    })
}

fn say(counts: &Counts, remarks: &Remarks) -> Result<(), Failure> {
    remarks.to_string().lines().for_each(complain);
    let mut output = Output::new();
    output.line(counts)?;
    output.finish()
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn origin(path: &Path) -> Origin {
    let file = (!is_standard_input(path)).then(|| path.to_owned());
    Origin { file, is_gzip: false }
}

fn input_name(path: &Path) -> String {
    match is_standard_input(path) {
        true => "standard input".into(),
        false => path.display().to_string(),
    }
}

/// Opens the input and tells how many bytes it has, where that is known.
fn open_input(path: &Path) -> io::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if is_standard_input(path) {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), bytes))
}

/// Makes a bar over the bytes of the input, or a plain counter when their number is not known. It
/// draws on standard error, and only when that is a terminal.
fn progress_bar(bytes: Option<u64>, quiet: bool) -> ProgressBar {
    let (progress, template) = match (quiet, bytes) {
        (true, _) => return ProgressBar::hidden(),
        (false, Some(bytes)) => {
            (ProgressBar::new(bytes), "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        }
        (false, None) => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => progress.with_style(style),
        Err(_) => progress,
    }
}
