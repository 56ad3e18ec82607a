//! What decides in which order the threads of a store go on: locks, atomics, yielding, and the time
//! that a leader waits.
//!
//! In a build these are the ones of `parking_lot` and of the standard library, by other names. In unit
//! tests they are `modelled`, so that a test can try the orders in which threads may go on; outside
//! such a test they do the same.

#[cfg(test)]
mod modelled;

#[cfg(test)]
pub(crate) use modelled::{AtomicU64, AtomicUsize, Condvar, Mutex, Stopwatch, point, yield_now};

#[cfg(not(test))]
pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize};
#[cfg(not(test))]
pub(crate) use std::thread::yield_now;

pub(crate) use parking_lot::MutexGuard;
#[cfg(not(test))]
pub(crate) use parking_lot::{Condvar, Mutex};

#[cfg(not(test))]
pub(crate) use crate::clock::Stopwatch;
