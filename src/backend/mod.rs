//! The stores that keep the contract: `file` on the engine, `memory` on nothing but a list.

#![forbid(unsafe_code)]

pub(crate) mod file;
pub(crate) mod memory;
mod paths;
mod records;
