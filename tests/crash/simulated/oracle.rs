//! Judges a store that was opened after a crash: it holds everything acknowledged, nothing that was
//! never committed, no commit in part, and its index agrees with its log.

use annals::testing::simulation::{Crash, Moment, Severity, SimulatedDisk, SimulatedStore};
use annals::{
    Commit, EventStore, ExpectedVersion, Finding, NewEvent, Query, QueryItem, ReadOptions,
    RecordedEvent, StreamId,
};

use super::chance::Chance;
use super::model::Expected;
use super::settings::Settings;
use super::workload::streams;

/// What was found wrong, in words.
pub(crate) type Verdict<T = ()> = Result<T, String>;

/// Ends with an error unless something holds.
macro_rules! demand {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}
pub(crate) use demand;

/// Opens a store on a disk and judges it. Returns the store, and how many events it shows.
pub(crate) fn open(
    disk: &SimulatedDisk,
    expected: &Expected,
    settings: &Settings,
    chance: &mut Chance,
) -> Verdict<(SimulatedStore, usize)> {
    let before = disk.behind_cache();
    stands(&before, expected)?;
    let store = SimulatedStore::open(disk, &settings.of_store())
        .map_err(|error| format!("opening fails: {error}"))?;
    opened(disk, &before, &store)?;
    let shown = holds(&store, expected, chance)?;
    Ok((store, shown))
}

/// Judges what a disk holds beside the log, before it is opened.
pub(crate) fn stands(before: &Moment, expected: &Expected) -> Verdict {
    let covered = covered(before);
    demand!(covered >= expected.covered, "runs cover {covered} of {}", expected.covered);
    for (path, bytes) in &expected.kept {
        demand!(before.bytes_of(path).as_ref() == Some(bytes), "{path} has not what was cut");
    }
    Ok(())
}

/// Judges what an opening says. Returns the files with what was cut, and what they hold.
pub(crate) fn opened(
    disk: &SimulatedDisk,
    before: &Moment,
    store: &SimulatedStore,
) -> Verdict<Vec<(String, Vec<u8>)>> {
    let damage = store.findings().iter().find(|finding| finding.severity == Severity::Damage);
    demand!(damage.is_none(), "damage is found: {damage:?}");
    let cuts = store.findings().iter().filter(|finding| finding.kept_in.is_some());
    cuts.map(|finding| is_kept(before, &disk.now(), finding)).collect()
}

/// Judges what a store that is open shows. Returns how many events that is.
pub(crate) fn holds(
    store: &SimulatedStore,
    expected: &Expected,
    chance: &mut Chance,
) -> Verdict<usize> {
    let count = usize::try_from(store.global_position().unwrap().get()).unwrap();
    let ends = &expected.ends;
    demand!(ends.contains(&count), "it shows {count} events, not one of {ends:?}");
    let events = &expected.events[..count];
    let read = all_of(store.read_all(ReadOptions::new()))?;
    same(&read, events, "the log")?;
    let streams = streams();
    for id in &streams {
        let version = store.stream_version(id).map_err(|error| format!("{id}: {error}"))?;
        let wanted = events.iter().filter(|event| event.is_in(id)).count() as u64;
        demand!(version.get() == wanted, "{id} is at {version}, not {wanted}");
    }
    let id = &streams[chance.below(streams.len())];
    let read = all_of(store.read_stream(id, ReadOptions::new()))?;
    let own = events.iter().filter(|event| event.is_in(id));
    demand!(read.iter().eq(own), "{id} reads otherwise than it was written");
    by_index(store, expected, count, chance)
}

/// Judges answers that only the index gives: for some events, not all, since there are many states.
fn by_index(
    store: &SimulatedStore,
    expected: &Expected,
    count: usize,
    chance: &mut Chance,
) -> Verdict<usize> {
    let all = &expected.events;
    for number in (0..3.min(all.len())).map(|_| chance.below(all.len())).chain(count..all.len()) {
        let event = &all[number];
        let found = store.event(event.event_id()).map_err(|error| error.to_string())?;
        let wanted = Some(event).filter(|_| number < count);
        demand!(found.as_ref() == wanted, "the id of event {} finds {found:?}", number + 1);
    }
    let tag = format!("tag-{}", chance.below(3));
    let query = Query::from(QueryItem::new().tag(&tag));
    let read = all_of(store.read(&query, ReadOptions::new()))?;
    let own = all[..count].iter().filter(|event| event.tags().any(|own| own == tag));
    demand!(read.iter().eq(own), "{tag} finds other events than it is on");
    Ok(count)
}

/// Goes on with a store that was judged: nothing is left to be cut, commits that were in flight can be
/// retried, others get the next positions, and the next opening has nothing to say.
pub(crate) fn goes_on(
    disk: &SimulatedDisk,
    store: SimulatedStore,
    shown: usize,
    expected: &Expected,
    settings: &Settings,
) -> Verdict {
    let report = SimulatedStore::verify(disk).map_err(|error| format!("verify fails: {error}"))?;
    says_nothing(&report.findings, expected)?;
    demand!(report.events == shown as u64, "verify counts {} of {shown} events", report.events);
    silently_opened(&disk.now(), expected, settings)?;
    let flown = expected.shown(shown);
    let found = expected.in_flight.len() - flown.in_flight.len();
    for (number, commit) in expected.in_flight.iter().enumerate() {
        let retried = store.commit(commit.clone()).map_err(|error| format!("retry: {error}"))?;
        let is_known = retried.appends.iter().all(|append| append.replayed);
        demand!(is_known == (number < found), "retry {number} of {found} replayed: {is_known}");
    }
    let before = store.global_position().unwrap();
    let next = Commit::new().append(
        &StreamId::new("Later", "one").unwrap(),
        ExpectedVersion::NoStream,
        vec![NewEvent::new("Followed", "on")],
    );
    let result = store.commit(next).map_err(|error| format!("the next commit: {error}"))?;
    demand!(result.global_position == before.next(), "{result:?} follows {before}");
    silently_opened(&disk.now(), expected, settings)?;
    store.close().map_err(|error| format!("closing fails: {error}"))?;
    silently_opened(&disk.now(), expected, settings)
}

/// Opens a store for reading, then lets the power fail: what was shown must be there.
pub(crate) fn shows_lastingly(
    disk: &SimulatedDisk,
    expected: &Expected,
    settings: &Settings,
    chance: &mut Chance,
) -> Verdict {
    if settings.evictions_in_vain > 0 {
        // Nothing can be written again by who only reads: what the cache alone has is shown.
        return Ok(());
    }
    let store = match SimulatedStore::open_read_only(disk) {
        Ok(store) => store,
        Err(annals::Error::Missing { .. }) if !expected.is_made => return Ok(()),
        Err(error) => return Err(format!("opening for reading fails: {error}")),
    };
    let shown = holds(&store, expected, chance)?;
    drop(store);
    lasts(disk, shown, expected, settings, chance)
}

/// Opens a store for writing, then lets the power fail: what was shown must be there.
pub(crate) fn opens_lastingly(
    disk: &SimulatedDisk,
    expected: &Expected,
    settings: &Settings,
    chance: &mut Chance,
) -> Verdict {
    let (_store, shown) = open(disk, expected, settings, chance)?;
    lasts(disk, shown, expected, settings, chance)
}

fn lasts(
    disk: &SimulatedDisk,
    shown: usize,
    expected: &Expected,
    settings: &Settings,
    chance: &mut Chance,
) -> Verdict {
    let crashed = disk.now().crashed(Crash::Nothing);
    let ends = expected.ends.iter().copied().filter(|end| *end >= shown).collect();
    let expected = Expected { ends, ..expected.clone() };
    open(&crashed, &expected, settings, chance).map(drop)
}

/// Opens what the end of the process leaves of a store that has nothing in flight.
fn silently_opened(moment: &Moment, expected: &Expected, settings: &Settings) -> Verdict {
    let disk = moment.killed();
    // Whoever holds the cache goes on holding it.
    settings.apply(&disk);
    let store = SimulatedStore::open(&disk, &settings.of_store())
        .map_err(|error| format!("opening again fails: {error}"))?;
    says_nothing(store.findings(), expected)
}

/// Demands that nothing is found, but for bytes that the device gave back: in a sealed segment they
/// stay, and are noted.
fn says_nothing(findings: &[Finding], expected: &Expected) -> Verdict {
    let is_stray = |finding: &Finding| {
        expected.has_strays && finding.severity == Severity::Note && finding.what.contains("stray")
    };
    let found = findings.iter().find(|finding| !is_stray(finding));
    demand!(found.is_none(), "nothing is left to be found but {found:?}");
    Ok(())
}

/// Returns how many events the runs cover from the first on, by their names.
pub(crate) fn covered(moment: &Moment) -> u64 {
    let names = moment.names("index");
    let runs = names.iter().filter_map(|name| name.strip_suffix(".run")?.split_once('-'));
    let mut intervals: Vec<(u64, u64)> =
        runs.map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap())).collect();
    intervals.sort_unstable();
    intervals.iter().fold(0, |covered, (first, last)| match *first <= covered + 1 {
        true => covered.max(*last),
        false => covered,
    })
}

/// Demands that a cut keeps what stood there, and returns where and what.
fn is_kept(before: &Moment, after: &Moment, finding: &Finding) -> Verdict<(String, Vec<u8>)> {
    let path = |path: &std::path::Path| {
        let inner = path.strip_prefix("/simulated").unwrap_or(path);
        inner.to_str().unwrap().to_owned()
    };
    let kept_in = path(finding.kept_in.as_deref().unwrap_or(std::path::Path::new("nowhere")));
    let kept = after.bytes_of(&kept_in).unwrap_or_default();
    let stood = before.bytes_of(&path(&finding.file)).unwrap_or_default();
    let start = usize::try_from(finding.offset).unwrap().min(stood.len());
    demand!(!kept.is_empty() && stood[start..].starts_with(&kept), "{kept_in} is not what was cut");
    Ok((kept_in, kept))
}

fn all_of(
    events: annals::Result<impl Iterator<Item = annals::Result<RecordedEvent>>>,
) -> Verdict<Vec<RecordedEvent>> {
    let events = events.map_err(|error| error.to_string())?;
    events.collect::<Result<_, _>>().map_err(|error| format!("reading fails: {error}"))
}

fn same(read: &[RecordedEvent], events: &[RecordedEvent], what: &str) -> Verdict {
    let number = read.iter().zip(events).position(|(read, event)| read != event);
    match number {
        Some(number) => Err(format!("{what} has another event {}", number + 1)),
        None if read.len() != events.len() => {
            Err(format!("{what} gives {} of {} events", read.len(), events.len()))
        }
        None => Ok(()),
    }
}
