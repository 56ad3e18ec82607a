//! Short histories, every one there is: of a few steps, a crash after every call of them, and every
//! subset of what is pending where that is few enough to be counted out.

use std::cell::Cell;

use annals::testing::simulation::{Crash, Moment, SimulatedDisk, replay_from};

use super::caught;
use super::chance::Chance;
use super::life::{self, Life};
use super::model::{Expected, Model};
use super::oracle::{self, Verdict};
use super::settings::Settings;
use super::workload::{Author, Step};

/// What a step of a short history may be.
const KINDS: u64 = 4;

/// The most units of which every subset is tried; of more, as many subsets are drawn.
const UNITS_MAX: usize = 16;

/// Returns how many histories there are with so many steps or fewer.
pub(crate) fn histories(steps_max: u64) -> u64 {
    let steps_max = u32::try_from(steps_max).unwrap();
    (0..=steps_max).map(|steps| KINDS.pow(steps)).sum()
}

/// Returns the kinds of the steps of the history with a number.
fn kinds_of(mut number: u64) -> Vec<u64> {
    let mut steps = 0;
    while number >= KINDS.pow(steps) {
        number -= KINDS.pow(steps);
        steps += 1;
    }
    (0..steps).map(|step| number / KINDS.pow(step) % KINDS).collect()
}

thread_local! {
    /// Where this thread is, for whoever reports a violation.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Tries every state that the last step of a history can leave, or only one of them: what its other
/// steps leave is left by a shorter one. Returns how many states there are.
pub(crate) fn explore(history: u64, only: Option<u64>) -> Result<u64, String> {
    STATE.set(0);
    let told = caught(|| tell(history, only));
    told.map_err(|what| {
        let state = STATE.get();
        format!(
            "ANNALS_CRASH_REPLAY=short:{history}:{state} cargo test --test crash replay: {what}"
        )
    })
}

/// Tries the state that is named `history:state`.
pub(crate) fn replay(text: &str) -> Result<u64, String> {
    let numbers = text
        .split_once(':')
        .and_then(|(history, state)| Some((history.parse().ok()?, state.parse().ok()?)));
    let (history, state) = numbers.ok_or_else(|| format!("no state is named {text}"))?;
    explore(history, Some(state))
}

fn tell(history: u64, only: Option<u64>) -> Verdict<u64> {
    let mut chance = Chance::of(&[history]);
    replay_from(history);
    let (mut model, mut author) = (Model::new(), Author::default());
    let settings = Settings::least(model.clock.clone());
    let disk = SimulatedDisk::new();
    let expected = Expected { ends: vec![0], ..Expected::default() };
    let begun =
        life::begin(&disk, &expected, &mut model, &mut author, &settings, None, &mut chance)?;
    let Ok(mut living) = begun else { return Err("opening fails".to_owned()) };
    let mut first = 0;
    for kind in kinds_of(history) {
        first = living.marks();
        match kind {
            0 => living.step(Step::Group(&[40]), &mut chance)?,
            1 => living.step(Step::Group(&[200, 40]), &mut chance)?,
            2 => living.step(Step::Group(&[3000]), &mut chance)?,
            _ => living.work(&mut chance)?,
        }
    }
    let life = living.end(false)?;
    let from = if first == 0 { 0 } else { life.first_moment(first) };
    let mut states = 0;
    for number in from..life.moments.len() {
        try_moment(&life, number, &settings, only, &mut states)?;
    }
    Ok(states)
}

fn try_moment(
    life: &Life,
    number: usize,
    settings: &Settings,
    only: Option<u64>,
    states: &mut u64,
) -> Verdict {
    let moment = &life.moments[number];
    for crash in crashes(moment).into_iter().map(Some).chain([None]) {
        *states += 1;
        if only.is_none_or(|only| only == *states) {
            STATE.set(*states);
            let disk = crash.map_or_else(|| moment.killed(), |crash| moment.crashed(crash));
            let mut chance = Chance::of(&[number as u64, *states]);
            replay_from(chance.next());
            let opened = oracle::open(&disk, life.expected(number), settings, &mut chance);
            opened.map_err(|what| {
                format!("{what} (moment {number}, {:?}, {crash:?})", moment.call)
            })?;
            disk.unplug();
        }
    }
    Ok(())
}

/// Returns every crash that makes a difference: all prefixes, each tear, all subsets.
fn crashes(moment: &Moment) -> Vec<Crash> {
    let pending = moment.pending();
    let mut crashes = vec![Crash::Nothing];
    for changes in 0..pending {
        let tears = moment.tears(changes).into_iter().chain([usize::MAX]);
        crashes.extend(tears.map(|bytes| Crash::Prefix { changes, bytes }));
    }
    let units = moment.units();
    for is_grown in [false, true].into_iter().filter(|_| pending > 0) {
        crashes.extend((0..1_u64 << units.min(UNITS_MAX)).map(|number| match units > UNITS_MAX {
            false => Crash::Subset { mask: number, is_grown },
            true => Crash::Scattered { seed: number, kept_of_8: 4, is_grown, gives_back: false },
        }));
    }
    crashes
}
