//! Random histories: a store lives three or four times on one disk, each life ends at any call, and
//! from every life many more ends are tried than the one it goes on from.
//!
//! A state is one disk as one crash leaves it, opened and judged. Everything about it follows from its
//! place: the seed, the number of the history, of the life and of the state.

use std::cell::Cell;
use std::fmt;

use annals::testing::simulation::{Call, Crash, Failure, Moment, SimulatedDisk, replay_from};

use super::caught;
use super::chance::Chance;
use super::life::{self, Life};
use super::model::{Expected, Model};
use super::oracle::{self, Verdict};
use super::settings::Settings;
use super::workload::Author;

/// States that are tried of each life.
const STATES_OF_A_LIFE: u64 = 64;

/// Where a state is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    seed: u64,
    history: u64,
    life: u64,
    /// 0 is the life itself.
    state: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.seed, self.history, self.life, self.state)
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':').map(str::parse);
        let mut next = || parts.next()?.ok();
        Some(Self { seed: next()?, history: next()?, life: next()?, state: next()? })
    }

    fn chance(self) -> Chance {
        Chance::of(&[self.seed, self.history, self.life, self.state])
    }
}

thread_local! {
    /// Where this thread is, for whoever catches a panic.
    static HERE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Tries the state that is named `seed:history:life:state`.
pub(crate) fn replay(text: &str) -> Result<u64, String> {
    let place = Place::parse(text).ok_or_else(|| format!("no state is named {text}"))?;
    explore(place.seed, place.history, Some(place))
}

/// Runs one history and tries its states, or only one of them. Returns how many were tried.
pub(crate) fn explore(seed: u64, history: u64, only: Option<Place>) -> Result<u64, String> {
    let told = caught(|| tell(seed, history, only));
    told.map_err(|what| {
        let place = HERE.get().unwrap_or(Place { seed, history, life: 0, state: 0 });
        format!("ANNALS_CRASH_REPLAY={place} cargo test --test crash replay: {what}")
    })
}

fn tell(seed: u64, history: u64, only: Option<Place>) -> Verdict<u64> {
    let mut chance = Chance::of(&[seed, history]);
    let (mut model, mut author) = (Model::new(), Author::default());
    let settings = Settings::drawn(&mut chance, model.clock.clone());
    let mut disk = SimulatedDisk::new();
    let mut expected = Expected { ends: vec![0], ..Expected::default() };
    let mut tried = 0;
    for life in 1..=3 + chance.next() % 2 {
        let place = Place { seed, history, life, state: 0 };
        let told = live(&disk, &expected, &mut model, &mut author, &settings, place)?;
        let wanted = |place: Place| only.is_none_or(|only| only == place);
        for state in 1..=STATES_OF_A_LIFE {
            let place = Place { state, ..place };
            if wanted(place) && !told.moments.is_empty() {
                try_state(&told, &settings, place)?;
                tried += 1;
            }
        }
        if told.moments.is_empty() || only.is_some_and(|only| only.life == life && only.state > 0) {
            break;
        }
        let (moment, end) = choose_end(&told, &mut chance);
        disk = leave(&told.moments[moment], end);
        expected = left_by(end, told.expected(moment));
    }
    Ok(tried)
}

/// Lives once.
fn live(
    disk: &SimulatedDisk,
    expected: &Expected,
    model: &mut Model,
    author: &mut Author,
    settings: &Settings,
    place: Place,
) -> Verdict<Life> {
    HERE.set(Some(place));
    let mut chance = place.chance();
    replay_from(chance.next());
    let failure = chance.once_in(4).then(|| draw_failure(&mut chance));
    let begun = life::begin(disk, expected, model, author, settings, failure, &mut chance)?;
    let mut living = match begun {
        Ok(living) => living,
        Err(life) => return Ok(life),
    };
    for _ in 0..chance.pick(&[0, 1, 1, 2, 5, 10, 20]) {
        let step = living.draw(&mut chance);
        living.step(step, &mut chance)?;
    }
    living.end(chance.once_in(4))
}

fn draw_failure(chance: &mut Chance) -> Failure {
    use std::io::ErrorKind;
    Failure {
        after: 1 + chance.next() % 150,
        calls: chance.pick(&[1, 1, 1, 2, 10]),
        kind: chance.pick(&[ErrorKind::Other, ErrorKind::StorageFull]),
        is_partial: chance.once_in(2),
    }
}

/// How a life ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Kill,
    Crash(Crash),
}

fn leave(moment: &Moment, end: End) -> SimulatedDisk {
    match end {
        End::Kill => moment.killed(),
        End::Crash(crash) => moment.crashed(crash),
    }
}

/// Returns what an end leaves of what is expected.
fn left_by(end: End, expected: &Expected) -> Expected {
    let gives_back = matches!(end, End::Crash(Crash::Scattered { gives_back: true, .. }));
    Expected { has_strays: expected.has_strays || gives_back, ..expected.clone() }
}

fn choose_end(life: &Life, chance: &mut Chance) -> (usize, End) {
    let numbers = 0..life.moments.len();
    let of_call = |call| numbers.clone().filter(move |number| life.moments[*number].call == call);
    // Where a name is not durable yet, and where a group is being written.
    let renames: Vec<_> = of_call(Call::Rename).collect();
    let groups: Vec<_> =
        of_call(Call::Write).filter(|it| life.expected(*it).ends.len() > 2).collect();
    let moment = match chance.below(6) {
        0 if !renames.is_empty() => return (chance.pick(&renames), End::Kill),
        1 | 2 if !groups.is_empty() => chance.pick(&groups),
        3 | 4 => life.moments.len() - 1,
        _ => chance.below(life.moments.len()),
    };
    (moment, draw_end(&life.moments[moment], chance))
}

fn draw_end(moment: &Moment, chance: &mut Chance) -> End {
    match chance.below(16) {
        0 | 1 => End::Kill,
        2 => End::Crash(Crash::Nothing),
        3..7 => {
            let changes = chance.below(moment.pending() + 1);
            let tears = moment.tears(changes);
            let bytes = if tears.is_empty() { 0 } else { tears[chance.below(tears.len())] };
            End::Crash(Crash::Prefix { changes, bytes })
        }
        _ => End::Crash(Crash::Scattered {
            seed: chance.next(),
            kept_of_8: chance.pick(&[1, 4, 4, 7]),
            is_grown: chance.once_in(2),
            gives_back: chance.once_in(4),
        }),
    }
}

/// Tries one state of a life.
fn try_state(life: &Life, settings: &Settings, place: Place) -> Verdict {
    HERE.set(Some(place));
    let mut chance = place.chance();
    replay_from(chance.next());
    let number = chance.below(life.moments.len());
    let moment = &life.moments[number];
    let end = draw_end(moment, &mut chance);
    let disk = leave(moment, end);
    settings.apply(&disk);
    let expected = left_by(end, life.expected(number));
    let judged = judge(&disk, &expected, settings, &mut chance);
    judged.map_err(|what| {
        format!("{what} (moment {number}, after {:?}, {end:?}, {settings:?})", moment.call)
    })
}

fn judge(
    disk: &SimulatedDisk,
    expected: &Expected,
    settings: &Settings,
    chance: &mut Chance,
) -> Verdict {
    match chance.below(16) {
        0 | 1 => return oracle::shows_lastingly(disk, expected, settings, chance),
        2 | 3 => return oracle::opens_lastingly(disk, expected, settings, chance),
        _ => {}
    }
    let (store, shown) = oracle::open(disk, expected, settings, chance)?;
    match chance.once_in(8) {
        true => oracle::goes_on(disk, store, shown, expected, settings),
        false => {
            disk.unplug();
            Ok(())
        }
    }
}
