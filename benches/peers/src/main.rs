//! annals beside other engines: the same work, in the same run, on the same disk.
//!
//! `cargo run --release` prints a table in Markdown and draws two pictures. Every engine does the whole
//! job (see `engines`) and is held to every field of every event (see `verify`). In each round the
//! engines take turns at each piece of work, each time in a process of its own; a figure is the median
//! over the rounds, a ratio the median of the ratios within a round. `--quick` makes everything tiny:
//! that it works, not how fast.
//!
//! `parent` plans the rounds and starts this program again for each piece of work (`child`); `report`
//! and `picture` show what came of it.

#![allow(
    clippy::missing_panics_doc,
    reason = "a measuring program fails by panicking: no figure is better than a wrong one"
)]

mod child;
mod engines;
mod machine;
mod measure;
mod parent;
mod picture;
mod placement;
mod report;
mod results;
mod shared;
mod strace;
mod verify;
mod work;
mod workload;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "annals beside other engines: the same work in the same run")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: parent::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Runs all rounds, prints the table and draws the pictures; the same as no command.
    Run(parent::Options),
    /// Does one piece of work with one engine, for the parent.
    #[command(hide = true)]
    Child(child::Options),
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.command {
        None => parent::run(arguments.run),
        Some(Command::Run(options)) => parent::run(options),
        Some(Command::Child(options)) => child::run(&options),
    }
}
