//! In whatever order threads go on, the commit queue keeps its promises.
//!
//! The queue, its waiters, the reader and the table of stream versions are the code of a build; the
//! locks and atomics below them let shuttle choose which thread takes the next step
//! (`engine::sync`). Half of the interleavings of a scenario are drawn at random, half change
//! priorities at three random steps (PCT). The smallest part, a waiter, is tried in every order there is.
//!
//! `ANNALS_INTERLEAVINGS` is the count for each scenario and `ANNALS_INTERLEAVINGS_SEED` what they are
//! drawn from; both are printed. A failure prints its schedule: `ANNALS_INTERLEAVINGS_SCHEDULE` and
//! the name of the test replay it alone, its lines joined.
//!
//! Each of these mistakes, put into the code, makes a scenario fail with 200 interleavings:
//!
//! - callers are woken before the sync, or the sync is left out;
//! - onlookers are not woken, nor who waits behind a rejected group, nor who is promoted;
//! - a notice is left out, or a waiter sleeps without asking first;
//! - leadership is never given back, or is given back though somebody was promoted;
//! - a panic of the leader ends no group; a failure does not poison; a rejected group keeps its frames;
//! - `gathered` is not set back, by the leader or after a rejection;
//! - what is staged is not seen, or stays after its group has ended or was rejected, or is forgotten
//!   once it is being written; a refusal rests on it; a staged event id is not noticed;
//! - `next_position` stays after a rejection; what was written before a rejection is called rejected;
//! - what was found before the lock is not validated; a stream's version is told before its event is
//!   visible, stays behind it, or is kept though it is outdated; an event is visible before it is
//!   indexed;
//! - a follower asks before it is registered, or a writer looks for followers before it publishes; the end
//!   calls nobody;
//! - closing waits for no gathering group, or for none in flight, or lets others in; a mark joins the
//!   group that gathers;
//! - leadership goes to somebody who is away; whoever comes back does not say so, or does not lead.

mod explorer;
mod scene;
mod watched;

use std::io::ErrorKind;
use std::sync::Arc;

use shuttle::rand::Rng;
use shuttle::scheduler::DfsScheduler;

use crate::engine::tests::{SIXTH, closed_after, remove, segment_path, stream};
use crate::engine::waiter::{Outcome as Ending, Presence, Summons, Waiter};
use crate::io::{MemoryDisk, Operation};
use crate::store::{Commit, ExpectedVersion, FailIfMatches, Query};
use explorer::{explore, run};
use scene::{Outcome, Scene, event};
use watched::Trouble;

const ANY: ExpectedVersion = ExpectedVersion::Any;
const NO_STREAM: ExpectedVersion = ExpectedVersion::NoStream;

fn blank() -> MemoryDisk {
    closed_after(&[])
}

/// Returns how many of the outcomes say that an event was recorded now.
fn recorded(outcomes: &[Outcome]) -> usize {
    let is_new = |one: &&Outcome| matches!(one, Outcome::Recorded(result) if !result.replayed);
    outcomes.iter().filter(is_new).count()
}

/// Runs threads of an execution that each append, and returns what they were told.
fn each<const N: usize>(
    scene: &Arc<Scene>,
    append: impl Fn(&Scene, u64) -> Outcome + Copy + Send + 'static,
) -> [Outcome; N] {
    let threads: [_; N] = std::array::from_fn(|thread| {
        let thread = u64::try_from(thread).unwrap();
        scene.spawn(move |scene| append(scene, thread))
    });
    threads.map(|thread| thread.join().unwrap())
}

#[test]
fn positions_and_versions_follow_the_log_and_no_answer_comes_before_its_sync() {
    let groups = explore(blank(), |scene| {
        let outcomes = each::<3>(scene, |scene, thread| {
            let first = scene.append("shared", ANY, 2 * thread);
            assert!(matches!(first, Outcome::Recorded(_)));
            scene.append("shared", ANY, 2 * thread + 1)
        });
        assert_eq!(recorded(&outcomes), 3);
    });
    assert!(groups.largest() >= 3, "a later append of a group is to see an earlier one");
}

#[test]
fn what_readers_see_is_whole_while_others_append() {
    explore(blank(), |scene| {
        let reader = scene.spawn(|scene| {
            for _ in 0..6 {
                scene.check_what_is_visible("shared");
            }
        });
        let outcomes = each::<2>(scene, |scene, thread| scene.append("shared", ANY, thread));
        assert_eq!(recorded(&outcomes), 2);
        reader.join().unwrap();
    });
}

#[test]
fn of_those_who_expect_no_stream_one_wins_and_the_others_are_refused_by_what_is_durable() {
    explore(blank(), |scene| {
        let outcomes = each::<3>(scene, |scene, thread| scene.append("one", NO_STREAM, thread));
        assert_eq!(recorded(&outcomes), 1);
        assert_eq!(outcomes.iter().filter(|it| **it == Outcome::Refused).count(), 2);
    });
}

#[test]
fn of_those_who_expect_the_version_that_they_read_no_update_is_lost() {
    explore(blank(), |scene| {
        each::<3>(scene, |scene, thread| {
            loop {
                let version = scene.reader.version(&stream("counter")).unwrap();
                match scene.append("counter", version.into(), thread) {
                    Outcome::Refused => {}
                    outcome => return outcome,
                }
            }
        });
        assert_eq!(scene.reader.version(&stream("counter")).unwrap().get(), 3);
    });
}

#[test]
fn a_version_that_was_found_before_the_lock_is_never_taken_for_the_present_one() {
    // The store knows the stream from its index, and after the first append from the table.
    explore(closed_after(&[8]), |scene| {
        let outcomes = each::<3>(scene, |scene, thread| match thread {
            0 => scene.append("one", ANY, 100),
            1 => scene.append("one", ExpectedVersion::exact(1), 101),
            _ => scene.append("one", ExpectedVersion::exact(2), 102),
        });
        assert!((1..=3).contains(&recorded(&outcomes)));
    });
}

#[test]
fn an_event_that_comes_from_all_threads_at_once_is_recorded_once() {
    explore(blank(), |scene| {
        let outcomes = each::<3>(scene, |scene, _| scene.append("one", ANY, 7));
        assert_eq!(recorded(&outcomes), 1);
        assert!(outcomes.iter().all(|it| matches!(it, Outcome::Recorded(_))));
    });
}

#[test]
fn of_those_who_commit_on_condition_that_nobody_did_one_wins() {
    explore(blank(), |scene| {
        let outcomes = each::<3>(scene, |scene, thread| {
            let none = FailIfMatches::new(Query::category("Test"));
            let own = stream(&thread.to_string());
            scene.commit(Commit::new().condition(none).append(&own, ANY, vec![event(thread, 0)]))
        });
        assert_eq!(recorded(&outcomes), 1);
        assert_eq!(outcomes.iter().filter(|it| **it == Outcome::Refused).count(), 2);
    });
}

/// Appends from three threads, of which one closes as well, on a disk with a trouble.
fn append_in_trouble(scene: &Arc<Scene>, troubles: [Trouble; 2]) {
    let mut random = shuttle::rand::thread_rng();
    let (nth, trouble) = (random.gen_range(1..=5), troubles[random.gen_range(0..2)]);
    scene.disk.expect(nth, trouble);
    let closer = scene.spawn(|scene| {
        scene.append("shared", ANY, 9);
        scene.close()
    });
    each::<2>(scene, |scene, thread| {
        scene.append("shared", NO_STREAM, 2 * thread);
        scene.append("shared", ANY, 2 * thread + 1)
    });
    let closed = closer.join().unwrap();
    assert!(closed.is_ok() || closed.is_err_and(|failure| failure.is_trouble()));
}

#[test]
fn a_failed_write_or_sync_wakes_everybody_with_an_error() {
    explore(blank(), |scene| {
        append_in_trouble(scene, [Trouble::WriteFails, Trouble::SyncFails]);
    });
}

#[test]
fn a_panic_of_the_leader_wakes_everybody_with_an_error() {
    explore(blank(), |scene| {
        append_in_trouble(scene, [Trouble::WritePanics, Trouble::SyncPanics]);
    });
}

#[test]
fn a_rejected_group_leaves_no_gap_and_the_queue_goes_on() {
    let disk = closed_after(&[SIXTH; 5]);
    // The thread of that store may have made the segment for which there is to be no room.
    if disk.files().contains(&segment_path(2)) {
        remove(&disk, &segment_path(2));
    }
    let groups = explore(disk, |scene| {
        scene.disk.disk().fail(Operation::Allocate, 1, ErrorKind::StorageFull);
        let outcomes = each::<3>(scene, |scene, thread| {
            match scene.append_large("one", 100 + thread) {
                // What is tried again later has to see nothing of the first time.
                Outcome::NoSpace => scene.append_large("one", 100 + thread),
                outcome => outcome,
            }
        });
        assert_eq!(recorded(&outcomes), 3);
        assert!(!scene.disk.disk().is_to_fail());
    });
    assert!(groups.largest() >= 1);
}

#[test]
fn closing_waits_for_what_was_admitted_and_refuses_the_rest() {
    explore(blank(), |scene| {
        let closer = scene.spawn(|scene| scene.close().unwrap());
        let outcomes = each::<3>(scene, |scene, thread| scene.append("shared", ANY, thread));
        closer.join().unwrap();
        let is_answer = |it: &Outcome| matches!(it, Outcome::Recorded(_) | Outcome::Closed);
        assert!(outcomes.iter().all(is_answer), "{outcomes:?}");
        let events = scene.reader.durable().get();
        assert_eq!(usize::try_from(events).unwrap(), recorded(&outcomes));
    });
}

#[test]
fn no_wake_up_of_a_subscriber_is_lost() {
    explore(blank(), |scene| {
        let followers = [(); 2].map(|()| scene.spawn(|scene| scene.follow_to(2)));
        let outcomes = each::<2>(scene, |scene, thread| scene.append("shared", ANY, thread));
        assert_eq!(recorded(&outcomes), 2);
        for follower in followers {
            assert_eq!(follower.join().unwrap(), 2);
        }
    });
}

#[test]
fn the_end_of_a_store_comes_to_every_subscriber_and_behind_the_last_event() {
    explore(blank(), |scene| {
        let followers = [(); 2].map(|()| scene.spawn(|scene| scene.follow_to(u64::MAX)));
        let appender = scene.spawn(|scene| scene.append("shared", ANY, 1));
        scene.close().unwrap();
        scene.reader.watchers().end();
        appender.join().unwrap();
        for follower in followers {
            assert_eq!(follower.join().unwrap(), scene.reader.durable().get());
        }
    });
}

#[test]
fn a_mark_never_shares_a_group_with_what_it_shows() {
    explore(blank(), |scene| {
        let marker = scene.spawn(|scene| {
            for _ in 0..3 {
                scene.queue.mark().unwrap();
            }
        });
        let outcomes = each::<2>(scene, |scene, thread| {
            scene.append("shared", ANY, 2 * thread);
            scene.append("shared", ANY, 2 * thread + 1)
        });
        assert_eq!(recorded(&outcomes), 2);
        marker.join().unwrap();
        scene.close().unwrap();
    });
}

/// Submits two events and waits for them, the last one first.
fn submit_two(scene: &Scene, thread: u64) -> [Outcome; 2] {
    let submitted = [2 * thread, 2 * thread + 1].map(|number| scene.submit("shared", number));
    let [first, second] = submitted;
    [second, first].map(|one| one.map_or_else(|outcome| outcome, |one| scene.wait(one)))
}

#[test]
fn whoever_comes_back_for_what_was_submitted_is_told_after_its_sync() {
    let groups = explore(blank(), |scene| {
        let appending = scene.spawn(|scene| scene.append("shared", ANY, 9));
        let submitting: [_; 2] =
            [0, 1].map(|thread| scene.spawn(move |scene| submit_two(scene, thread)));
        let outcomes = submitting.map(|thread| thread.join().unwrap()).concat();
        assert_eq!(recorded(&outcomes), 4);
        assert_eq!(recorded(&[appending.join().unwrap()]), 1);
    });
    assert!(groups.largest() >= 3);
}

#[test]
fn what_was_submitted_is_durable_once_the_writing_thread_or_a_sync_has_come_to_it() {
    explore(blank(), |scene| {
        let writing = scene.spawn(|scene| {
            scene.queue.write_unattended();
            scene.queue.write_unattended();
        });
        let appending = scene.spawn(|scene| scene.append("shared", ANY, 9));
        let submitting: [_; 2] =
            [0, 1].map(|number| scene.spawn(move |scene| scene.submit("shared", number).unwrap()));
        let submitted = submitting.map(|thread| thread.join().unwrap());
        scene.queue.sync().unwrap();
        for one in submitted {
            assert!(one.is_done(), "a sync does not wait for all");
            assert_eq!(recorded(&[scene.wait(one)]), 1);
        }
        writing.join().unwrap();
        appending.join().unwrap();
    });
}

#[test]
fn a_failure_is_told_to_whoever_comes_back_for_what_was_submitted() {
    explore(blank(), |scene| {
        let mut random = shuttle::rand::thread_rng();
        let troubles =
            [Trouble::WriteFails, Trouble::SyncFails, Trouble::WritePanics, Trouble::SyncPanics];
        let (nth, trouble) = (random.gen_range(1..=3), troubles[random.gen_range(0..4)]);
        scene.disk.expect(nth, trouble);
        let appending = scene.spawn(|scene| scene.append("shared", ANY, 9));
        let submitting: [_; 2] =
            [0, 1].map(|thread| scene.spawn(move |scene| submit_two(scene, thread)));
        submitting.into_iter().for_each(|thread| _ = thread.join().unwrap());
        appending.join().unwrap();
        // Whoever was refused has left others behind who were not waited for.
        scene.queue.write_unattended();
    });
}

#[test]
fn a_waiter_is_woken_in_every_order_there_is() {
    let tried = run(DfsScheduler::new(None, false), || {
        let waiter = Arc::new(Waiter::new(Presence::Waits));
        let waiting = {
            let waiter = Arc::clone(&waiter);
            shuttle::thread::spawn(move || {
                let summons = waiter.wait();
                if summons == Summons::Lead {
                    waiter.finish(Ending::Done);
                }
                waiter.outcome().unwrap();
            })
        };
        let leader = {
            let waiter = Arc::clone(&waiter);
            shuttle::thread::spawn(move || waiter.promote())
        };
        waiting.join().unwrap();
        leader.join().unwrap();
    });
    assert!(tried > 10, "{tried} orders");
}
