//! What the benchmarks of the crate use too: its raw floor, and how its events are spread over streams.

#![allow(dead_code, reason = "every benchmark uses a part of it")]

#[path = "../../shared/floor.rs"]
pub(crate) mod floor;
#[path = "../../shared/machine.rs"]
pub(crate) mod machine;
#[path = "../../shared/workload.rs"]
pub(crate) mod workload;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
