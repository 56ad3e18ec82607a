//! Does what follows the log miss nothing and repeat nothing? Subscriptions, checkpoints, projections and
//! the records beside the log that they rest on, through the public API only.
//!
//! With `ANNALS_LOAN_APPLICATIONS` naming a file of loan applications, one JSON object a line, in gzip,
//! the proofs run over its events; otherwise over a smaller workload that is made up here.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod applications;
mod child;
mod deliveries;
mod histories;
mod kills;
mod projections;
mod rebuilds;
mod records;
