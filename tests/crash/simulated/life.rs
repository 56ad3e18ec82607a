//! One life of a store on a simulated disk: opened, committed to, and recorded call by call, each
//! moment with what a crash there must leave.

use annals::testing::simulation::{Failure, Moment, SimulatedDisk, SimulatedStore, Work};
use annals::{Commit, CommitResult, Error};

use super::chance::Chance;
use super::model::{Expected, Model};
use super::oracle::{self, Verdict, demand};
use super::settings::Settings;
use super::workload::{Author, Step};

/// A life as it was recorded.
pub(crate) struct Life {
    pub(crate) moments: Vec<Moment>,
    /// From which moment on what is expected.
    marks: Vec<(usize, Expected)>,
}

impl Life {
    /// Returns what a crash after the moment with a number must leave.
    pub(crate) fn expected(&self, number: usize) -> &Expected {
        let behind = self.marks.partition_point(|(from, _)| *from <= number);
        &self.marks[behind - 1].1
    }

    /// Returns the number of the first moment that a mark is about.
    pub(crate) fn first_moment(&self, mark: usize) -> usize {
        self.marks.get(mark).map_or(self.moments.len(), |(from, _)| *from)
    }
}

/// A store that is alive.
pub(crate) struct Living<'a> {
    disk: &'a SimulatedDisk,
    store: SimulatedStore,
    model: &'a mut Model,
    author: &'a mut Author,
    expected: Expected,
    marks: Vec<(usize, Expected)>,
    /// Whether the store has said that it takes no more writes.
    is_poisoned: bool,
    has_begun: bool,
    has_failures: bool,
    covered_at_opening: u64,
}

/// Starts a life: opens the store on a disk that holds what is expected. `Err` is a violation, and
/// `Ok(Err(_))` an opening that failed because a call did.
pub(crate) fn begin<'a>(
    disk: &'a SimulatedDisk,
    expected: &Expected,
    model: &'a mut Model,
    author: &'a mut Author,
    settings: &Settings,
    failure: Option<Failure>,
    chance: &mut Chance,
) -> Verdict<Result<Living<'a>, Life>> {
    settings.apply(disk);
    disk.record();
    let has_failures = failure.is_some();
    failure.into_iter().for_each(|failure| disk.fail(failure));
    let before = disk.behind_cache();
    oracle::stands(&before, expected)?;
    let marks = vec![(0, expected.clone())];
    let store = match SimulatedStore::open(disk, &settings.of_store()) {
        Ok(store) => store,
        Err(Error::Io { .. } | Error::NoSpace { .. }) if has_failures => {
            return Ok(Err(Life { moments: disk.take_moments(), marks }));
        }
        Err(error) => return Err(format!("opening fails: {error}")),
    };
    let cuts = oracle::opened(disk, &before, &store)?;
    let shown = oracle::holds(&store, expected, chance)?;
    model.keep(shown);
    let mut expected = Expected { is_made: true, ..expected.carried_on(model.expected(shown)) };
    expected.kept.extend(cuts);
    let mut living = Living {
        disk,
        store,
        model,
        author,
        expected,
        marks,
        is_poisoned: false,
        has_begun: false,
        has_failures,
        covered_at_opening: oracle::covered(&disk.now()),
    };
    living.mark();
    Ok(Ok(living))
}

impl Living<'_> {
    /// Takes note of what is expected from the last call on: it was made before the answer to it.
    fn mark(&mut self) {
        let from = self.disk.moments().saturating_sub(1);
        while self.marks.last().is_some_and(|(later, _)| *later > from) {
            self.marks.pop();
        }
        self.marks.push((from, self.expected.clone()));
    }

    /// Takes note of what is expected from the next call on.
    fn mark_next(&mut self) {
        self.marks.push((self.disk.moments(), self.expected.clone()));
    }

    /// Takes note of how far the runs reach. The names of those that were there when the store was
    /// opened may be in the cache only, until another run is made beside them.
    fn cover(&mut self) {
        let covered = oracle::covered(&self.disk.now());
        if !self.has_failures && covered > self.covered_at_opening {
            self.expected.covered = self.expected.covered.max(covered);
        }
    }

    /// Draws the next step.
    pub(crate) fn draw(&mut self, chance: &mut Chance) -> Step {
        self.author.step(chance)
    }

    /// Returns how many marks there are.
    pub(crate) fn marks(&self) -> usize {
        self.marks.len()
    }

    /// Takes one step.
    pub(crate) fn step(&mut self, step: Step, chance: &mut Chance) -> Verdict {
        match step {
            Step::Commit(commits) => self.commit(&commits)?,
            Step::Group(sizes) => {
                let commits: Vec<_> =
                    sizes.iter().map(|bytes| self.author.single(*bytes)).collect();
                self.commit(&commits)?;
            }
            Step::Fill => {
                let watermark = if self.has_begun || chance.once_in(4) { 0 } else { 40 };
                let fill = self.author.fill(self.store.log_end() + watermark);
                let behind = self.author.single(16);
                match chance.once_in(2) {
                    true => self.commit(&[fill])?,
                    false => self.commit(&[fill, behind])?,
                }
            }
            Step::Retry(number) => {
                let number = number % self.model.commit_count().max(1);
                if let Some(commit) = self.model.commit_of(number) {
                    self.commit(&[commit])?;
                }
            }
            Step::Conflict => {
                let commit = self.author.conflict();
                self.commit(&[commit])?;
            }
            Step::Work(work) => _ = self.store.work(work),
            Step::Wait(micros) => self.model.let_pass(micros),
        }
        if chance.once_in(8) {
            oracle::holds(&self.store, &self.answered(), chance)?;
        }
        self.cover();
        self.mark();
        Ok(())
    }

    /// Does all the work that is due.
    pub(crate) fn work(&mut self, chance: &mut Chance) -> Verdict {
        for work in [Work::Prepare, Work::Freeze, Work::Merge, Work::Mark] {
            self.step(Step::Work(work), chance)?;
        }
        Ok(())
    }

    /// Returns what readers must see: what was acknowledged and nothing else.
    fn answered(&self) -> Expected {
        Expected { ends: vec![self.expected.least()], ..self.expected.clone() }
    }

    fn commit(&mut self, commits: &[Commit]) -> Verdict {
        if self.is_poisoned {
            return self.refuses(commits);
        }
        let least = self.expected.least();
        let wanted: Vec<_> = commits.iter().map(|commit| self.model.commit(commit)).collect();
        let ends = ends_of(&wanted, least);
        self.expect(least);
        self.mark_next();
        let results = self.store.commit_together(commits);
        let (mut durable, mut known) = (least, least);
        for ((result, wanted), end) in results.into_iter().zip(wanted).zip(ends) {
            match self.judge(result, wanted)? {
                Answer::Done => (durable, known) = (end, end),
                Answer::Unknown => known = end,
                Answer::Refused => {}
            }
        }
        self.has_begun |= durable > least;
        self.model.keep(known);
        self.expect(durable);
        Ok(())
    }

    /// Demands that a store that has said so takes no more writes.
    fn refuses(&mut self, commits: &[Commit]) -> Verdict {
        for result in self.store.commit_together(commits) {
            let is_refused = matches!(result, Err(Error::Poisoned { .. }));
            demand!(is_refused, "a poisoned store answers {result:?}");
        }
        Ok(())
    }

    fn expect(&mut self, least: usize) {
        self.expected = self.expected.carried_on(self.model.expected(least));
    }

    /// Judges the answer to one commit.
    fn judge(
        &mut self,
        result: annals::Result<CommitResult>,
        wanted: annals::Result<CommitResult>,
    ) -> Verdict<Answer> {
        match (result, wanted) {
            (Ok(result), Ok(wanted)) => {
                demand!(result == wanted, "a commit comes to {result:?}, not {wanted:?}");
                Ok(Answer::Done)
            }
            (Err(Error::OutcomeUnknown { .. }), _) if self.has_failures => {
                self.is_poisoned = true;
                Ok(Answer::Unknown)
            }
            (Err(Error::Poisoned { .. }), _) if self.has_failures => {
                self.is_poisoned = true;
                Ok(Answer::Refused)
            }
            (Err(_), Err(_)) => Ok(Answer::Refused),
            (Err(Error::NoSpace { .. } | Error::Io { .. }), _) if self.has_failures => {
                Ok(Answer::Refused)
            }
            (result, wanted) => Err(format!("a commit is answered {result:?}, not {wanted:?}")),
        }
    }

    /// Ends the life, by closing the store or not.
    pub(crate) fn end(mut self, closes: bool) -> Verdict<Life> {
        if closes {
            self.mark_next();
            let closed = self.store.close();
            demand!(closed.is_ok() || self.has_failures, "closing fails: {closed:?}");
        }
        let moments = self.disk.take_moments();
        self.disk.unplug();
        Ok(Life { moments, marks: self.marks })
    }
}

enum Answer {
    Done,
    /// Nothing was written.
    Refused,
    /// It may have been written.
    Unknown,
}

/// Returns how many events there are behind each of the commits that came to this.
fn ends_of(wanted: &[annals::Result<CommitResult>], least: usize) -> Vec<usize> {
    let mut end = least;
    let ends = wanted.iter().map(|wanted| {
        let written = wanted.iter().flat_map(|result| &result.appends);
        let written = written.filter(|append| append.appended > 0);
        let last = written.map(|append| append.global_position.get()).max();
        end = last.map_or(end, |last| usize::try_from(last).unwrap()).max(end);
        end
    });
    ends.collect()
}
