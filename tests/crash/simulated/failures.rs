//! Every call of a history that changes something fails once: the store says so, takes no commit after
//! a failed sync or write of the log, and loses nothing, however it is reopened.

use std::cell::Cell;
use std::io::ErrorKind;

use annals::testing::simulation::{Crash, Failure, SimulatedDisk, replay_from};

use super::caught;
use super::chance::Chance;
use super::life::{self, Life};
use super::model::{Expected, Model};
use super::oracle::{self, Verdict};
use super::settings::Settings;
use super::workload::Author;

/// Steps of a history.
const STEPS: usize = 8;

/// Crashes by chance that are tried after every failure, beside a kill and the loss of everything.
const SCATTERED: u64 = 4;

thread_local! {
    /// Which call failed on this thread, for whoever reports a violation.
    static CALL: Cell<u64> = const { Cell::new(0) };
}

/// Lets every call of a history fail, or only one. Returns how many states were tried.
pub(crate) fn explore(seed: u64, history: u64, only: Option<u64>) -> Result<u64, String> {
    let told = caught(|| tell_all(seed, history, only));
    told.map_err(|what| {
        let call = CALL.get();
        let place = format!("failing:{seed}:{history}:{call}");
        format!("ANNALS_CRASH_REPLAY={place} cargo test --test crash replay: {what}")
    })
}

/// Tries the history and the call that are named `seed:history:call`.
pub(crate) fn replay(text: &str) -> Result<u64, String> {
    let numbers: Vec<u64> = text.split(':').filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [seed, history, call] => explore(seed, history, Some(call)),
        _ => Err(format!("no call is named {text}")),
    }
}

fn tell_all(seed: u64, history: u64, only: Option<u64>) -> Verdict<u64> {
    let mut tried = 0;
    for call in only.unwrap_or(1)..=only.unwrap_or(u64::MAX) {
        CALL.set(call);
        let mut is_over = false;
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            for is_partial in [false, true] {
                let failure = Failure { after: call, calls: 1, kind, is_partial };
                let (states, has_failed) = tell(seed, history, failure)?;
                tried += states;
                is_over = !has_failed;
            }
        }
        if is_over {
            break;
        }
    }
    Ok(tried)
}

/// Tells a history in which a call fails. Returns how many states were tried, and whether there was such
/// a call.
fn tell(seed: u64, history: u64, failure: Failure) -> Verdict<(u64, bool)> {
    let mut chance = Chance::of(&[seed, history, 0xFA11]);
    replay_from(chance.next());
    let (mut model, mut author) = (Model::new(), Author::default());
    let settings = Settings::drawn(&mut chance, model.clock.clone());
    let disk = SimulatedDisk::new();
    let expected = Expected { ends: vec![0], ..Expected::default() };
    let failure = Some(failure);
    let begun =
        life::begin(&disk, &expected, &mut model, &mut author, &settings, failure, &mut chance)?;
    let life = match begun {
        Ok(mut living) => {
            for _ in 0..STEPS {
                let step = living.draw(&mut chance);
                living.step(step, &mut chance)?;
            }
            living.end(chance.once_in(2))?
        }
        Err(life) => life,
    };
    let has_failed = life.moments.iter().any(|moment| moment.has_failed);
    reopen(&life, &settings, &mut chance).map(|states| (states, has_failed))
}

/// Reopens what a life left, by a kill and by crashes.
fn reopen(life: &Life, settings: &Settings, chance: &mut Chance) -> Verdict<u64> {
    let number = life.moments.len() - 1;
    let moment = &life.moments[number];
    let scattered = (0..SCATTERED).map(|_| Crash::Scattered {
        seed: chance.next(),
        kept_of_8: 4,
        is_grown: chance.once_in(2),
        gives_back: false,
    });
    let crashes: Vec<_> = scattered.map(Some).chain([None, Some(Crash::Nothing)]).collect();
    for crash in &crashes {
        let disk = crash.map_or_else(|| moment.killed(), |crash| moment.crashed(crash));
        settings.apply(&disk);
        let expected = life.expected(number);
        oracle::open(&disk, expected, settings, chance)
            .and_then(|(store, shown)| oracle::goes_on(&disk, store, shown, expected, settings))
            .map_err(|what| format!("{what} ({crash:?}, {settings:?})"))?;
    }
    for opens in [oracle::shows_lastingly, oracle::opens_lastingly] {
        let disk = moment.killed();
        settings.apply(&disk);
        opens(&disk, life.expected(number), settings, chance)
            .map_err(|what| format!("{what} (killed, then without power, {settings:?})"))?;
    }
    Ok(crashes.len() as u64 + 2)
}
