//! Many threads on the same streams of a store on disk.

use annals::{EventStore, ExpectedVersion, FileStore, ReadOptions};
use uuid::Uuid;

use crate::store::{event, read_from, small_segments, stream};

#[test]
fn eight_threads_on_the_same_hundred_streams_lose_no_update_and_leave_no_gap() {
    const THREADS: u64 = 8;
    const STREAMS: u64 = 100;
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open_with(directory.path(), small_segments()).unwrap();
    let append = |thread: u64, number: u64| {
        let name = stream(&number.to_string());
        let new = event(0, vec![5; 100]).id(Uuid::from_u64_pair(thread, number));
        loop {
            let version = store.stream_version(&name).unwrap();
            match store.append(&name, ExpectedVersion::exact(version.get()), vec![new.clone()]) {
                Ok(result) => break assert_eq!(result.new_version, version.next()),
                Err(error) => assert!(error.is_conflict(), "{error}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (0..STREAMS).for_each(|number| append(thread, number)));
        }
    });
    let assert_whole = |store: &FileStore| {
        let (events, error) = read_from(store, 1);
        assert!(error.is_none());
        let positions: Vec<_> = events.iter().map(|event| event.global_position().get()).collect();
        assert_eq!(positions, (1..=THREADS * STREAMS).collect::<Vec<_>>());
        for number in 0..STREAMS {
            let name = stream(&number.to_string());
            let loaded = store.load_stream(&name, ReadOptions::new()).unwrap();
            let versions: Vec<_> =
                loaded.events().iter().map(|event| event.stream_version().get()).collect();
            assert_eq!(versions, (1..=THREADS).collect::<Vec<_>>());
            let mut writers: Vec<_> = loaded
                .events()
                .iter()
                .map(|event| event.event_id().as_uuid().as_u64_pair().0)
                .collect();
            writers.sort_unstable();
            assert_eq!(writers, (0..THREADS).collect::<Vec<_>>(), "one event of every thread");
        }
    };
    assert_whole(&store);
    store.close().unwrap();
    assert_whole(&FileStore::open(directory.path()).unwrap());
    assert_eq!(FileStore::verify(directory.path()).unwrap().findings, []);
}
