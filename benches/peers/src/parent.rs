//! The rounds: starts one process after another and collects what they print.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use crate::engines::Name;
use crate::measure;
use crate::picture;
use crate::placement::Placement;
use crate::report;
use crate::results::{Figures, Results};
use crate::shared::machine::file_system_of;
use crate::strace;
use crate::work::Work;
use crate::workload::EVENTS_PER_STREAM;

/// What is run, and where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Events that fill the store: a multiple of a hundred.
    #[arg(long, env = "PEERS_EVENTS", default_value_t = 1_000_000)]
    pub events: u64,
    /// Rounds; at least three for a table that is published.
    #[arg(long, env = "PEERS_ROUNDS", default_value_t = 3)]
    pub rounds: u32,
    /// Seconds that each kind of durable append is measured.
    #[arg(long, env = "PEERS_SECONDS", default_value_t = 2.0)]
    pub seconds: f64,
    /// Questions of each kind.
    #[arg(long, default_value_t = 20_000)]
    pub questions: u64,
    /// Seconds without a change on the disk before a filled store is measured.
    #[arg(long, default_value_t = 3.0)]
    pub quiet: f64,
    /// The number that all events follow from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A directory on the disk to measure; a new folder is made in it and removed at the end.
    #[arg(long, env = "PEERS_DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target"))]
    pub directory: PathBuf,
    /// The engines, in the order in which they take turns; all when not given.
    #[arg(long, value_delimiter = ',')]
    pub engines: Vec<Name>,
    /// The pieces of work; all when not given. What they need is done before them.
    #[arg(long, value_delimiter = ',')]
    pub works: Vec<Work>,
    /// The folder for the two pictures; when not given `docs` of the repository for a run of everything in at
    /// least three rounds, else none.
    #[arg(long)]
    pub pictures: Option<PathBuf>,
    /// Everything once and tiny: that it works, not how fast.
    #[arg(long)]
    pub quick: bool,
}

impl Options {
    fn completed(mut self) -> Self {
        if self.quick {
            (self.events, self.rounds, self.questions) = (2000, 1, 100);
            (self.seconds, self.quiet) = (0.02, 0.05);
        }
        let is_everything = self.engines.is_empty() && self.works.is_empty() && !self.quick;
        if self.pictures.is_none() && is_everything && self.rounds >= 3 {
            self.pictures = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs").into());
        }
        if self.engines.is_empty() {
            self.engines = Name::value_variants().to_vec();
        }
        if self.works.is_empty() {
            self.works = Work::value_variants().to_vec();
        }
        let needed: Vec<_> = self.works.iter().flat_map(|work| work.needs()).copied().collect();
        self.works.extend(needed);
        self.works.sort_unstable();
        self.works.dedup();
        assert!(self.events.is_multiple_of(EVENTS_PER_STREAM), "streams have a hundred events");
        self
    }
}

pub fn run(options: Options) {
    let options = options.completed();
    fs::create_dir_all(&options.directory).unwrap();
    let file_system = file_system_of(&options.directory);
    assert!(
        file_system.as_deref() != Some("tmpfs"),
        "the directory is in memory: name one on a disk"
    );
    let root = options.directory.join(format!("peers-{}", std::process::id()));
    let mut rounds = Rounds { options: &options, root: &root, results: Results::default() };
    rounds.place_lone_appenders();
    for number in 1..=options.rounds {
        eprintln!("round {number} of {}", options.rounds);
        rounds.round();
    }
    if strace::is_available() {
        eprintln!("counting syncs");
        rounds.count_syncs();
    } else {
        eprintln!("strace is not there or may not trace: syncs are not counted");
    }
    let results = rounds.results;
    println!("{}", report::markdown(&options, &results));
    if let Some(folder) = &options.pictures {
        fs::create_dir_all(folder).unwrap();
        for (name, drawn) in picture::all(&options, &results) {
            fs::write(folder.join(name), drawn).unwrap();
        }
    }
}

struct Rounds<'a> {
    options: &'a Options,
    root: &'a Path,
    results: Results,
}

impl Rounds<'_> {
    fn place_lone_appenders(&mut self) {
        const SECONDS: f64 = 0.5;
        eprintln!("where raw appends are fastest");
        let own = Options { seconds: self.options.seconds.min(SECONDS), ..self.options.clone() };
        self.results.placement = Placement::fastest(|processor| {
            let rounds = Rounds { options: &own, root: self.root, results: Results::default() };
            let mut child = rounds.child(Command::new(program()), Name::Raw, Work::Append1, 0);
            child.arg(format!("--processor={processor}"));
            let figures = run_child(&mut child, Work::Append1);
            fs::remove_dir_all(self.root).unwrap();
            figures["p50_ns"]
        });
    }

    fn round(&mut self) {
        self.results.begin_round();
        let mut appended: BTreeMap<Name, u64> = BTreeMap::new();
        for &work in &self.options.works {
            for &engine in self.options.engines.iter().filter(|engine| work.suits(**engine)) {
                let directory = self.directory(engine, work);
                let before = appended.get(&engine).copied().unwrap_or(0);
                let mut child = self.child(Command::new(program()), engine, work, before);
                let mut figures = run_child(&mut child, work);
                if work == Work::Read {
                    let bytes = measure::disk_bytes(&directory) as f64;
                    let share = bytes / self.options.events as f64;
                    figures.insert("disk_bytes_per_event".to_owned(), share);
                }
                if work.is_on_the_filled_store() {
                    let more = figures.get("appended").map_or(0, |events| *events as u64);
                    *appended.entry(engine).or_default() += more;
                } else {
                    fs::remove_dir_all(directory).unwrap();
                }
                self.results.add(engine, work, figures);
            }
        }
        fs::remove_dir_all(self.root).unwrap();
    }

    fn count_syncs(&mut self) {
        fs::create_dir_all(self.root).unwrap();
        let works = self.options.works.iter().filter(|work| !work.is_on_the_filled_store());
        for &work in works {
            for &engine in &self.options.engines {
                let directory = self.directory(engine, work);
                let log = directory.with_extension("strace");
                let mut command = strace::command(&log);
                command.arg(program());
                let figures = run_child(&mut self.child(command, engine, work, 0), work);
                let syncs = strace::syncs(&log, figures["began_at"], figures["ended_at"]);
                let each = syncs as f64 / figures["commits"];
                self.results.syncs.insert((engine, work), each);
                fs::remove_dir_all(directory).unwrap();
            }
        }
        fs::remove_dir_all(self.root).unwrap();
    }

    /// Makes the directory of a store: one a round, or one for a single piece of work.
    fn directory(&self, engine: Name, work: Work) -> PathBuf {
        let kind = if work.is_on_the_filled_store() { "filled" } else { "own" };
        let directory = self.root.join(format!("{}-{kind}", engine.title()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn child(&self, mut command: Command, engine: Name, work: Work, appended: u64) -> Command {
        let options = self.options;
        command.arg("child");
        let mut argument = |name: &str, value: &str| {
            command.arg(format!("--{name}={value}"));
        };
        let value = |name: &dyn ToString| name.to_string();
        argument("engine", engine.to_possible_value().unwrap().get_name());
        argument("work", work.to_possible_value().unwrap().get_name());
        argument("directory", self.directory(engine, work).to_str().unwrap());
        for (name, number) in [
            ("events", value(&options.events)),
            ("seed", value(&options.seed)),
            ("seconds", value(&options.seconds)),
            ("questions", value(&options.questions)),
            ("quiet", value(&options.quiet)),
            ("appended", value(&appended)),
        ] {
            argument(name, &number);
        }
        if let Some(placement) = &self.results.placement {
            argument("processor", &value(&placement.processor));
        }
        command
    }
}

fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// Runs a child to its end, or kills it when it has said what it appended and waits for that.
fn run_child(command: &mut Command, work: Work) -> Figures {
    eprintln!("  {}", shown(command));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if work == Work::Die {
        child.kill().unwrap();
        child.wait().unwrap();
    } else {
        assert!(child.wait().unwrap().success(), "a child failed; what it said is above");
    }
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn shown(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    let named = arguments
        .filter(|argument| argument.starts_with("--engine=") || argument.starts_with("--work="));
    named.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Parent {
        #[command(flatten)]
        options: Options,
    }

    fn completed(arguments: &[&str]) -> Options {
        let line = ["peers"].iter().chain(arguments);
        <Parent as clap::Parser>::parse_from(line).options.completed()
    }

    #[test]
    fn what_a_piece_of_work_needs_is_done_before_it_and_once() {
        let works = |arguments: &[&str]| completed(arguments).works;
        assert_eq!(works(&["--works", "read,append1"]), [Work::Append1, Work::Bulk, Work::Read]);
        assert_eq!(works(&["--works", "bulk"]), [Work::Bulk]);
        let after_kill = [Work::Bulk, Work::Die, Work::OpenKilled];
        assert_eq!(works(&["--works", "open-killed,bulk,bulk"]), after_kill);
        assert_eq!(works(&[]), Work::value_variants());
    }

    #[test]
    fn only_a_whole_run_draws_the_pictures_of_the_repository() {
        let draws = |arguments: &[&str]| completed(arguments).pictures.is_some();
        assert!(draws(&[]));
        for part in [["--works", "bulk"], ["--engines", "annals"], ["--rounds", "2"]] {
            assert!(!draws(&part), "{part:?}");
        }
        assert!(!draws(&["--quick"]));
        assert!(draws(&["--works", "bulk", "--pictures", "elsewhere"]));
    }

    #[test]
    fn the_options_of_a_child_are_those_that_it_understands() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: crate::child::Options,
        }
        let options = completed(&["--quick"]);
        let root = std::env::temp_dir().join(format!("peers-options-{}", std::process::id()));
        let placement = Placement::fastest(|_| 1.0);
        let processor = placement.as_ref().map(|placement| placement.processor);
        let mut results = Results::default();
        results.placement = placement;
        let rounds = Rounds { options: &options, root: &root, results };
        let command = rounds.child(Command::new("peers"), Name::Redb, Work::AppendFull, 7);
        let line = std::iter::once(command.get_program()).chain(command.get_args().skip(1));
        let line = <Line as clap::Parser>::parse_from(line.collect::<Vec<_>>()).options;
        fs::remove_dir_all(&root).unwrap();
        assert_eq!((line.engine, line.work, line.appended), (Name::Redb, Work::AppendFull, 7));
        assert_eq!(line.processor, processor);
    }
}
