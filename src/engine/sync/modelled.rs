//! The same as in a build, and a choice of the scheduler before each step inside a shuttle execution.
//!
//! The threads of an execution take turns on one thread of the system. Invariants:
//!
//! 1. Another thread may go on before each taking of a lock, each use of an atomic and each notice,
//!    and nowhere else. Giving a lock back is no such place: who waits for it comes later anyway.
//! 2. Who waits for a condition goes on only after a notice, so that a notice that is lost shows: all
//!    threads then wait, which shuttle reports. Who waits for a lock tries again and again, so that a
//!    lock that is never given back ends at shuttle's bound of steps.
//! 3. Time passes with the choices of the scheduler, so that a schedule replays.
//!
//! Every order of the steps is one that the processor could take; orders that only weak memory allows
//! are not tried.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;
use shuttle::sync::mpsc::{Sender, channel};

/// How long a step takes in an execution, long enough for a leader to wait some of them.
const STEP: Duration = Duration::from_micros(10);

fn is_modelled() -> bool {
    shuttle::current::try_get_current_task().is_some()
}

/// Lets the scheduler choose who goes on.
pub(crate) fn point() {
    if is_modelled() {
        shuttle::thread::sleep(Duration::ZERO);
    }
}

pub(crate) fn yield_now() {
    match is_modelled() {
        true => shuttle::thread::yield_now(),
        false => std::thread::yield_now(),
    }
}

#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        if !is_modelled() {
            return self.0.lock();
        }
        point();
        loop {
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
            yield_now();
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar {
    unmodelled: parking_lot::Condvar,
    waiting: parking_lot::Mutex<VecDeque<Sender<()>>>,
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if !is_modelled() {
            return self.unmodelled.wait(guard);
        }
        let (notice, noticed) = channel();
        self.waiting.lock().push_back(notice);
        let mutex = MutexGuard::mutex(guard);
        MutexGuard::unlocked(guard, || {
            noticed.recv().unwrap();
            // It is taken back without a choice, so it has to be free.
            while mutex.is_locked() {
                yield_now();
            }
        });
    }

    pub(crate) fn notify_one(&self) {
        if !is_modelled() {
            self.unmodelled.notify_one();
            return;
        }
        point();
        let first = self.waiting.lock().pop_front();
        if let Some(first) = first {
            first.send(()).unwrap();
        }
    }
}

macro_rules! atomic {
    ($name:ident, $number:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name(std::sync::atomic::$name);

        impl $name {
            pub(crate) fn new(value: $number) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $number {
                point();
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $number, order: Ordering) {
                point();
                self.0.store(value, order);
            }
        }
    };
}

atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);

#[derive(Debug)]
pub(crate) enum Stopwatch {
    Clock(crate::clock::Stopwatch),
    Step(usize),
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        match is_modelled() {
            true => Self::Step(shuttle::current::context_switches()),
            false => Self::Clock(crate::clock::Stopwatch::start()),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::Clock(stopwatch) => stopwatch.elapsed(),
            Self::Step(start) => {
                let steps = shuttle::current::context_switches() - start;
                STEP * u32::try_from(steps).unwrap()
            }
        }
    }
}
