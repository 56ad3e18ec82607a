//! What the benchmarks share: the events they store, the raw floor they stand beside, and how they
//! measure.
//!
//! Included by each benchmark as a module, since cargo builds every one as a program of its own.

#![allow(dead_code, reason = "every benchmark uses a part of it")]

pub(crate) mod commits;
pub(crate) mod floor;
pub(crate) mod machine;
pub(crate) mod measure;
pub(crate) mod plan;
pub(crate) mod stores;
pub(crate) mod workload;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
