//! The program `annals`: imports, reads, counts and verifies the events of a store on disk, and
//! repairs it.
//!
//! Uses the library by its public names, as any program would. One file per command; this one only
//! chooses between them. Exit codes: 0 done, 1 failed, 2 wrong use, 3 waiting
//! for `--yes`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod base64;
mod event_ids;
mod failure;
mod import;
mod importer;
mod json_line;
mod lines;
mod moment;
mod output;
mod read;
mod repair;
mod salvage;
mod stats;
mod text;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;

/// Imports, reads, counts and verifies the events of an annals store, and repairs it.
#[derive(Debug, Parser)]
#[command(name = "annals", version, arg_required_else_help = true)]
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
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Import(arguments) => import::run(&arguments),
        Command::Read(arguments) => read::run(*arguments),
        Command::Repair(arguments) => repair::run(&arguments),
        Command::Salvage(arguments) => salvage::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    }
}
