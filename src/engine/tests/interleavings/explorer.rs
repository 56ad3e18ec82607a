//! Draws interleavings from a seed, and replays one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

use super::scene::Scene;
use crate::io::MemoryDisk;

/// Interleavings of a scenario, unless the environment names another count.
const COUNT: usize = 200;

/// Steps where priorities change in one interleaving.
const CHANGES: usize = 3;

/// More steps than any interleaving takes that comes to an end.
const STEPS_MAX: usize = 100_000;

/// A thread runs the engine as it is compiled for tests.
const STACK_BYTES: usize = 1 << 20;

/// What was written in the interleavings of a scenario.
#[derive(Debug, Default)]
pub(super) struct Groups {
    largest: AtomicUsize,
}

impl Groups {
    /// Returns how many events the largest group had.
    pub(super) fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }
}

/// Runs a scenario on a copy of a store in many orders, and checks each.
pub(super) fn explore(before: MemoryDisk, scenario: fn(&Arc<Scene>)) -> Arc<Groups> {
    let groups = Arc::new(Groups::default());
    let seen = Arc::clone(&groups);
    let body = move || {
        let scene = Scene::open(&before);
        scenario(&scene);
        scene.check();
        seen.largest.fetch_max(scene.disk.most_in_a_write(), Ordering::Relaxed);
    };
    if let Ok(schedule) = std::env::var("ANNALS_INTERLEAVINGS_SCHEDULE") {
        run(ReplayScheduler::new_from_encoded(&schedule), body);
        return groups;
    }
    let random = uuid::Uuid::new_v4().as_u64_pair().0;
    let seed = from_environment("ANNALS_INTERLEAVINGS_SEED").unwrap_or(random);
    let count = from_environment("ANNALS_INTERLEAVINGS").map_or(COUNT, |it| it.try_into().unwrap());
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("{name}: ANNALS_INTERLEAVINGS={count} ANNALS_INTERLEAVINGS_SEED={seed}");
    run(RandomScheduler::new_from_seed(seed, count.div_ceil(2)), body.clone());
    run(PctScheduler::new_from_seed(seed, CHANGES + 1, count / 2), body);
    groups
}

/// Runs a body in each order that a scheduler gives, and returns how many there were.
pub(super) fn run(
    scheduler: impl Scheduler + 'static,
    body: impl Fn() + Send + Sync + 'static,
) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    Runner::new(scheduler, config).run(body)
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}
