//! What survives? Stores on the real disk whose process is killed, whose files are damaged, and whose
//! surroundings do not let them work: every failure has its own error and nothing acknowledged is
//! lost.
//!
//! Everything goes through the public API and the bytes of the files. Some tests start this program
//! again as a child (`child`); where a system lacks what a test needs, it says that it is skipped.

#![cfg(unix)]
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod calls;
mod child;
mod copies;
mod disks;
mod displaced;
mod faults;
mod files;
mod flips;
mod full_disk;
mod kills;
mod lives;
mod openings;
mod simulated;
mod size;
mod store;
mod threads;
