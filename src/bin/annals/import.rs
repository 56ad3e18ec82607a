//! `annals import`: opens the input and the store, shows progress, says what came of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use annals::FileStore;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::StoreArguments;
use crate::failure::{Failure, complain};
use crate::importer::{Importer, OnInvalid};
use crate::lines::Lines;
use crate::output::Output;

/// Bytes of a line, line end included: the largest payload there is, should every byte of it take
/// four in JSON.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Append events from JSON Lines, plain or gzip
///
/// Each line is a JSON object with `aggregate_type`, `aggregate_id` and `event_type`, and optionally
/// `occurred_at` (RFC 3339 with an offset), `data` (any JSON: the payload), `event_id`,
/// `event_version`, `tenant_id`, `actor_id`, `correlation_id`, `causation_id`, `tags` (list of
/// texts), `metadata` (object of texts) and `aggregate_version` (refused unless it is the version
/// that the event gets). What `read --json` prints can be imported; its `global_position`,
/// `stream_version` and `recorded_at` are ignored. Other fields are refused.
///
/// Importing a line again appends nothing: it is recognised by its event id. A line without
/// `event_id` gets one that is derived from its bytes and from how many equal lines came before it in
/// the same input. So the ids stay the same under another file name, compressed or not, after an
/// import that was interrupted, and when lines are added to the input. Equal lines of two inputs are
/// the same event; where they are not meant to be, give them event ids. About twenty bytes of memory
/// are taken for every line without an event id.
///
/// A line that is not valid ends the import with its number; the lines before it stay imported.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// File to import, `-` for standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,

    #[command(flatten)]
    store: StoreArguments,

    /// Leave out lines that are not valid, and go on
    #[arg(long)]
    skip_invalid: bool,

    /// Largest number of events in one commit
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,

    /// Show no progress; none is shown either when standard error is not a terminal
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(arguments: &ImportArguments) -> Result<(), Failure> {
    let name = input_name(&arguments.input);
    let unreadable = |error: io::Error| Failure::failed(format!("can not read {name}: {error}"));
    let (input, bytes) = open_input(&arguments.input).map_err(unreadable)?;
    let progress = progress_bar(bytes, arguments.quiet);
    let mut lines = Lines::new(progress.wrap_read(input), LINE_BYTES_MAX).map_err(unreadable)?;
    let store = FileStore::open(&arguments.store.path)?;

    let on_invalid = if arguments.skip_invalid { OnInvalid::Skip } else { OnInvalid::Stop };
    let mut importer = Importer::new(&store, arguments.batch.into(), on_invalid, |fault| {
        progress.suspend(|| complain(&format!("{fault}; skipped")));
    });
    let outcome = importer.take_all(&mut lines);
    let counts = importer.counts();
    drop(importer);
    progress.finish_and_clear();
    let closed = store.close();
    let said = say(&counts);
    outcome.map_err(Failure::failed)?;
    closed?;
    said
}

fn say(counts: &impl std::fmt::Display) -> Result<(), Failure> {
    let mut output = Output::new();
    output.line(counts)?;
    output.finish()
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn input_name(path: &Path) -> String {
    match is_standard_input(path) {
        true => "standard input".into(),
        false => path.display().to_string(),
    }
}

/// Opens the input and tells how many bytes it has, where that is known.
fn open_input(path: &Path) -> io::Result<(Box<dyn Read>, Option<u64>)> {
    if is_standard_input(path) {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
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
