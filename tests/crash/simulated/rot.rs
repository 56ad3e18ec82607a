//! Stores that were closed and whose bytes change afterwards: a bit, a sector that is lost, garbage or
//! another's, an index of another time, a log of another store. What is read is what was written, or an
//! error; nothing is missing in silence.

use annals::testing::simulation::{Moment, SimulatedDisk, SimulatedStore, replay_from};
use annals::{Commit, Error, EventStore, ExpectedVersion, NewEvent, ReadOptions, StreamId};

use super::caught;
use super::chance::Chance;
use super::life;
use super::model::{Expected, Model};
use super::oracle::{self, Verdict, demand};
use super::settings::Settings;
use super::workload::{Author, streams};

/// States that are tried of each store.
const STATES: u64 = 32;

const SECTOR_BYTES: usize = 512;

/// Damages a store in many ways, or in one. Returns how many were tried.
pub(crate) fn explore(seed: u64, history: u64, only: Option<u64>) -> Result<u64, String> {
    let failed = |state, what| {
        let place = format!("rot:{seed}:{history}:{state}");
        format!("ANNALS_CRASH_REPLAY={place} cargo test --test crash replay: {what}")
    };
    let made = caught(|| Made::new(seed, history, 0)).map_err(|what| failed(0, what))?;
    for state in only.unwrap_or(1)..=only.unwrap_or(STATES) {
        let chance = &mut Chance::of(&[seed, history, state, 0xB17]);
        caught(|| made.try_damage(seed, history, chance)).map_err(|what| failed(state, what))?;
    }
    Ok(STATES)
}

/// Tries the damage that is named `seed:history:state`.
pub(crate) fn replay(text: &str) -> Result<u64, String> {
    let numbers: Vec<u64> = text.split(':').filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [seed, history, state] => explore(seed, history, Some(state)),
        _ => Err(format!("no damage is named {text}")),
    }
}

/// Returns the names of the segments.
fn segments(moment: &Moment) -> Vec<String> {
    moment.names("log").into_iter().filter(|name| name.ends_with(".seg")).collect()
}

/// Returns the last position that a run covers, by its name.
fn newest_run(moment: &Moment) -> u64 {
    let names = moment.names("index");
    let last = |name: &String| name.strip_suffix(".run")?.split_once('-')?.1.parse().ok();
    names.iter().filter_map(last).max().unwrap_or_default()
}

/// A store that was closed.
struct Made {
    moment: Moment,
    expected: Expected,
    settings: Settings,
}

impl Made {
    /// Makes the store of a history: its first life is the same for every `fork`, and its second is not.
    /// A fork above 1 is another store whose events differ only in what they hold.
    fn new(seed: u64, history: u64, fork: u64) -> Verdict<Self> {
        let mut chance = Chance::of(&[seed, history, 0xB17]);
        replay_from(chance.next().wrapping_add(fork / 2));
        let (mut model, mut author) =
            (Model::new(), Author::numbered_from(u128::from(fork / 2) << 64));
        let settings = Settings::drawn(&mut chance, model.clock.clone());
        let mut disk = SimulatedDisk::new();
        let mut expected = Expected { ends: vec![0], ..Expected::default() };
        for life in 0..2 {
            let mut chance =
                Chance::of(&[seed, history, life, if life == 0 { 0 } else { fork % 2 }]);
            let begun = life::begin(
                &disk,
                &expected,
                &mut model,
                &mut author,
                &settings,
                None,
                &mut chance,
            )?;
            let Ok(mut living) = begun else { return Err("opening fails".to_owned()) };
            for _ in 0..2 + chance.below(20) {
                let step = living.draw(&mut chance);
                living.step(step, &mut chance)?;
            }
            let told = living.end(true)?;
            let last = told.moments.len() - 1;
            expected = told.expected(last).clone();
            disk = told.moments[last].killed();
        }
        Ok(Self { moment: disk.now(), expected, settings })
    }

    fn try_damage(&self, seed: u64, history: u64, chance: &mut Chance) -> Verdict {
        replay_from(chance.next());
        let disk = self.moment.killed();
        match chance.below(8) {
            0 => {
                let other = Self::new(seed, history, 1)?;
                disk.graft("index", &other.moment);
                // A run of events that the log does not have tells of a loss.
                let judged = match newest_run(&disk.now()) > self.expected.events.len() as u64 {
                    true => self.is_honest(&disk, chance),
                    false => self.is_whole(&disk, chance),
                };
                judged.map_err(|what| format!("{what} (another's index)"))
            }
            1 => {
                let other = Self::new(seed, history, 2)?;
                let path = self.drawn_segment(chance);
                let bytes = other.moment.bytes_of(&path).unwrap_or_default();
                let own = self.moment.bytes_of(&path).unwrap();
                // The newest mark stays: without it nothing shows that there was anything.
                let used = own.iter().rposition(|byte| *byte != 0).unwrap() / SECTOR_BYTES;
                let end = (used.saturating_sub(1) * SECTOR_BYTES).min(bytes.len());
                disk.damage(&path, 4096, bytes.get(4096..end).unwrap_or_default());
                self.is_honest(&disk, chance).map_err(|what| format!("{what} ({path} of another)"))
            }
            _ => self.try_bytes(&disk, chance),
        }
    }

    fn drawn_segment(&self, chance: &mut Chance) -> String {
        let names = segments(&self.moment);
        format!("log/{}", names[chance.below(names.len())])
    }

    /// Changes bytes of one file.
    fn try_bytes(&self, disk: &SimulatedDisk, chance: &mut Chance) -> Verdict {
        let runs = self.moment.names("index");
        let path = match chance.below(8) {
            0 => chance.pick(&["STORE", "log/END"]).to_owned(),
            1..4 if !runs.is_empty() => format!("index/{}", runs[chance.below(runs.len())]),
            _ => self.drawn_segment(chance),
        };
        let bytes = self.moment.bytes_of(&path).unwrap();
        let used: Vec<usize> = (0..bytes.len()).filter(|index| bytes[*index] != 0).collect();
        let at = match chance.below(8) {
            0 => chance.below(bytes.len()),
            // The newest mark, which no later frame vouches for.
            1 | 2 => used[used.len() - 1 - chance.below(used.len().min(24))],
            _ => used[chance.below(used.len())],
        };
        // The newest mark shows that all before it had been durable, and `END` where the log ended. Without
        // `END` and the runs nothing shows that the mark itself was there: its sectors are changed bit by bit.
        let is_bare = path.ends_with(".seg") && chance.below(3) == 0;
        let is_far = match is_bare {
            true => {
                self.forget_end(disk);
                let last = used.last().map_or(0, |last| last / SECTOR_BYTES);
                at / SECTOR_BYTES + 2 < last && !self.is_last_used(&path)
            }
            false => bytes.len() >= at / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES,
        };
        let start = at / SECTOR_BYTES * SECTOR_BYTES;
        match chance.below(4) {
            0 if is_far => disk.damage(&path, start, &[0; SECTOR_BYTES]),
            1 if is_far => disk.damage(&path, start, &[0xA5; SECTOR_BYTES]),
            2 if is_far => {
                let other = used[chance.below(used.len())] / SECTOR_BYTES * SECTOR_BYTES;
                let end = (other + SECTOR_BYTES).min(bytes.len());
                disk.damage(&path, start, &bytes[other..end]);
            }
            _ => disk.damage(&path, at, &[bytes[at] ^ 1 << chance.below(8)]),
        }
        let judged = match path.starts_with("index") {
            true => self.is_whole(disk, chance),
            false => self.is_honest(disk, chance),
        };
        judged.map_err(|what| format!("{what} ({path} at {at}, {:?})", self.settings))
    }

    /// Takes away what tells of the log's end outside of the log, so that only later frames show it.
    fn forget_end(&self, disk: &SimulatedDisk) {
        let runs = self.moment.names("index").into_iter().map(|name| format!("index/{name}"));
        for path in runs.chain(["log/END".to_owned()]) {
            let bytes = self.moment.bytes_of(&path).unwrap_or_default();
            disk.damage(&path, 0, &vec![0; bytes.len()]);
        }
    }

    /// Returns whether the log may end in this file.
    fn is_last_used(&self, path: &str) -> bool {
        segments(&self.moment).iter().rev().take(2).any(|name| path.ends_with(name.as_str()))
    }

    /// Demands that every answer is as it was.
    fn is_whole(&self, disk: &SimulatedDisk, chance: &mut Chance) -> Verdict {
        let expected = Expected { covered: 0, ..self.expected.clone() };
        oracle::open(disk, &expected, &self.settings, chance).map(drop)
    }

    /// Demands that every answer is as it was or an error.
    fn is_honest(&self, disk: &SimulatedDisk, chance: &mut Chance) -> Verdict {
        let store = match SimulatedStore::open(disk, &self.settings.of_store()) {
            Ok(store) => store,
            Err(Error::Damage(_) | Error::Incompatible { .. }) => return self.reads_honestly(disk),
            Err(error) => return Err(format!("opening fails: {error}")),
        };
        let count = store.global_position().unwrap().get();
        let events = &self.expected.events;
        demand!(count == events.len() as u64, "{count} of {} events are left", events.len());
        let is_error =
            |error: &Error| matches!(error, Error::Damage(_) | Error::Incompatible { .. });
        self.gives_its_own(&store, true)?;
        for id in &streams() {
            let wanted = events.iter().filter(|event| event.is_in(id)).count() as u64;
            match store.stream_version(id) {
                Ok(version) => {
                    demand!(version.get() == wanted, "{id} is at {version}, not {wanted}");
                }
                Err(error) => demand!(is_error(&error), "{id}: {error}"),
            }
        }
        for event in (0..events.len().min(2)).map(|_| &events[chance.below(events.len())]) {
            match store.event(event.event_id()) {
                Ok(found) => demand!(found.as_ref() == Some(event), "an id finds {found:?}"),
                Err(error) => demand!(is_error(&error), "by id: {error}"),
            }
        }
        let next = Commit::new().append(
            &StreamId::new("Later", "one").unwrap(),
            ExpectedVersion::Any,
            vec![NewEvent::new("Followed", "on")],
        );
        let result = store.commit(next).map_err(|error| format!("the next commit: {error}"))?;
        demand!(result.global_position.get() == count + 1, "{result:?} follows {count}");
        let last = store.read_all(ReadOptions::new().from(result.global_position)).unwrap().next();
        let Some(Ok(last)) = last else { return Err("the next commit can not be read".to_owned()) };
        demand!(last.recorded_at() == self.settings.clock.now(), "it is of {}", last.recorded_at());
        Ok(())
    }

    /// Demands that a damaged store gives what it gives as it was.
    fn reads_honestly(&self, disk: &SimulatedDisk) -> Verdict {
        match SimulatedStore::open_read_only(disk) {
            Ok(store) => self.gives_its_own(&store, false),
            Err(Error::Damage(_) | Error::Incompatible { .. }) => Ok(()),
            Err(error) => Err(format!("opening for reading fails: {error}")),
        }
    }

    /// Demands that events are those that were written, and that one is missing only where an error
    /// stands, or before which one did.
    fn gives_its_own(&self, store: &SimulatedStore, all: bool) -> Verdict {
        let events = &self.expected.events;
        let mut given = 0;
        for event in store.read_all(ReadOptions::new()).map_err(|error| error.to_string())? {
            let Ok(event) = event else { return Ok(()) };
            let number = usize::try_from(event.global_position().get()).unwrap();
            demand!(events.get(number - 1) == Some(&event), "event {number} is another");
            given += 1;
        }
        demand!(!all || given == events.len(), "{given} of {} events are given", events.len());
        Ok(())
    }
}
