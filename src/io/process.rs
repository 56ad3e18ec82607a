//! Tells the process that opened something from a process that was forked from it.
//!
//! A forked process inherits files, maps and locks, and none of the threads. It must not write: its parent
//! goes on with the same files.
//!
//! The question comes with every commit, so it is a load and a comparison: a page that the system wipes in
//! every forked process holds the number of this one. A call of `getpid` enters the system, may give
//! the same number in nested namespaces, and stays for systems without such a page. A handler of `pthread_atfork` would miss a
//! process that is made by `clone`.

#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::io::map;

/// The process that something belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    page: Option<&'static AtomicU64>,
    number: u64,
}

impl Process {
    /// Returns this process.
    pub(crate) fn current() -> Self {
        static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();

        let page = *PAGE.get_or_init(map::wiped_by_fork);
        Self { page, number: number_of(page) }
    }

    /// Returns whether this is still that process, and not one that was forked from it.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        number_of(self.page) == self.number
    }
}

#[inline]
fn number_of(page: Option<&'static AtomicU64>) -> u64 {
    match page {
        Some(page) => match page.load(Ordering::Relaxed) {
            0 => number_anew(page),
            number => number,
        },
        None => std::process::id().into(),
    }
}

/// Numbers a process that has none yet. What it inherited tells the numbers of all its forebears.
#[cold]
fn number_anew(page: &AtomicU64) -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);

    let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    match page.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => next,
        Err(other_thread) => other_thread,
    }
}
