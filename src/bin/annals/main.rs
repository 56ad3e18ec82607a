//! The program `annals`: imports, reads, counts and verifies the events of a store on disk, and
//! repairs it.
//!
//! Uses the library by its public names, as any program would. One file per command; this one only
//! chooses between them. Exit codes: 0 done, 1 failed or damaged, 2 wrong use, 3 waiting for `--yes`,
//! 4 nothing found.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod base64;
mod failure;
mod import;
mod json_line;
mod moment;
mod nothing_found;
mod opening;
mod output;
mod read;
mod repair;
mod salvage;
mod selection;
mod skipping;
mod stats;
mod text;
mod unopened;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use annals::Escaped;
use clap::error::ContextValue;
use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;

/// Imports, reads, counts and verifies the events of an annals store, and repairs it.
#[derive(Debug, Parser)]
#[command(
    name = "annals",
    version,
    arg_required_else_help = true,
    after_help = "\
Exit codes:
  0  done
  1  failed, or the store is damaged
  2  wrong use
  3  nothing was changed: add --yes to do what was printed
  4  nothing was found of what was asked for

Examples:
  annals import events.jsonl --store orders
  annals read --store orders --stream order-1:Order
  annals verify --store orders"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::ImportArguments),
    Read(Box<read::ReadArguments>),
    Repair(repair::RepairArguments),
    Salvage(salvage::SalvageArguments),
    Stats(stats::StatsArguments),
    Verify(verify::VerifyArguments),
}

/// Where the store is; shared by all commands.
#[derive(Debug, Args)]
struct StoreArguments {
    /// Directory of the store
    #[arg(long = "store", value_name = "DIR", default_value = "annals-store")]
    path: PathBuf,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(error),
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Import(arguments) => import::run(&arguments),
        Command::Read(arguments) => read::run(&arguments),
        Command::Repair(arguments) => repair::run(&arguments),
        Command::Salvage(arguments) => salvage::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    }
}

/// Says what is wrong with the arguments, safe for a terminal whatever they hold; prints help as it is.
fn refuse(mut error: clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let given: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in given {
        let safe = match value {
            ContextValue::String(text) => ContextValue::String(Escaped(text).to_string()),
            ContextValue::Strings(texts) => {
                let texts = texts.into_iter().map(|text| Escaped(text).to_string());
                ContextValue::Strings(texts.collect())
            }
            other => other,
        };
        error.insert(kind, safe);
    }
    for line in error.render().to_string().lines() {
        let _ = writeln!(io::stderr(), "{}", Escaped(line));
    }
    ExitCode::from(2)
}
