//! What is kept of one history of a store is not continued from in another (CONTRACT F5).

use std::fs;
use std::path::Path;

use annals::{
    Checkpoint, DeadLetter, Delivery, Error, EventId, EventStore, ExpectedVersion, FileStore,
    GlobalPosition, Handled, MemoryStore, NewEvent, OnFailure, OnHistoryChange, Projection,
    ProjectionOptions, ProjectionRunner, Query, QueryItem, Rebuild, Record, RecordKind,
    RecordStore, RecordedEvent, Retries, Start, StreamId, Subscription, TenantId, TenantStore,
};
use serde::Serialize;

/// Keeps the positions of the events that it was handed.
struct Positions;

impl Projection for Positions {
    type State = Vec<u64>;
    type Error = String;

    fn handle(&mut self, state: &mut Vec<u64>, event: &RecordedEvent) -> Result<Handled, String> {
        state.push(event.global_position().get());
        Ok(Handled::Applied)
    }
}

/// Keeps none, and is interested in nothing: its position is always that of an event it never saw.
struct Uninterested;

impl Projection for Uninterested {
    type State = u64;
    type Error = String;

    fn handle(&mut self, _: &mut u64, event: &RecordedEvent) -> Result<Handled, String> {
        Err(format!("was handed event {}", event.global_position()))
    }

    fn query(&self) -> Query {
        QueryItem::new().event_type("Unheard").into()
    }
}

fn append(store: &dyn EventStore, count: u64) {
    let stream = StreamId::new("Task", "one").unwrap();
    for _ in 0..count {
        let event = NewEvent::new("Noted", vec![b'x'; 64]);
        store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
    }
}

fn runner<S: EventStore + RecordStore>(
    store: S,
    options: ProjectionOptions,
) -> annals::Result<ProjectionRunner<S, Positions>> {
    ProjectionRunner::open(store, "positions", Positions, options)
}

fn state<S: EventStore + RecordStore>(runner: &ProjectionRunner<S, Positions>) -> Vec<u64> {
    runner.view().read(Clone::clone)
}

fn at_hand<S: EventStore>(mut subscription: Subscription<S>) -> Vec<u64> {
    let mut positions = Vec::new();
    while let Delivery::Event(event) = subscription.next_within(Default::default()).unwrap() {
        positions.push(event.global_position().get());
    }
    positions
}

/// A follower of every kind, with what it keeps.
struct Kept {
    position: GlobalPosition,
    /// Kept outside of the store.
    event_id: EventId,
    resume_point: Start,
}

/// Follows a store to its end in every way, and keeps how far.
fn follow_to_the_end<S: EventStore + RecordStore>(store: &S) -> Kept {
    let mut subscription = Subscription::new(store, Start::Beginning).unwrap();
    let mut last = None;
    while let Delivery::Event(event) = subscription.next_within(Default::default()).unwrap() {
        last = Some(event);
    }
    let last = last.unwrap();
    Checkpoint::load(store, "mailer").unwrap().save(subscription.reached()).unwrap();
    runner(store, ProjectionOptions::new()).unwrap().catch_up().unwrap();
    let uninterested =
        ProjectionRunner::open(store, "uninterested", Uninterested, ProjectionOptions::new());
    uninterested.unwrap().catch_up().unwrap();
    Rebuild::open(store, "rebuilt", Positions, ProjectionOptions::new())
        .unwrap()
        .runner()
        .catch_up()
        .unwrap();
    Kept {
        position: last.global_position(),
        event_id: last.event_id(),
        resume_point: subscription.resume_point().unwrap(),
    }
}

/// Holds what continues in another history, which has these ids, to being refused.
fn are_all_refused<S: EventStore + RecordStore>(store: &S, kept: &Kept, found: Option<EventId>) {
    let is_it = |refused: annals::Result<()>| match refused {
        Err(Error::HistoryChanged { position, kept: own, found: other }) => {
            assert_eq!((position, own, other), (kept.position, kept.event_id, found));
        }
        other => panic!("not refused: {other:?}"),
    };
    let Kept { position, event_id, resume_point } = *kept;
    let checkpoint = Checkpoint::load(store, "mailer").unwrap();
    assert_eq!((checkpoint.position(), checkpoint.event_id()), (position, Some(event_id)));
    for start in [checkpoint.start(), resume_point, Start::AfterEvent { position, event_id }] {
        is_it(Subscription::new(store, start).map(drop));
        let tenant = TenantStore::new(store, TenantId::new("acme").unwrap());
        is_it(Subscription::new(tenant, start).map(drop));
    }
    is_it(runner(store, ProjectionOptions::new()).map(drop));
    is_it(runner(store, ProjectionOptions::new()).map(drop));
    let options = ProjectionOptions::new();
    is_it(ProjectionRunner::open(store, "uninterested", Uninterested, options).map(drop));
    let rebuild = Rebuild::open(store, "rebuilt", Positions, ProjectionOptions::new());
    assert_eq!(rebuild.unwrap().runner().reached().get(), 0, "it begins anew");
}

/// Holds a projection that is to be made anew to being so, and to being kept as that.
fn is_made_anew<S: EventStore + RecordStore>(store: &S, end: u64) {
    let options = || ProjectionOptions::new().on_history_change(OnHistoryChange::Rebuild);
    let mut anew = runner(store, options()).unwrap();
    assert_eq!((state(&anew), anew.reached().get()), (vec![], 0));
    anew.catch_up().unwrap();
    assert_eq!(state(&anew), (1..=end).collect::<Vec<_>>());
    drop(anew);
    let again = runner(store, ProjectionOptions::new()).unwrap();
    assert_eq!((state(&again), again.reached().get()), ((1..=end).collect(), end));
}

fn copy(from: &Path, to: &Path) {
    match from.is_dir() {
        true => {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let name = entry.unwrap().file_name();
                copy(&from.join(&name), &to.join(&name));
            }
        }
        false => drop(fs::copy(from, to).unwrap()),
    }
}

/// What a backup of the events consists of: all but the records of those that follow.
const BACKED_UP: [&str; 3] = ["log", "index", "STORE"];

fn restore(backup: &Path, path: &Path) {
    for name in BACKED_UP {
        let there = path.join(name);
        match there.is_dir() {
            true => fs::remove_dir_all(&there).unwrap(),
            false => fs::remove_file(&there).unwrap(),
        }
        copy(&backup.join(name), &there);
    }
}

#[test]
fn a_restored_store_that_has_grown_past_its_followers_is_noticed_by_each() {
    // They went on: 11 to 14 were never delivered, and the state held events that were gone.
    let directory = tempfile::tempdir().unwrap();
    let (path, backup) = (directory.path().join("store"), directory.path().join("backup"));
    let store = FileStore::open(&path).unwrap();
    append(&store, 10);
    store.close().unwrap();
    BACKED_UP.iter().for_each(|name| copy(&path.join(name), &backup.join(name)));

    let store = FileStore::open(&path).unwrap();
    append(&store, 5);
    let kept = follow_to_the_end(&store);
    assert_eq!(kept.position.get(), 15);
    store.close().unwrap();
    restore(&backup, &path);

    let store = FileStore::open(&path).unwrap();
    assert_eq!(store.global_position().unwrap().get(), 10);
    are_all_refused(&store, &kept, None);
    for more in [5, 3] {
        append(&store, more);
        let found = store.event_id_at(15.into()).unwrap().unwrap();
        are_all_refused(&store, &kept, Some(found));
    }
    store.close().unwrap();

    let store = FileStore::open_read_only(&path).unwrap();
    let found = store.event_id_at(15.into()).unwrap();
    are_all_refused(&store, &kept, found);
    drop(store);

    let store = FileStore::open(&path).unwrap();
    is_made_anew(&store, 18);
}

#[test]
fn what_was_kept_within_the_common_history_is_continued_from() {
    let directory = tempfile::tempdir().unwrap();
    let (path, backup) = (directory.path().join("store"), directory.path().join("backup"));
    let store = FileStore::open(&path).unwrap();
    append(&store, 9);
    let kept = follow_to_the_end(&store);
    append(&store, 1);
    store.close().unwrap();
    BACKED_UP.iter().for_each(|name| copy(&path.join(name), &backup.join(name)));
    let store = FileStore::open(&path).unwrap();
    append(&store, 5);
    store.close().unwrap();
    restore(&backup, &path);

    let store = FileStore::open(&path).unwrap();
    append(&store, 8);
    let checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    for start in [checkpoint.start(), kept.resume_point] {
        let subscription = Subscription::new(&store, start).unwrap();
        assert_eq!(at_hand(subscription), (10..=18).collect::<Vec<_>>());
    }
    let mut runner = runner(&store, ProjectionOptions::new()).unwrap();
    runner.catch_up().unwrap();
    assert_eq!(state(&runner), (1..=18).collect::<Vec<_>>());
}

/// Puts the records of a store beside the events of another one.
fn with_records_of(from: &MemoryStore, events: u64) -> MemoryStore {
    let store = MemoryStore::new();
    append(&store, events);
    let records = [
        (RecordKind::Checkpoint, "mailer"),
        (RecordKind::Projection, "positions"),
        (RecordKind::Projection, "uninterested"),
        (RecordKind::Rebuild, "rebuilt"),
    ];
    for (kind, name) in records {
        let content = from.read_record(kind, name).unwrap().content().unwrap();
        store.write_record(kind, name, &content).unwrap();
    }
    store
}

#[test]
fn in_memory_another_history_is_noticed_as_well() {
    let before = MemoryStore::new();
    append(&before, 15);
    let kept = follow_to_the_end(&before);
    are_all_refused(&with_records_of(&before, 0), &kept, None);
    are_all_refused(&with_records_of(&before, 14), &kept, None);
    for events in [15, 18] {
        let store = with_records_of(&before, events);
        let found = store.event_id_at(15.into()).unwrap();
        assert!(found.is_some());
        are_all_refused(&store, &kept, found);
        is_made_anew(&store, events);
    }
}

#[test]
fn a_projection_is_made_anew_also_where_the_store_is_empty_or_shorter() {
    let before = MemoryStore::new();
    append(&before, 15);
    follow_to_the_end(&before);
    for events in [0, 14] {
        let store = with_records_of(&before, events);
        let options = ProjectionOptions::new().on_history_change(OnHistoryChange::Rebuild);
        let mut anew = runner(&store, options).unwrap();
        anew.catch_up().unwrap();
        assert_eq!(state(&anew), (1..=events).collect::<Vec<_>>());
    }
}

#[test]
fn a_position_of_before_ids_were_kept_is_continued_from_and_then_compared() {
    let store = MemoryStore::new();
    append(&store, 5);
    // As an earlier version wrote them: a position alone, and a state without an id.
    store.write_record(RecordKind::Checkpoint, "mailer", &[3]).unwrap();
    store.write_record(RecordKind::Projection, "positions", &first_layout(3)).unwrap();

    let mut checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    assert_eq!((checkpoint.position().get(), checkpoint.event_id()), (3, None));
    assert_eq!(checkpoint.start(), Start::After(3.into()));
    assert_eq!(at_hand(Subscription::new(&store, checkpoint.start()).unwrap()), [4, 5]);
    checkpoint.save(5.into()).unwrap();
    let saved = Checkpoint::load(&store, "mailer").unwrap();
    assert_eq!(saved.event_id(), store.event_id_at(5.into()).unwrap());

    let mut runner_of_old = runner(&store, ProjectionOptions::new()).unwrap();
    assert_eq!(state(&runner_of_old), [1, 2, 3]);
    let letter = runner_of_old.dead_letters()[0].clone();
    assert_eq!((letter.position.get(), letter.attempts, letter.error.as_str()), (2, 7, "no"));
    assert_eq!((letter.first_failed_at, letter.failed_at), (letter.failed_at, micros(99)));
    runner_of_old.catch_up().unwrap();
    drop(runner_of_old);
    let kept = store.read_record(RecordKind::Projection, "positions").unwrap();
    let other = MemoryStore::new();
    append(&other, 5);
    other.write_record(RecordKind::Projection, "positions", &kept.content().unwrap()).unwrap();
    let refused = runner(&other, ProjectionOptions::new()).map(drop);
    assert!(matches!(refused, Err(Error::HistoryChanged { .. })), "{refused:?}");

    // Ahead of the log even those are refused, or made anew.
    let shorter = MemoryStore::new();
    append(&shorter, 2);
    shorter.write_record(RecordKind::Checkpoint, "mailer", &[3]).unwrap();
    shorter.write_record(RecordKind::Projection, "positions", &first_layout(3)).unwrap();
    let start = Checkpoint::load(&shorter, "mailer").unwrap().start();
    let refused = Subscription::new(&shorter, start).map(drop);
    assert!(matches!(refused, Err(Error::BeyondEnd { .. })), "{refused:?}");
    let refused = runner(&shorter, ProjectionOptions::new()).map(drop);
    assert!(matches!(refused, Err(Error::BeyondEnd { .. })), "{refused:?}");
    is_made_anew(&shorter, 2);
}

fn micros(micros: i64) -> annals::Timestamp {
    annals::Timestamp::from_micros(micros)
}

/// A projection's record as the first layout had it, at a position, with a dead letter.
fn first_layout(position: u64) -> Vec<u8> {
    #[derive(Serialize)]
    struct First {
        state_version: u32,
        edition: u64,
        position: u64,
        dead_letters: Vec<(u64, u128, u32, i64, String)>,
        state: Vec<u8>,
    }
    let settings = bincode::config::standard();
    let state: Vec<u64> = (1..=position).collect();
    let first = First {
        state_version: 1,
        edition: 0,
        position,
        dead_letters: vec![(2, 8, 7, 99, "no".to_owned())],
        state: bincode::serde::encode_to_vec(&state, settings).unwrap(),
    };
    bincode::serde::encode_to_vec(&first, settings).unwrap()
}

#[test]
fn a_state_of_a_layout_that_is_not_known_yet_is_not_taken_for_another() {
    let store = MemoryStore::new();
    append(&store, 1);
    let settings = bincode::config::standard();
    let newer = bincode::serde::encode_to_vec(((1_u64 << 32) + 3, 1_u32), settings).unwrap();
    store.write_record(RecordKind::Projection, "positions", &newer).unwrap();
    let refused = runner(&store, ProjectionOptions::new()).map(drop);
    let Err(Error::RecordUnusable { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, annals::Unusable::Newer);
}

#[test]
fn a_checkpoint_beyond_the_end_is_not_saved() {
    let store = MemoryStore::new();
    append(&store, 2);
    let mut checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    let refused = checkpoint.save(3.into());
    assert!(matches!(refused, Err(Error::BeyondEnd { .. })), "{refused:?}");
    assert_eq!(store.read_record(RecordKind::Checkpoint, "mailer").unwrap(), Record::Absent);
    assert_eq!((checkpoint.position().get(), checkpoint.start()), (0, Start::Beginning));
    checkpoint.save(0.into()).unwrap();
    let checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    assert_eq!((checkpoint.start(), checkpoint.event_id()), (Start::Beginning, None));
}

#[test]
fn a_tenant_follows_past_events_of_others_and_notices_another_history() {
    let store = MemoryStore::new();
    let stream = StreamId::new("Task", "acme's").unwrap();
    let acme = TenantStore::new(&store, TenantId::new("acme").unwrap());
    acme.append(&stream, ExpectedVersion::Any, vec![NewEvent::new("Noted", "")]).unwrap();
    append(&store, 2);
    let mut subscription = Subscription::new(&acme, Start::Beginning).unwrap();
    assert!(matches!(subscription.next_within(Default::default()), Ok(Delivery::Event(_))));
    assert!(matches!(subscription.next_within(Default::default()), Ok(Delivery::Nothing)));
    assert_eq!(subscription.reached().get(), 3, "an event of nobody, which it never sees");
    let kept = subscription.resume_point().unwrap();
    assert!(matches!(kept, Start::AfterEvent { .. }), "{kept:?}");
    acme.append(&stream, ExpectedVersion::Any, vec![NewEvent::new("Noted", "")]).unwrap();
    assert_eq!(at_hand(Subscription::new(&acme, kept).unwrap()), [4]);
    let other = MemoryStore::new();
    append(&other, 5);
    let other = TenantStore::new(&other, TenantId::new("acme").unwrap());
    let refused = Subscription::new(other, kept).map(drop);
    assert!(matches!(refused, Err(Error::HistoryChanged { .. })), "{refused:?}");
}

/// Fails at the last event it is handed.
struct Failing;

impl Projection for Failing {
    type State = u64;
    type Error = String;

    fn handle(&mut self, _: &mut u64, event: &RecordedEvent) -> Result<Handled, String> {
        if event.global_position().get() == 3 { Err("no".to_owned()) } else { Ok(Handled::Applied) }
    }
}

#[test]
fn a_position_behind_an_event_that_was_set_aside_is_compared_too() {
    let before = MemoryStore::new();
    append(&before, 3);
    let options = || ProjectionOptions::new().retries(Retries::none());
    let setting_aside = options().on_failure(OnFailure::SetAside);
    let mut failing = ProjectionRunner::open(&before, "failing", Failing, setting_aside).unwrap();
    failing.catch_up().unwrap();
    let letters: Vec<DeadLetter> = failing.dead_letters().to_vec();
    assert_eq!((letters.len(), failing.reached().get()), (1, 3));
    let content = before.read_record(RecordKind::Projection, "failing").unwrap().content().unwrap();
    let store = MemoryStore::new();
    append(&store, 5);
    store.write_record(RecordKind::Projection, "failing", &content).unwrap();
    let refused = ProjectionRunner::open(&store, "failing", Failing, options()).map(drop);
    assert!(
        matches!(refused, Err(Error::HistoryChanged { kept, .. }) if kept == letters[0].event_id),
        "{refused:?}"
    );
}

#[test]
fn a_position_that_a_repair_has_given_up_is_not_taken_for_another_history() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = FileStore::open(&path).unwrap();
    let stream = StreamId::new("Task", "one").unwrap();
    for number in 1..=6_u8 {
        let event = NewEvent::new("Noted", vec![b'a' + number; 64]);
        store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
        if number == 4 {
            assert_eq!(follow_to_the_end(&store).position.get(), 4);
        }
    }
    store.close().unwrap();
    let segment = fs::read_dir(path.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.min().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(64).position(|window| window == [b'a' + 4; 64]).unwrap();
    bytes[at + 10] ^= 1;
    fs::write(&segment, bytes).unwrap();

    // Before that nothing can be compared, and the damage is said.
    let store = FileStore::open_read_only(&path).unwrap();
    let start = Checkpoint::load(&store, "mailer").unwrap().start();
    let refused = Subscription::new(&store, start).map(drop);
    assert!(matches!(refused, Err(Error::Damage(_))), "{refused:?}");
    let refused = runner(&store, ProjectionOptions::new()).map(drop);
    assert!(matches!(refused, Err(Error::Damage(_))), "{refused:?}");
    drop(store);

    FileStore::repair(&path).unwrap();
    let store = FileStore::open(&path).unwrap();
    assert_eq!(store.event_id_at(4.into()).unwrap(), None, "it is given up");
    let start = Checkpoint::load(&store, "mailer").unwrap().start();
    assert_eq!(at_hand(Subscription::new(&store, start).unwrap()), [5, 6]);
    let mut runner = runner(&store, ProjectionOptions::new()).unwrap();
    runner.catch_up().unwrap();
    assert_eq!(state(&runner), [1, 2, 3, 4, 5, 6]);

    // A position that is reached while it is given up is kept without an id, and continued from.
    let mut subscription = Subscription::new(&store, Start::Beginning).unwrap();
    let first = subscription.next().unwrap().unwrap();
    assert_eq!(first.global_position().get(), 1);
    let mut checkpoint = Checkpoint::load(&store, "other").unwrap();
    checkpoint.save(4.into()).unwrap();
    let checkpoint = Checkpoint::load(&store, "other").unwrap();
    assert_eq!((checkpoint.event_id(), checkpoint.start()), (None, Start::After(4.into())));
    assert_eq!(at_hand(Subscription::new(&store, checkpoint.start()).unwrap()), [5, 6]);
}
