//! Lets the calls of a child to the system fail, one after the other, and kills it at each of them.
//!
//! `strace` does both from outside, so what runs is the program as it is. Its count of calls is one
//! for each thread. `ANNALS_FAULT_RUNS` says how many of the faults are tried, 0 for all of them;
//! `ANNALS_FAULT` tries a single one as a failure has named it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::child;
use crate::lives;
use crate::store::{fast_directory, size_from};

/// Calls that reach the files of a store.
const CALLS: &[&str] = &[
    "fadvise64",
    "fallocate",
    "fdatasync",
    "flock",
    "fsync",
    "ftruncate",
    "getdents64",
    "lseek",
    "mkdirat",
    "mmap",
    "openat",
    "pread64",
    "pwrite64",
    "renameat",
    "statx",
    "sync_file_range",
    "unlinkat",
];

/// Calls that only reading without maps makes often, and then very often: of those a sample is tried.
const READING_CALLS: &[&str] = &["pread64", "statx"];

const READING_SAMPLE: usize = 40;

/// Starts a thread. It names no file, and the first one is that of the test itself.
const START_THREAD: &str = "clone3";

/// What happens instead of a call, in the words of `strace`, and at how many calls.
const TROUBLES: &[(&str, Lasts)] = &[
    ("error=EIO", Lasts::OneCall),
    ("error=ENOSPC", Lasts::OneCall),
    ("error=ENOSPC", Lasts::ToTheEnd),
    ("error=EINTR", Lasts::OneCall),
    ("signal=SIGKILL", Lasts::OneCall),
];

/// A child that needs longer hangs: most need a hundredth of a second.
const DEADLINE: Duration = Duration::from_secs(60);

const SIGKILL: i32 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    OneCall,
    ToTheEnd,
}

/// How a child reads.
const MAPPED: &str = "live";
const POSITIONED: &str = "live with positioned reads";
const TASKS: &[&str] = &[MAPPED, POSITIONED];

#[derive(Debug, Clone)]
struct Fault {
    task: &'static str,
    call: String,
    number: u64,
    trouble: &'static str,
    lasts: Lasts,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasts = if self.lasts == Lasts::ToTheEnd { "+" } else { "" };
        write!(f, "{}, {}:{}:when={}{lasts}", self.task, self.call, self.trouble, self.number)
    }
}

/// Returns a command that runs a child under `strace`, as its own group of processes.
fn under_strace(task: &str, store: &Path, arguments: &[String]) -> Command {
    let child = child::of_this_program(task, store);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "--seccomp-bpf"]).args(arguments);
    strace.arg(child.get_program()).args(child.get_args());
    strace.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.env("RUST_BACKTRACE", "0").process_group(0);
    strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    strace
}

/// Runs a command to its end; `None` when it hangs, and then it is killed.
fn run(mut command: Command) -> Option<Output> {
    let process = command.spawn().unwrap();
    let group = process.id();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(process.wait_with_output().unwrap()));
    ended.recv_timeout(DEADLINE).ok().or_else(|| {
        let group = format!("-{group}");
        Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
        None
    })
}

/// What a child does when nothing fails.
struct Calls {
    /// The most that one thread makes of each.
    counts: BTreeMap<String, u64>,
    /// The files that they reach, by their paths from the store's parent.
    files: BTreeSet<String>,
}

/// Counts the calls of a child, or returns `None` where nobody can.
fn count_calls(task: &str) -> Option<Calls> {
    let directory = fast_directory();
    let trace = directory.path().join("trace");
    let calls = format!("trace={},{START_THREAD}", CALLS.join(","));
    let trace_argument = trace.to_str().unwrap().to_owned();
    let arguments = ["-y".to_owned(), "-o".to_owned(), trace_argument, "-e".to_owned(), calls];
    let strace = under_strace(task, &directory.path().join("store"), &arguments).output().ok()?;
    strace.status.success().then_some(())?;
    let text = std::fs::read_to_string(trace).unwrap();
    let within = directory.path().to_str().unwrap();
    let (mut by_thread, mut files) = (BTreeMap::<_, u64>::new(), BTreeSet::new());
    for line in text.lines().filter(|line| line.contains(within) || line.contains(START_THREAD)) {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        *by_thread.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        let named = rest.split(within).skip(1).filter_map(|rest| rest.split(['>', '"']).next());
        files.extend(named.map(|file| file.trim_start_matches('/').to_owned()));
    }
    let mut counts = BTreeMap::new();
    for ((call, _), count) in by_thread {
        let most = counts.entry(call).or_default();
        *most = count.max(*most);
    }
    Some(Calls { counts, files })
}

fn all_faults(task: &'static str, calls: &Calls) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (call, count) in &calls.counts {
        for number in numbers(task, call, *count) {
            faults.extend(TROUBLES.iter().map(|(trouble, lasts)| {
                let (trouble, lasts) = (*trouble, *lasts);
                Fault { task, call: call.clone(), number, trouble, lasts }
            }));
        }
    }
    faults
}

/// Returns which of so many calls fail.
fn numbers(task: &str, call: &str, count: u64) -> impl Iterator<Item = u64> {
    let (first, step) = match (task, call) {
        (MAPPED, START_THREAD) => (2, 1),
        (MAPPED, _) => (1, 1),
        _ if READING_CALLS.contains(&call) => {
            (1, usize::try_from(count).unwrap().div_ceil(READING_SAMPLE))
        }
        _ => (count + 1, 1),
    };
    (first..=count).step_by(step)
}

/// Lets a child meet a fault, and holds it and what it leaves to the promises. Tells whether the fault
/// was felt: the child was killed, or told of it.
fn meet(fault: &Fault, calls: &Calls) -> Result<bool, String> {
    let directory = fast_directory();
    let store = directory.path().join("store");
    let lasts = if fault.lasts == Lasts::ToTheEnd { "+" } else { "" };
    let Fault { call, trouble, number, .. } = fault;
    let inject = format!("inject={call}:{trouble}:when={number}{lasts}");
    let mut arguments = vec!["-o".to_owned(), "/dev/null".to_owned()];
    arguments.extend(["-e".to_owned(), format!("trace={call}"), "-e".to_owned(), inject]);
    if call != START_THREAD {
        let path = |file: &String| directory.path().join(file).to_str().unwrap().to_owned();
        arguments.extend(calls.files.iter().flat_map(|file| ["-P".to_owned(), path(file)]));
    }
    let output = run(under_strace(fault.task, &store, &arguments)).ok_or("it hangs")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said: Vec<_> = text.lines().filter_map(child::said).map(str::to_owned).collect();
    let panicked = String::from_utf8_lossy(&output.stderr);
    let is_killed = output.status.signal() == Some(SIGKILL);
    let has_ended = output.status.success() && said.last().is_some_and(|last| last == "ended");
    if !(has_ended || is_killed && trouble.contains("SIGKILL")) || panicked.contains("panicked") {
        return Err(format!("{}, {panicked}", output.status));
    }
    if let Some(wrong) = said.iter().find(|line| line.starts_with("wrong")) {
        return Err(wrong.clone());
    }
    lives::check(&store, lives::told(&said))
        .map_err(|wrong| format!("{wrong}; it said {said:?}"))?;
    Ok(is_killed || said.iter().any(|line| line.starts_with("error")))
}

/// Picks so many of the faults, spread over all of them: one at random of every few neighbours, since at
/// regular distances they could all be of one kind.
fn pick(faults: &[Fault], runs: u64) -> Vec<&Fault> {
    let neighbours = match usize::try_from(runs).unwrap() {
        0 => 1,
        runs => (faults.len() / runs).max(1),
    };
    let one_of = |faults: &'_ [Fault]| {
        usize::try_from(uuid::Uuid::new_v4().as_u128() % faults.len() as u128).unwrap()
    };
    faults.chunks(neighbours).map(|some| &some[one_of(some)]).collect()
}

#[test]
fn a_failure_or_a_kill_at_any_call_to_the_system_loses_nothing_that_was_acknowledged() {
    const THREADS: usize = 2;
    let counted: Option<Vec<_>> = TASKS.iter().map(|task| count_calls(task)).collect();
    let Some(counted) = counted else {
        return eprintln!(
            "skipped: a_failure_or_a_kill_at_any_call: strace is not there or may not"
        );
    };
    let faults: Vec<_> =
        TASKS.iter().zip(&counted).flat_map(|(task, calls)| all_faults(task, calls)).collect();
    let only = std::env::var("ANNALS_FAULT").ok();
    let mut picked = pick(&faults, size_from("ANNALS_FAULT_RUNS", 60));
    if let Some(only) = only {
        picked = faults.iter().filter(|fault| fault.to_string() == only).collect();
    }
    let met: Vec<Result<bool, String>> = std::thread::scope(|scope| {
        let meet_some = |thread: usize| {
            let (picked, counted) = (&picked, &counted);
            move || {
                let met = picked.iter().skip(thread).step_by(THREADS).map(|fault| {
                    let task = TASKS.iter().position(|task| *task == fault.task).unwrap();
                    meet(fault, &counted[task]).map_err(|wrong| format!("{fault}: {wrong}"))
                });
                met.collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(meet_some(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let felt = met.iter().filter(|met| **met == Ok(true)).count();
    eprintln!("{} of {} faults were tried, {felt} were felt", met.len(), faults.len());
    let broken: Vec<_> = met.into_iter().filter_map(Result::err).collect();
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), picked.len(), broken.join("\n"));
    assert!(felt > picked.len() / 3, "the faults do not reach the store");
}
