//! Kills a process in which eight writers append, a subscription goes on from its checkpoint and a
//! projection counts, ten times: every event is delivered and counted once all the same.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread;

use annals::{
    Checkpoint, EventStore, FileStore, ProjectionOptions, ProjectionRunner, ReadOptions,
    Subscription,
};
use uuid::Uuid;

use crate::applications::{ByState, States, WRITERS, append_share, lines};
use crate::child;

const KILLS: u64 = 10;

/// Events after which the subscription saves its checkpoint.
const SAVED_EVERY: u64 = 64;

/// The child: appends what is missing, follows, and says what was delivered and what is saved.
pub(crate) fn append_and_follow(path: &Path) {
    let store = &FileStore::open(path).unwrap();
    let lines = &lines();
    thread::scope(|scope| {
        scope.spawn(|| follow(store));
        scope.spawn(|| {
            let options = ProjectionOptions::new().batch_events(100);
            ProjectionRunner::open(store, "by-state", ByState, options).unwrap().run().unwrap();
        });
        for writer in 0..WRITERS {
            scope.spawn(move || append_share(store, lines, writer));
        }
    });
}

fn follow(store: &FileStore) {
    let mut checkpoint = Checkpoint::load(store, "follower").unwrap();
    child::say(&format!("from {}", checkpoint.position()));
    let mut subscription = Subscription::new(store, checkpoint.start()).unwrap();
    while let Some(event) = subscription.next() {
        let event = event.unwrap();
        child::say(&format!("event {} {}", event.global_position(), event.event_id()));
        if event.global_position().get().is_multiple_of(SAVED_EVERY) {
            checkpoint.save(subscription.reached()).unwrap();
            child::say(&format!("saved {}", checkpoint.position()));
        }
    }
}

/// What the children were told and said, life after life.
#[derive(Default)]
struct Told {
    /// By position.
    delivered: BTreeMap<u64, Uuid>,
    /// The last position that was delivered.
    last: u64,
    saved: u64,
    repeated: u64,
}

impl Told {
    fn hear(&mut self, said: &str) {
        let mut words = said.split(' ');
        let what = words.next().unwrap_or_default();
        let Some(Ok(position)) = words.next().map(str::parse::<u64>) else { return };
        match (what, words.next().map(Uuid::try_parse)) {
            ("from", _) => {
                assert!(position >= self.saved, "a checkpoint that was saved is lost");
                assert!(position <= self.last, "it begins behind what was delivered");
                self.repeated += self.last - position;
                self.last = position;
            }
            ("saved", _) => self.saved = position,
            // A line that the kill has cut off says nothing.
            ("event", Some(Ok(id))) => {
                assert_eq!(position, self.last + 1, "delivered out of order");
                let before = self.delivered.insert(position, id);
                assert!(before.is_none_or(|before| before == id), "{position} is another event");
                self.last = position;
            }
            _ => {}
        }
    }
}

/// Runs a child until so many events were delivered in all, and kills it.
fn run_until(path: &Path, told: &mut Told, delivered: usize) {
    let mut process = child::on(path).spawn().unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    let mut is_killed = false;
    for line in output.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        told.hear(child::said(&line).unwrap_or_default());
        if told.delivered.len() >= delivered && !is_killed {
            // On Unix this is SIGKILL. What the child had said before is still read.
            process.kill().unwrap();
            is_killed = true;
        }
    }
    process.wait().unwrap();
    assert!(is_killed, "the child ended by itself after {} events", told.delivered.len());
}

#[test]
fn a_follower_and_a_projection_that_are_killed_ten_times_miss_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let lines = lines();
    let mut told = Told::default();
    for kill in 1..=KILLS {
        let share = lines.len() as u64 * kill / (KILLS + 1);
        run_until(&path, &mut told, usize::try_from(share).unwrap());
    }
    run_until(&path, &mut told, lines.len());

    let store = FileStore::open(&path).unwrap();
    let recorded = store.read_all(ReadOptions::new()).unwrap().map(|event| {
        let event = event.unwrap();
        (event.global_position().get(), event.event_id().as_uuid())
    });
    assert!(recorded.eq(told.delivered), "what was delivered is not what was recorded");

    let options = ProjectionOptions::new();
    let mut runner = ProjectionRunner::open(&store, "by-state", ByState, options).unwrap();
    let kept = runner.reached();
    runner.catch_up().unwrap();
    let expected = States::after(&lines);
    let view = runner.view();
    view.read(|states| assert_eq!(states.counts(), expected.counts()));
    assert!(view.read(|states| *states == expected), "an event counts twice, or not at all");
    eprintln!(
        "{} events, {KILLS} kills: {} deliveries came again behind a checkpoint, the projection had \
         kept {kept} at the last kill; {:?}",
        lines.len(),
        told.repeated,
        expected.counts()
    );
}
