//! `annals repair`: makes a damaged store one that opens again, once somebody has agreed to what that
//! gives up.

use annals::{FileStore, RepairReport, RepairStep};
use clap::Args;
use serde::Serialize;

use crate::StoreArguments;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::counted;
use crate::verify::{PrintedFinding, finding_line};

/// Give up what is damaged, so that the store opens for writing again
///
/// Prints what would be done and changes nothing, unless --yes is given. The log stays as it is: each
/// event that does not verify is listed and passed over from then on; the others of its commit stay.
/// Positions that are lost are never given out again. Restore a backup instead if you have one. A file
/// STORE that is missing is written anew from the log, and nothing is lost.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  annals repair --store orders --dry-run
  annals repair --store orders --yes")]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    store: StoreArguments,

    #[command(flatten)]
    agreement: Agreement,
}

/// Whether what is printed is also done; shared by the commands that change what is damaged.
#[derive(Debug, Args)]
pub(crate) struct Agreement {
    /// Do it, instead of only printing what would be done
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,

    /// Print what would be done and succeed; without this and --yes the exit code is 3
    #[arg(long)]
    dry_run: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &RepairArguments) -> Result<(), Failure> {
    let path = &arguments.store.path;
    arguments.agreement.act(
        || FileStore::plan_repair(path),
        || FileStore::repair(path),
        RepairReport::is_needed,
        "there is nothing to repair",
    )
}

impl Agreement {
    /// Plans, and does it if that was agreed to; prints which of the two. What is not needed is done
    /// without asking, since it is nothing.
    pub(crate) fn act(
        &self,
        plan: impl FnOnce() -> annals::Result<RepairReport>,
        act: impl FnOnce() -> annals::Result<RepairReport>,
        is_needed: impl Fn(&RepairReport) -> bool,
        nothing: &str,
    ) -> Result<(), Failure> {
        let report = if self.yes { act()? } else { plan()? };
        let is_needed = is_needed(&report);
        let mut output = Output::new();
        match self.json {
            true => output.json(&PrintedReport::new(&report, self.yes))?,
            false if is_needed => self.print(&report, &mut output)?,
            false => output.line(nothing)?,
        }
        output.finish()?;
        match is_needed && !self.yes && !self.dry_run {
            true => Err(Failure::Unconfirmed("nothing was changed; to do this, add --yes")),
            false => Ok(()),
        }
    }

    fn print(&self, report: &RepairReport, output: &mut Output) -> Result<(), Failure> {
        for finding in &report.given_up {
            output.line(finding_line(finding))?;
        }
        for step in &report.steps {
            output.line(step_line(step))?;
        }
        let lost = counted(report.lost_positions(), "position");
        let places = counted(report.given_up.len() as u64, "place");
        match self.yes {
            true => output.line(format_args!("done: {lost} lost in {places}")),
            false => output.line(format_args!("planned: {lost} lost in {places}")),
        }
    }
}

pub(crate) fn step_line(step: &RepairStep) -> String {
    format!("{}: {}", step.file.display(), step.what)
}

/// A report as JSON.
#[derive(Debug, Serialize)]
struct PrintedReport {
    done: bool,
    lost_positions: u64,
    given_up: Vec<PrintedFinding>,
    steps: Vec<PrintedStep>,
}

#[derive(Debug, Serialize)]
struct PrintedStep {
    file: String,
    what: String,
}

impl PrintedReport {
    fn new(report: &RepairReport, done: bool) -> Self {
        let step = |step: &RepairStep| PrintedStep {
            file: step.file.display().to_string(),
            what: step.what.clone(),
        };
        Self {
            done,
            lost_positions: report.lost_positions(),
            given_up: report.given_up.iter().map(PrintedFinding::from).collect(),
            steps: report.steps.iter().map(step).collect(),
        }
    }
}
