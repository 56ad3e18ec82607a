//! `annals verify`: checks every byte of a store and prints what was found.

use annals::{FileStore, Finding, Severity, VerifyReport};
use clap::Args;
use serde::Serialize;

use crate::StoreArguments;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::counted;

/// Check every byte of a store, changing nothing; the exit code is 1 when there is damage
///
/// May be run while the store is in use. Notes concern nothing that had been acknowledged, such as a
/// commit that a crash cut short.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  annals verify --store orders
  annals verify --store orders --json")]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    store: StoreArguments,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &VerifyArguments) -> Result<(), Failure> {
    let report = FileStore::verify(&arguments.store.path)?;
    let mut output = Output::new();
    match arguments.json {
        true => output.json(&PrintedReport::from(&report))?,
        false => print(&report, &mut output)?,
    }
    output.finish()?;
    match report.is_intact() {
        true => Ok(()),
        false => Err(Failure::Reported),
    }
}

fn print(report: &VerifyReport, output: &mut Output) -> Result<(), Failure> {
    for finding in &report.findings {
        output.line(finding_line(finding))?;
    }
    let VerifyReport { events, commits, segments, lost, .. } = report;
    let events = counted(*events, "event");
    let (commits, segments) = (counted(*commits, "commit"), counted(*segments, "segment"));
    let is_repaired = report.findings.iter().any(|it| it.severity == Severity::Repaired);
    let verdict = match (report.is_intact(), is_repaired) {
        (false, _) => "damaged".to_owned(),
        (true, false) => "intact".to_owned(),
        (true, true) => format!("repaired, {} lost", counted(*lost, "position")),
    };
    output.line(format_args!("{verdict}: {events} in {commits} in {segments} verify"))
}

pub(crate) fn finding_line(finding: &Finding) -> String {
    let Finding { file, offset, what, .. } = finding;
    let mut line =
        format!("{}: {} at offset {offset}: {what}", severity(finding.severity), file.display());
    if let Some(first) = finding.first_lost {
        let last = finding.first_good_after.map(|good| good.previous().get());
        let is_one = last == Some(first.get());
        line += &format!(
            "; {} {} lost",
            positions(first.get(), last),
            if is_one { "is" } else { "are" }
        );
    }
    if let Some(kept_in) = &finding.kept_in {
        line += &format!("; the bytes are kept in {}", kept_in.display());
    }
    line
}

/// Names the positions from the first to the last; all from the first on where no last one is known.
pub(crate) fn positions(first: u64, last: Option<u64>) -> String {
    match last {
        None => format!("positions from {first} on"),
        Some(last) if last == first => format!("position {first}"),
        Some(last) => format!("positions {first} to {last}"),
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Repaired => "repaired",
        Severity::Damage => "damage",
    }
}

/// A report as JSON.
#[derive(Debug, Serialize)]
struct PrintedReport {
    intact: bool,
    events: u64,
    commits: u64,
    segments: u64,
    lost: u64,
    findings: Vec<PrintedFinding>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PrintedFinding {
    severity: &'static str,
    file: String,
    offset: u64,
    what: String,
    first_lost: Option<u64>,
    first_good_after: Option<u64>,
    kept_in: Option<String>,
}

impl From<&VerifyReport> for PrintedReport {
    fn from(report: &VerifyReport) -> Self {
        Self {
            intact: report.is_intact(),
            events: report.events,
            commits: report.commits,
            segments: report.segments,
            lost: report.lost,
            findings: report.findings.iter().map(PrintedFinding::from).collect(),
        }
    }
}

impl From<&Finding> for PrintedFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            severity: severity(finding.severity),
            file: finding.file.display().to_string(),
            offset: finding.offset,
            what: finding.what.clone(),
            first_lost: finding.first_lost.map(annals::GlobalPosition::get),
            first_good_after: finding.first_good_after.map(annals::GlobalPosition::get),
            kept_in: finding.kept_in.as_ref().map(|path| path.display().to_string()),
        }
    }
}
