//! The store as a `Vec`: a naive reading of the contract, without any code of the crate that decides
//! or selects.

use std::fmt;

use annals::{Direction, ExpectedVersion};

/// The streams that take part, as aggregate type and aggregate id.
pub(crate) const STREAMS: [(&str, &str); 4] = [
    ("Order", "1"),
    ("Order", "0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6"),
    ("Parcel", "1"),
    ("Parcel", "p:2"),
];

/// An event as it is given to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) id: u128,
    pub(crate) event_type: &'static str,
    pub(crate) payload: Payload,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) tenant: Option<&'static str>,
    pub(crate) correlation: Option<u128>,
    pub(crate) occurred: Option<i64>,
    pub(crate) claimed: Option<u64>,
}

/// A payload, shown shortened.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Payload(pub(crate) String);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end: String = self.0.chars().rev().take(8).collect::<Vec<_>>().iter().rev().collect();
        write!(f, "{} bytes ending in {end:?}", self.0.len())
    }
}

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) stream: usize,
    pub(crate) version: u64,
    pub(crate) position: u64,
    pub(crate) recorded: i64,
    /// What the clock said at its commit.
    pub(crate) committed: i64,
    pub(crate) event: Plain,
}

#[derive(Debug, Clone)]
pub(crate) struct PlainAppend {
    pub(crate) stream: usize,
    pub(crate) expected: ExpectedVersion,
    pub(crate) events: Vec<Plain>,
}

#[derive(Debug, Clone)]
pub(crate) struct PlainCommit {
    pub(crate) appends: Vec<PlainAppend>,
    pub(crate) conditions: Vec<(PlainQuery, Option<u64>)>,
    pub(crate) reject: bool,
}

/// A query: `None` matches everything.
pub(crate) type PlainQuery = Option<Vec<Item>>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Item {
    pub(crate) types: Vec<&'static str>,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) categories: Vec<&'static str>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct PlainFilter {
    pub(crate) item: Item,
    pub(crate) tenant: Option<&'static str>,
    pub(crate) correlation: Option<u128>,
    pub(crate) occurred: (Option<i64>, Option<i64>),
    pub(crate) recorded: (Option<i64>, Option<i64>),
}

#[derive(Debug, Clone)]
pub(crate) struct PlainRead {
    pub(crate) direction: Direction,
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) after: Option<u64>,
    pub(crate) before: Option<u64>,
    pub(crate) limit: Option<u64>,
    pub(crate) filter: PlainFilter,
}

/// The result of one append: version, first and last position, events written, replayed.
pub(crate) type Answer = (u64, Option<u64>, u64, u64, bool);

/// Why a commit is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Id, stream and position of the holder, and in what the two differ.
    Taken(u128, usize, Option<u64>, &'static str),
    /// Every failure: a stream with its version, or a condition with the position that matched.
    Checks(Vec<Failure>),
    /// The position of a condition, and where the store ends.
    BeyondEnd(u64, u64),
    Duplicate(u128, Option<u64>),
    /// Id, claimed version, assigned version.
    Claim(u128, u64, u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    Version(usize, ExpectedVersion, u64),
    Condition(usize, u64),
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) rows: Vec<Row>,
    now: i64,
    /// The latest time the clock ever showed.
    latest: i64,
}

impl Model {
    pub(crate) fn turn_clock(&mut self, seconds: i64) -> i64 {
        self.now += seconds;
        self.latest = self.latest.max(self.now);
        self.now
    }

    /// A9: the time of a commit is for the store to choose, as long as no recorded time is later and
    /// the clock is not, but showed it at some time. Sets it for the newest `count` events.
    pub(crate) fn recorded_at(&mut self, recorded: i64, count: usize) {
        let known = self.rows.len() - count;
        let (before, new) = self.rows.split_at_mut(known);
        let floor = before.last().map_or(self.now, |last| last.recorded.max(self.now));
        assert!((floor..=self.latest).contains(&recorded), "{floor} {recorded} {}", self.latest);
        new.iter_mut().for_each(|row| row.recorded = recorded);
    }

    pub(crate) fn version(&self, stream: usize) -> u64 {
        self.of(stream).count() as u64
    }

    pub(crate) fn of(&self, stream: usize) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.stream == stream)
    }

    pub(crate) fn position(&self) -> u64 {
        self.rows.len() as u64
    }

    pub(crate) fn event(&self, id: u128) -> Option<&Row> {
        self.rows.iter().find(|row| row.event.id == id)
    }

    /// Commits as the contract says, in the order of its checks.
    pub(crate) fn commit(&mut self, commit: &PlainCommit) -> Result<Vec<Answer>, Refusal> {
        self.refuse_taken_ids(commit)?;
        let replayed = self.is_replay(commit);
        let mut after = self.rows.clone();
        if !replayed {
            self.refuse_another_history(commit)?;
            self.check(commit)?;
            if commit.reject {
                self.refuse_duplicates(commit)?;
            }
            after = self.written(commit);
        }
        refuse_claims(commit, &after)?;
        let answers = self.answers(commit, &after, replayed);
        self.rows = after;
        Ok(answers)
    }

    /// A5, A6: an id is that of one event, in one stream, with one type and one payload.
    fn refuse_taken_ids(&self, commit: &PlainCommit) -> Result<(), Refusal> {
        let mut seen: Vec<(usize, &Plain)> = Vec::new();
        for (stream, event) in flat(commit) {
            let known = self.event(event.id);
            let first = seen.iter().find(|(_, other)| other.id == event.id).copied();
            let holder = first.or(known.map(|row| (row.stream, &row.event)));
            if let Some((holder, other)) = holder {
                let position = known.map(|row| row.position);
                let taken = |how| Err(Refusal::Taken(event.id, holder, position, how));
                match () {
                    () if holder != stream => return taken("stream"),
                    () if other.event_type != event.event_type => return taken("event type"),
                    () if other.payload != event.payload => return taken("payload"),
                    () => {}
                }
            }
            seen.push((stream, event));
        }
        Ok(())
    }

    /// A3: every id is recorded, and those of each batch stand one behind the other.
    fn is_replay(&self, commit: &PlainCommit) -> bool {
        let mut seen: Vec<u128> = Vec::new();
        for append in &commit.appends {
            let mut versions = Vec::new();
            for event in &append.events {
                let Some(row) = self.event(event.id) else { return false };
                if seen.contains(&event.id) {
                    if commit.reject {
                        return false;
                    }
                } else {
                    versions.push(row.version);
                }
                seen.push(event.id);
            }
            if versions.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
                return false;
            }
        }
        !seen.is_empty()
    }

    /// C2: no condition looks after a position that the store does not have.
    fn refuse_another_history(&self, commit: &PlainCommit) -> Result<(), Refusal> {
        let end = self.rows.len() as u64;
        match commit.conditions.iter().filter_map(|(_, after)| *after).max() {
            Some(after) if after > end => Err(Refusal::BeyondEnd(after, end)),
            _ => Ok(()),
        }
    }

    /// A2, C2, C3: every check that fails.
    fn check(&self, commit: &PlainCommit) -> Result<(), Refusal> {
        let mut failures = Vec::new();
        let mut new: Vec<(usize, u128)> = Vec::new();
        for PlainAppend { stream, expected, events } in &commit.appends {
            let own = new.iter().filter(|(other, _)| other == stream).count() as u64;
            let actual = self.version(*stream) + own;
            let met = match expected {
                ExpectedVersion::Any => true,
                ExpectedVersion::NoStream => actual == 0,
                ExpectedVersion::StreamExists => actual > 0,
                ExpectedVersion::Exact(version) => version.get() == actual,
            };
            if !met {
                failures.push(Failure::Version(*stream, *expected, actual));
            }
            for event in events {
                if self.event(event.id).is_none() && !new.contains(&(*stream, event.id)) {
                    new.push((*stream, event.id));
                }
            }
        }
        for (index, (query, after)) in commit.conditions.iter().enumerate() {
            let after = after.unwrap_or(0);
            let first = self.rows.iter().find(|row| row.position > after && matches(query, row));
            failures.extend(first.map(|row| Failure::Condition(index, row.position)));
        }
        if failures.is_empty() { Ok(()) } else { Err(Refusal::Checks(failures)) }
    }

    /// A4 with reject: the first event that is known or stands twice in the commit.
    fn refuse_duplicates(&self, commit: &PlainCommit) -> Result<(), Refusal> {
        let mut seen = Vec::new();
        for (_, event) in flat(commit) {
            if seen.contains(&event.id) {
                return Err(Refusal::Duplicate(event.id, None));
            }
            if let Some(row) = self.event(event.id) {
                return Err(Refusal::Duplicate(event.id, Some(row.position)));
            }
            seen.push(event.id);
        }
        Ok(())
    }

    /// The rows with the new events of a commit behind them; their time is set by `recorded_at`.
    fn written(&self, commit: &PlainCommit) -> Vec<Row> {
        let mut rows = self.rows.clone();
        for (stream, event) in flat(commit) {
            if rows.iter().any(|row| row.event.id == event.id) {
                continue;
            }
            let version = rows.iter().filter(|row| row.stream == stream).count() as u64 + 1;
            let position = rows.len() as u64 + 1;
            let event = event.clone();
            let (recorded, committed) = (self.now, self.now);
            rows.push(Row { stream, version, position, recorded, committed, event });
        }
        rows
    }

    fn answers(&self, commit: &PlainCommit, after: &[Row], replayed: bool) -> Vec<Answer> {
        let row_of = |event: &Plain| after.iter().find(|row| row.event.id == event.id).unwrap();
        let mut answers = Vec::new();
        let mut written = self.rows.len();
        for (index, append) in commit.appends.iter().enumerate() {
            let upto = commit.appends[..=index].iter().filter(|one| one.stream == append.stream);
            let known = upto.flat_map(|one| &one.events).map(|event| row_of(event).version).max();
            let behind = commit.appends[index..].iter().filter(|one| one.stream == append.stream);
            let next = behind.flat_map(|one| &one.events).map(|event| row_of(event).version).next();
            let current = self.version(append.stream);
            let version = match (known, next) {
                (Some(known), _) if replayed => known,
                (None, Some(next)) if replayed => next - 1,
                (known, _) => known.unwrap_or(0).max(current),
            };
            let rows: Vec<_> = append.events.iter().map(row_of).collect();
            let new = rows.iter().map(|row| row.position as usize).filter(|at| *at > written);
            let newest = new.max().unwrap_or(written);
            let appended = (newest - written) as u64;
            written = newest;
            answers.push((
                version,
                rows.first().map(|row| row.position),
                rows.last().map_or(self.position(), |row| row.position),
                appended,
                replayed && !rows.is_empty(),
            ));
        }
        answers
    }

    /// What a read of these rows gives, as positions.
    pub(crate) fn read(&self, rows: impl Fn(&Row) -> Option<u64>, read: &PlainRead) -> Vec<u64> {
        let within = |number: u64| {
            read.from.is_none_or(|from| from <= number)
                && read.to.is_none_or(|to| number <= to)
                && read.after.is_none_or(|after| after < number)
                && read.before.is_none_or(|before| number < before)
        };
        let selected = self.rows.iter().filter(|row| rows(row).is_some_and(within));
        let passing = selected.filter(|row| passes(&read.filter, row));
        let mut positions: Vec<_> = passing.map(|row| row.position).collect();
        if read.direction == Direction::Backward {
            positions.reverse();
        }
        positions.truncate(read.limit.map_or(usize::MAX, |limit| limit as usize));
        positions
    }
}

fn flat(commit: &PlainCommit) -> impl Iterator<Item = (usize, &Plain)> {
    commit.appends.iter().flat_map(|one| one.events.iter().map(|event| (one.stream, event)))
}

/// S4: a claimed version is the one the event has.
fn refuse_claims(commit: &PlainCommit, after: &[Row]) -> Result<(), Refusal> {
    for (_, event) in flat(commit) {
        let has = after.iter().find(|row| row.event.id == event.id).unwrap().version;
        if event.claimed.is_some_and(|claimed| claimed != has) {
            return Err(Refusal::Claim(event.id, event.claimed.unwrap(), has));
        }
    }
    Ok(())
}

pub(crate) fn matches(query: &PlainQuery, row: &Row) -> bool {
    query.as_ref().is_none_or(|items| items.iter().any(|item| fits(item, row)))
}

fn fits(item: &Item, row: &Row) -> bool {
    (item.types.is_empty() || item.types.contains(&row.event.event_type))
        && (item.categories.is_empty() || item.categories.contains(&STREAMS[row.stream].0))
        && item.tags.iter().all(|tag| row.event.tags.contains(tag))
}

fn passes(filter: &PlainFilter, row: &Row) -> bool {
    let occurred = row.event.occurred.unwrap_or(row.committed);
    let within = |time: i64, (from, to): (Option<i64>, Option<i64>)| {
        from.is_none_or(|from| from <= time) && to.is_none_or(|to| time <= to)
    };
    fits(&filter.item, row)
        && (filter.tenant.is_none() || filter.tenant == row.event.tenant)
        && (filter.correlation.is_none() || filter.correlation == row.event.correlation)
        && within(occurred, filter.occurred)
        && within(row.recorded, filter.recorded)
}
