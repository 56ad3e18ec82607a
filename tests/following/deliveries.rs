//! What subscriptions to a store on disk deliver while others append, and how they end.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::{
    Checkpoint, Delivery, Error, EventStore, ExpectedVersion, FileStore, NewEvent, ReadOptions,
    Start, StreamId, Subscription,
};

use crate::applications::{WRITERS, append_share, lines};

fn append(store: &FileStore) {
    let stream = StreamId::new("Task", "one").unwrap();
    store.append(&stream, ExpectedVersion::Any, vec![NewEvent::new("Done", "")]).unwrap();
}

#[test]
fn a_subscription_delivers_every_event_once_and_in_order_while_eight_writers_append() {
    let directory = tempfile::tempdir().unwrap();
    let store = &FileStore::open(directory.path()).unwrap();
    let lines = &lines();
    let delivered = thread::scope(|scope| {
        let follower = scope.spawn(move || {
            let subscription = Subscription::new(store, Start::Beginning).unwrap();
            let mut ids = Vec::with_capacity(lines.len());
            for (position, event) in (1..).zip(subscription.take(lines.len())) {
                let event = event.unwrap();
                assert_eq!(event.global_position().get(), position);
                ids.push(event.event_id());
            }
            ids
        });
        for writer in 0..WRITERS {
            scope.spawn(move || append_share(store, lines, writer));
        }
        follower.join().unwrap()
    });
    let all = store.read_all(ReadOptions::new()).unwrap();
    let recorded: Vec<_> = all.map(|event| event.unwrap().event_id()).collect();
    assert_eq!(recorded.len(), lines.len());
    assert!(delivered == recorded, "what was delivered is not what was recorded");
    eprintln!("{} events were delivered once and in order", delivered.len());
}

#[test]
fn closing_a_store_ends_its_subscriptions_behind_the_last_event() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FileStore::open(directory.path()).unwrap());
    append(&store);
    let mut waiting = Subscription::new(Arc::clone(&store), Start::Beginning).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let follower = thread::spawn(move || {
        let positions = waiting.by_ref().map(|event| event.unwrap().global_position().get());
        positions.inspect(|position| sender.send(*position).unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(receiver.recv().unwrap(), 1);
    append(&store);
    store.close().unwrap();
    assert_eq!(follower.join().unwrap(), [1, 2]);
    let late = Subscription::new(&store, Start::Beginning).unwrap();
    assert_eq!(late.map(Result::unwrap).count(), 2, "what is there is delivered all the same");
    store.close().unwrap();
    let refused = store.append(
        &StreamId::new("Task", "one").unwrap(),
        ExpectedVersion::Any,
        vec![NewEvent::new("Done", "")],
    );
    assert!(matches!(refused, Err(Error::Closed)));
}

#[test]
fn a_store_that_is_open_for_reading_ends_a_subscription_where_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    append(&store);
    store.close().unwrap();
    let reading = FileStore::open_read_only(directory.path()).unwrap();
    let mut subscription = Subscription::new(&reading, Start::Beginning).unwrap();
    assert_eq!(subscription.by_ref().map(Result::unwrap).count(), 1);
    let delivery = subscription.next_within(Duration::from_secs(3600)).unwrap();
    assert_eq!(delivery, Delivery::Ended);
}

#[test]
fn a_checkpoint_is_there_after_reopening_and_refused_by_a_store_that_is_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = FileStore::open(&path).unwrap();
    append(&store);
    append(&store);
    let mut checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    checkpoint.save(1.into()).unwrap();
    store.close().unwrap();

    let store = FileStore::open(&path).unwrap();
    let mut checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    let mut subscription = Subscription::new(&store, checkpoint.start()).unwrap();
    assert_eq!(subscription.next().unwrap().unwrap().global_position().get(), 2);
    append(&store);
    checkpoint.save(3.into()).unwrap();
    let start = checkpoint.start();
    let behind = FileStore::open(directory.path().join("behind")).unwrap();
    append(&behind);
    let refused = Subscription::new(&behind, start);
    assert!(matches!(refused, Err(Error::HistoryChanged { .. })), "{refused:?}");
}
