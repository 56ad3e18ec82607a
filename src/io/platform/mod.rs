//! What the operating systems do each in their own way, in the same words.
//!
//! A module for each family offers a `Directory` and the same functions on files; nothing outside
//! asks which system it is.

#![forbid(unsafe_code)]

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::*;
#[cfg(windows)]
pub(super) use windows::*;
