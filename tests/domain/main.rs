//! Do typed events, aggregates and snapshots do what a domain needs of them, on every backend?
//!
//! `ANNALS_DOMAIN_CASES` sets the number of cases of the random histories, `ANNALS_DOMAIN_SEED` repeats a
//! run; each run prints its seed.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test fails by panicking and says how to repeat it"
)]

mod account;
mod codec;
mod histories;
mod repository;
mod snapshots;
mod tenants;
mod upcasting;
