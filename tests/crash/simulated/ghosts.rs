//! Commits that were cut off and zeroed, on a device that loses the zeros: right behind the new end of
//! the log an old frame stands again, with the very position that comes next.

use annals::testing::simulation::{Call, Crash, SimulatedDisk, replay_from};

use super::caught;
use super::chance::Chance;
use super::life::{self, Life};
use super::model::{Expected, Model};
use super::oracle::{self, Verdict};
use super::settings::Settings;
use super::workload::{Author, Step};

/// Crashes that are tried of each history.
const CRASHES: u64 = 4;

/// Tries one history. Returns how many states were tried.
pub(crate) fn explore(seed: u64, history: u64) -> Result<u64, String> {
    caught(|| tell(seed, history)).map_err(|what| {
        let place = format!("ghost:{seed}:{history}");
        format!("ANNALS_CRASH_REPLAY={place} cargo test --test crash replay: {what}")
    })
}

/// Tries the history that is named `seed:history`.
pub(crate) fn replay(text: &str) -> Result<u64, String> {
    let numbers = text
        .split_once(':')
        .and_then(|(seed, history)| Some((seed.parse().ok()?, history.parse().ok()?)));
    let (seed, history) = numbers.ok_or_else(|| format!("no history is named {text}"))?;
    explore(seed, history)
}

/// Three lives: an ordinary one; one in which of a group only the last frame reaches the disk; and one
/// whose commit ends where that frame began.
fn tell(seed: u64, history: u64) -> Verdict<u64> {
    let mut chance = Chance::of(&[seed, history, 0x6057]);
    replay_from(chance.next());
    let (mut model, mut author) = (Model::new(), Author::default());
    let clock = model.clock.clone();
    let settings =
        Settings { segment_bytes: 32_768, memtable_events: 1000, ..Settings::least(clock) };
    let (mut disk, mut expected) = (SimulatedDisk::new(), Expected::default());
    expected.ends.push(0);
    for step in [Step::Group(&[40]), Step::Fill, Step::Fill] {
        let begun =
            life::begin(&disk, &expected, &mut model, &mut author, &settings, None, &mut chance)?;
        let Ok(mut living) = begun else { return Err("opening fails".to_owned()) };
        living.step(step, &mut chance)?;
        let life = living.end(false)?;
        let Some(number) = written_group(&life) else {
            // The first life: it ends as processes do.
            let last = life.moments.len() - 1;
            (disk, expected) = (life.moments[last].killed(), life.expected(last).clone());
            continue;
        };
        try_ghosts(&life, &settings, &mut chance)?;
        let moment = &life.moments[number];
        let mask = 1 << moment.units().saturating_sub(1);
        disk = moment.crashed(Crash::Subset { mask, is_grown: true });
        expected = life.expected(number).clone();
    }
    Ok(2 * CRASHES)
}

/// Returns the number of the moment in which a group of two had been written and not synced.
fn written_group(life: &Life) -> Option<usize> {
    let is_written = |number: &usize| {
        life.moments[*number].call == Call::Write && life.expected(*number).ends.len() == 3
    };
    (0..life.moments.len()).rev().find(is_written)
}

fn try_ghosts(life: &Life, settings: &Settings, chance: &mut Chance) -> Verdict {
    let last = life.moments.len() - 1;
    for _ in 0..CRASHES {
        let (seed, kept_of_8) = (chance.next(), 8);
        let crash = Crash::Scattered { seed, kept_of_8, is_grown: true, gives_back: true };
        let disk = life.moments[last].crashed(crash);
        let expected = Expected { has_strays: true, ..life.expected(last).clone() };
        oracle::open(&disk, &expected, settings, chance)?;
    }
    Ok(())
}
