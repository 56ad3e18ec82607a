//! Are the bytes as published, and does no other byte ever pass for them?
//!
//! `documentation` holds `docs/format.md` to the tables of `layout`, `examples` holds both to golden
//! bytes, `roundtrip` and `refusal` hold frames to their invariants, and `hostile` feeds the
//! decoders what no writer makes.

#![forbid(unsafe_code)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod documentation;
mod end;
mod examples;
mod hostile;
mod lost;
mod material;
mod range;
mod record;
mod refusal;
mod roundtrip;
