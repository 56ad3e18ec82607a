//! Does the program `annals` do what its help says, and say what is wrong when it can not?
//!
//! Every test runs the real program in a directory of its own; `program` is how. What a store then
//! holds is read through the library, so that the program is not its own witness.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking and says so when it can not run"
)]

#[cfg(unix)]
mod closed_output;
mod damage;
mod import;
#[cfg(unix)]
mod interruption;
mod nothing_found;
mod program;
mod read;
mod repair;
mod round_trip;
mod skip_damage;
mod stats;
mod terminal;
#[cfg(unix)]
mod unfriendly_disk;
#[cfg(unix)]
mod waiting;
mod wrong_use;
