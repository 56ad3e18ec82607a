//! The table: what annals must reach, what it reaches, and what the peers reach.

use std::fmt::Write;

use crate::engines::Name;
use crate::machine;
use crate::parent::Options;
use crate::results::Results;
use crate::work::Work;

/// One line of the table.
pub struct Row {
    pub title: &'static str,
    pub work: Work,
    pub source: Source,
    /// What a figure is multiplied with, to be in the unit of the title.
    pub scale: f64,
    pub is_better: Better,
    pub must: &'static [Must],
    pub picture: Option<Picture>,
}

/// The picture that shows a line, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    Appends,
    Reads,
}

/// Where a figure comes from.
#[derive(Clone, Copy)]
pub enum Source {
    /// What the children printed, by name.
    Figure(&'static str),
    /// Syncs for a commit, from the round that counts them.
    SyncsPerCommit,
    /// Events for a sync, from the same.
    EventsPerSync,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
    /// The figure explains others.
    Neither,
}

/// What annals must reach, as the most or the least that a figure may be; of several, one is enough.
#[derive(Clone, Copy)]
pub enum Must {
    Most(f64),
    Least(f64),
    MostOfRaw(f64),
    LeastOfRaw(f64),
}

use Better::{Higher, Lower, Neither};
use Must::{Least, LeastOfRaw, Most, MostOfRaw};
use Source::{EventsPerSync, Figure, SyncsPerCommit};

const fn row(title: &'static str, work: Work, source: Source, scale: f64) -> Row {
    Row { title, work, source, scale, is_better: Neither, must: &[], picture: None }
}

impl Row {
    const fn must(self, is_better: Better, must: &'static [Must]) -> Self {
        Self { is_better, must, ..self }
    }

    const fn drawn(self, picture: Picture) -> Self {
        Self { picture: Some(picture), ..self }
    }

    pub fn value(&self, results: &Results, engine: Name) -> Option<f64> {
        let syncs = results.syncs.get(&(engine, self.work)).copied();
        let found = match self.source {
            Figure(name) => results.figure(engine, self.work, name),
            SyncsPerCommit => syncs,
            EventsPerSync => syncs.map(|syncs| self.events_per_commit() / syncs),
        };
        found.map(|value| value * self.scale)
    }

    fn events_per_commit(&self) -> f64 {
        self.work.load().map_or(1.0, |load| load.events_per_commit as f64)
    }

    fn ratio(&self, results: &Results, to: Name) -> Option<f64> {
        match self.source {
            Figure(name) => results.ratio(Name::Annals, to, self.work, name),
            _ => Some(self.value(results, Name::Annals)? / self.value(results, to)?),
        }
    }

    /// Tells whether annals reaches what it must; `None` when that was not measured.
    fn is_reached(&self, results: &Results) -> Option<bool> {
        let value = self.value(results, Name::Annals);
        let ratio = self.ratio(results, Name::Raw);
        let outcomes: Vec<bool> = self
            .must
            .iter()
            .filter_map(|must| match *must {
                Most(limit) => Some(value? <= limit),
                Least(limit) => Some(value? >= limit),
                MostOfRaw(limit) => Some(ratio? <= limit),
                LeastOfRaw(limit) => Some(ratio? >= limit),
            })
            .collect();
        if outcomes.is_empty() { None } else { Some(outcomes.contains(&true)) }
    }

    fn best_peer(&self, results: &Results, engines: &[Name]) -> Option<Name> {
        let peers = engines.iter().filter(|peer| !matches!(peer, Name::Raw | Name::Annals));
        let measured = peers.filter_map(|peer| Some((*peer, self.value(results, *peer)?)));
        let by_value = |a: &(Name, f64), b: &(Name, f64)| a.1.total_cmp(&b.1);
        match self.is_better {
            Lower => measured.min_by(by_value).map(|(peer, _)| peer),
            Higher => measured.max_by(by_value).map(|(peer, _)| peer),
            Neither => None,
        }
    }
}

const MICROS: f64 = 1e-3;
const MILLIS: f64 = 1e-6;
const MEBIBYTES: f64 = 1.0 / (1 << 20) as f64;
const P50: Source = Figure("p50_ns");
const RATE: Source = Figure("events_per_second");
const BYTES: Source = Figure("bytes_per_event");

/// All lines, in order.
pub const ROWS: &[Row] = &[
    row("durable append, 1 thread, empty store, p50 µs", Work::Append1, P50, MICROS)
        .must(Lower, &[MostOfRaw(1.05)])
        .drawn(Picture::Appends),
    row("durable append, 1 thread, filled store, p50 µs", Work::AppendFull, P50, MICROS)
        .must(Lower, &[MostOfRaw(1.1)])
        .drawn(Picture::Appends),
    row("durable append, 8 threads, events/s", Work::Append8, RATE, 1.0)
        .must(Higher, &[LeastOfRaw(1.2)])
        .drawn(Picture::Appends),
    row("durable append, 64 threads, events/s", Work::Append64, RATE, 1.0)
        .must(Higher, &[LeastOfRaw(0.9)])
        .drawn(Picture::Appends),
    row("events a sync, 8 threads", Work::Append8, EventsPerSync, 1.0).must(Higher, &[Least(7.0)]),
    row("events a sync, 64 threads", Work::Append64, EventsPerSync, 1.0)
        .must(Higher, &[Least(50.0)]),
    row("durable, 100 events a commit, events/s", Work::Append100, RATE, 1.0)
        .must(Higher, &[LeastOfRaw(0.8)])
        .drawn(Picture::Appends),
    row("bulk load, one sync at the end, events/s", Work::Bulk, RATE, 1.0)
        .must(Higher, &[Least(2e6), LeastOfRaw(0.35)])
        .drawn(Picture::Appends),
    row("load of a random 100-event stream, p50 µs", Work::Read, Figure("load_ns"), MICROS)
        .must(Lower, &[Most(30.0)])
        .drawn(Picture::Reads),
    row("scan of everything, events/s", Work::Read, Figure("scan_events_per_second"), 1.0)
        .must(Higher, &[LeastOfRaw(0.8)])
        .drawn(Picture::Reads),
    row("`stream_version`, half misses, p50 µs", Work::Read, Figure("version_ns"), MICROS)
        .must(Lower, &[Most(0.4)])
        .drawn(Picture::Reads),
    row("`event_exists`, half misses, p50 µs", Work::Read, Figure("exists_ns"), MICROS)
        .must(Lower, &[Most(0.8)])
        .drawn(Picture::Reads),
    row("open after a clean close, ms", Work::Open, Figure("open_ns"), MILLIS)
        .must(Lower, &[Most(5.0)])
        .drawn(Picture::Reads),
    row("open after kill -9, ms", Work::OpenKilled, Figure("open_ns"), MILLIS)
        .must(Lower, &[Most(60.0)])
        .drawn(Picture::Reads),
    row("disk an event, indexes included, bytes", Work::Read, Figure("disk_bytes_per_event"), 1.0)
        .must(Lower, &[Most(350.0)])
        .drawn(Picture::Reads),
    row(
        "RssAnon at the end of the bulk load, MiB",
        Work::Bulk,
        Figure("anonymous_bytes"),
        MEBIBYTES,
    )
    .must(Lower, &[Most(64.0)])
    .drawn(Picture::Reads),
    row("syncs a commit, 1 thread", Work::Append1, SyncsPerCommit, 1.0),
    row("syncs a commit, 8 threads", Work::Append8, SyncsPerCommit, 1.0),
    row("syncs a commit, 100 events each", Work::Append100, SyncsPerCommit, 1.0),
    row("bytes written an event, 1 thread", Work::Append1, BYTES, 1.0),
    row("bytes written an event, 64 threads", Work::Append64, BYTES, 1.0),
    row("bytes written an event, 100 a commit", Work::Append100, BYTES, 1.0),
];

/// Returns the table and what has to be known to read it.
pub fn markdown(options: &Options, results: &Results) -> String {
    let peers: Vec<Name> = options.engines.iter().copied().filter(|e| is_peer(*e)).collect();
    let tiny = if options.quick { "Tiny: that it works, not how fast. " } else { "" };
    let mut text = format!(
        "{tiny}{}. {} events of 200-byte payloads in streams of 100, seed {}; {} rounds, {} s of each kind \
         of append, {} questions of each kind. \"n/a\" is what an engine does not offer or what was \
         not measured.\n\n",
        machine::described(&options.directory),
        grouped(options.events as f64),
        options.seed,
        options.rounds,
        options.seconds,
        options.questions,
    );
    let heads: Vec<_> = peers.iter().map(|peer| peer.title()).collect();
    let heads = heads.join(" | ");
    writeln!(
        text,
        "| | raw | annals | annals / raw | must reach | reached | {heads} | best peer |"
    )
    .unwrap();
    writeln!(text, "|---|{}", "---|".repeat(peers.len() + 6)).unwrap();
    for row in ROWS {
        writeln!(text, "{}", line(row, results, &peers)).unwrap();
    }
    notes(&mut text, options, results);
    text
}

fn is_peer(engine: Name) -> bool {
    !matches!(engine, Name::Raw | Name::Annals)
}

fn line(row: &Row, results: &Results, peers: &[Name]) -> String {
    let value = |engine| shown(row.value(results, engine));
    let ratio = row.ratio(results, Name::Raw).map_or("n/a".into(), |ratio| format!("{ratio:.2}"));
    let best = row.best_peer(results, peers).map_or("".into(), |peer| {
        let ratio = row.ratio(results, peer).map_or("n/a".into(), |ratio| format!("{ratio:.2}"));
        format!("{}, annals / it {ratio}", peer.title())
    });
    let reached = match row.is_reached(results) {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    };
    let mut cells = vec![row.title.to_owned(), value(Name::Raw), value(Name::Annals), ratio];
    cells.extend([musts(row.must), reached.to_owned()]);
    cells.extend(peers.iter().map(|peer| value(*peer)));
    cells.push(best);
    format!("| {} |", cells.join(" | "))
}

fn musts(musts: &[Must]) -> String {
    let each = musts.iter().map(|must| match *must {
        Most(limit) => format!("at most {}", short(limit)),
        Least(limit) => format!("at least {}", short(limit)),
        MostOfRaw(limit) => format!("at most {limit} x raw"),
        LeastOfRaw(limit) => format!("at least {limit} x raw"),
    });
    each.collect::<Vec<_>>().join(" or ")
}

fn short(limit: f64) -> String {
    if limit < 1000.0 { limit.to_string() } else { grouped(limit) }
}

fn notes(text: &mut String, options: &Options, results: &Results) {
    text.push('\n');
    let counted = if results.syncs.is_empty() {
        "Syncs were not counted: strace is not there or may not trace."
    } else {
        "Syncs are calls of `fdatasync`, `fsync`, `msync` and `syncfs`, counted by strace in a run of \
         their own; LMDB also writes a page through a file opened with `O_DSYNC`, which is a sync that \
         no call shows."
    };
    let placement = results.placement.as_ref().map(|it| format!(" {}", it.described()));
    let placement = placement.unwrap_or_default();
    writeln!(
        text,
        "{counted} Bytes written are those of `/proc/self/io`: whole pages, when they become dirty. \
         Ratios are medians of the ratios within a round.{placement}\n"
    )
    .unwrap();
    for engine in &options.engines {
        let version =
            machine::version(*engine).map_or(String::new(), |version| format!(" {version}"));
        let package = engine.package().unwrap_or_default();
        let package = if package.eq_ignore_ascii_case(engine.title()) { "" } else { package };
        let title = [engine.title(), package].join(" ");
        writeln!(text, "- {}{version}: {}", title.trim_end(), engine.settings()).unwrap();
    }
}

/// Shows a figure with about three digits that count.
pub fn shown(value: Option<f64>) -> String {
    match value {
        None => "n/a".to_owned(),
        Some(value) if !value.is_finite() => "n/a".to_owned(),
        Some(value) if value >= 100.0 => grouped(value),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// Shows a whole number in groups of three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Figures;

    fn results(rounds: &[(f64, f64)]) -> Results {
        let mut results = Results::default();
        let figures = |value| Figures::from([("events_per_second".to_owned(), value)]);
        for (raw, annals) in rounds {
            results.begin_round();
            results.add(Name::Raw, Work::Append8, figures(*raw));
            results.add(Name::Annals, Work::Append8, figures(*annals));
        }
        results
    }

    fn eight_threads() -> &'static Row {
        ROWS.iter().find(|row| row.work == Work::Append8).unwrap()
    }

    #[test]
    fn a_ratio_is_the_median_of_those_within_a_round() {
        // The median of annals over the median of raw would be 3 / 2.
        let results = results(&[(1.0, 3.0), (2.0, 2.6), (10.0, 11.0)]);
        assert_eq!(eight_threads().ratio(&results, Name::Raw), Some(1.3));
        assert_eq!(eight_threads().is_reached(&results), Some(true));
    }

    #[test]
    fn what_is_not_reached_is_said_and_what_was_not_measured_is_not() {
        assert_eq!(eight_threads().is_reached(&results(&[(1.0, 1.1)])), Some(false));
        assert_eq!(eight_threads().is_reached(&Results::default()), None);
    }

    #[test]
    fn figures_are_grouped_in_threes() {
        assert_eq!(shown(Some(1_234_567.8)), "1,234,568");
        assert_eq!(shown(Some(100.4)), "100");
        assert_eq!(shown(Some(0.128)), "0.13");
    }
}
