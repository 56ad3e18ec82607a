//! The only place that draws what must be like nothing else: the ids, keys and salts of a store.
//!
//! A test that must replay exactly draws them from a seed, for its own thread.

#![forbid(unsafe_code)]

use uuid::Uuid;

/// Returns an id that nobody else has drawn.
pub(crate) fn unique() -> Uuid {
    #[cfg(any(test, feature = "testing"))]
    if let Some(replayed) = replay::next() {
        return replayed;
    }
    Uuid::new_v4()
}

/// What is drawn on this thread follows from a seed from now on.
#[cfg(any(test, feature = "testing"))]
pub(crate) use replay::start as replay_from;

#[cfg(any(test, feature = "testing"))]
mod replay {
    use std::cell::Cell;

    use uuid::Uuid;

    thread_local! {
        /// What was drawn last, once chance is replayed.
        static LAST: Cell<Option<u64>> = const { Cell::new(None) };
    }

    pub(crate) fn start(seed: u64) {
        LAST.set(Some(seed));
    }

    pub(super) fn next() -> Option<Uuid> {
        let last = LAST.get()?;
        let mix = |number: u64| (number ^ number >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let next = last.wrapping_add(0x9E37_79B9_7F4A_7C15);
        LAST.set(Some(next));
        Some(Uuid::from_u64_pair(mix(next), mix(mix(next))))
    }
}
