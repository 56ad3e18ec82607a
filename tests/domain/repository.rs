//! The repository: loading, saving, conflicts and lost answers.

use std::cell::RefCell;
use std::num::ParseIntError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use annals::{
    ActorId, AggregateId, Codec, CommandError, Context, DecodeFailure, Error, EventStore,
    ExpectedVersion, FileStore, MemoryStore, NewEvent, ReadOptions, RecordedEvent, Repository,
    Root, Scenario, StreamId, StreamVersion,
};
use uuid::Uuid;

use crate::account::{Account, AccountEvent, Rejection, Watched, on_every_backend};

fn ada() -> AggregateId {
    AggregateId::new("ada").unwrap()
}

fn stream() -> StreamId {
    StreamId::new("Account", "ada").unwrap()
}

fn deposited(cents: u64) -> NewEvent {
    Codec::bincode().encode(&AccountEvent::Deposited { cents }).unwrap()
}

/// Opens the account of Ada with 100 cents.
fn open<S: EventStore>(accounts: &Repository<Account, S>) -> Root<Account> {
    accounts.execute(&ada(), |it| it.open("Ada")).unwrap();
    accounts.execute(&ada(), |it| it.deposit(100)).unwrap()
}

#[test]
fn a_rejection_of_any_kind_goes_through_the_question_mark() {
    // A text did not, though the documentation's own examples reject with one.
    type Anything = Result<(), Box<dyn std::error::Error + Send + Sync>>;
    let accounts = Repository::<Account, _>::new(MemoryStore::new());
    let text = || -> Anything {
        accounts.execute(&ada(), |_| Err::<AccountEvent, _>("too late"))?;
        Ok(())
    };
    let owned = || -> Anything {
        accounts.execute(&ada(), |_| Err::<AccountEvent, _>(String::from("too late")))?;
        Ok(())
    };
    let once = || -> Result<(), Box<dyn std::error::Error>> {
        let command = |_: &Account| Err::<AccountEvent, _>("too late");
        accounts.execute_once(Uuid::now_v7(), &ada(), command)?;
        Ok(())
    };
    let typed = || -> Anything {
        let parsed = |_: &Account| "x".parse().map(|cents| AccountEvent::Deposited { cents });
        accounts.execute(&ada(), parsed)?;
        Ok(())
    };
    assert_eq!(text().unwrap_err().to_string(), "too late");
    assert_eq!(owned().unwrap_err().to_string(), "too late");
    assert_eq!(once().unwrap_err().to_string(), "too late");
    let error = typed().unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(CommandError::<ParseIntError>::Rejected(_))),
        "{error}"
    );
    let cause = DecodeFailure::NewerSchema { newest_known: 1 };
    let (event_type, event_version) = ("Opened".to_owned(), 2);
    let global_position = 1.into();
    let error = Error::Decode { global_position, event_type, event_version, cause };
    let store: CommandError<&str> = error.into();
    assert!(std::error::Error::source(&store).is_some(), "the source is that of the store's error");
}

#[test]
fn an_aggregate_is_loaded_as_it_was_saved() {
    on_every_backend(|store| {
        let accounts = Repository::<Account, _>::new(store);
        assert!(accounts.load(&ada()).unwrap().is_none());
        assert!(!accounts.exists(&ada()).unwrap());
        let mut account = accounts.load_or_create(&ada()).unwrap();
        assert_eq!(
            (account.version(), account.state()),
            (StreamVersion::ZERO, &Account::default())
        );

        account.execute(|it| it.open("Ada")).unwrap();
        account.execute(|it| it.deposit(30)).unwrap();
        assert_eq!((account.version().get(), account.saved_version().get()), (2, 0));
        let result = accounts.save(&mut account).unwrap();
        assert_eq!((result.new_version.get(), result.appended), (2, 2));
        assert_eq!((account.version().get(), account.saved_version().get()), (2, 2));
        assert!(account.uncommitted_events().is_empty());

        let loaded = accounts.load(&ada()).unwrap().unwrap();
        assert_eq!((loaded.state(), loaded.version()), (account.state(), account.version()));
        assert_eq!((loaded.id(), loaded.stream()), (&ada(), &stream()));
        assert!(accounts.exists(&ada()).unwrap());
    });
}

#[test]
fn saving_nothing_does_nothing_even_where_somebody_else_has_written() {
    on_every_backend(|store| {
        let accounts = Repository::<Account, _>::new(store);
        let mut account = open(&accounts);
        accounts.execute(&ada(), |it| it.deposit(1)).unwrap();
        let result = accounts.save(&mut account).unwrap();
        assert_eq!((result.appended, result.new_version.get()), (0, 2));
        assert_eq!((result.global_position.get(), result.first_global_position), (3, None));
        let nothing = accounts.execute(&ada(), |_| Ok::<_, Rejection>(Vec::new())).unwrap();
        assert_eq!(nothing.version().get(), 3);
    });
}

#[test]
fn a_save_at_a_stale_version_is_a_conflict_and_leaves_the_root_as_it_was() {
    on_every_backend(|store| {
        let accounts = Repository::<Account, _>::new(store);
        let mut account = open(&accounts);
        accounts.execute(&ada(), |it| it.deposit(1)).unwrap();
        account.execute(|it| it.withdraw(100)).unwrap();
        let error = accounts.save(&mut account).unwrap_err();
        let Error::Conflict { expected, actual, .. } = error else { panic!("{error}") };
        assert_eq!((expected, actual.get()), (ExpectedVersion::exact(2), 3));
        assert_eq!(account.uncommitted_events(), [AccountEvent::Withdrawn { cents: 100 }]);
        assert_eq!((account.saved_version().get(), account.version().get()), (2, 3));
    });
}

#[test]
fn a_command_is_decided_anew_after_a_conflict() {
    on_every_backend(|store| {
        open(&Repository::<Account, _>::new(&store));
        let watched = Watched::meddled(store, 2, |store| {
            store.append(&stream(), ExpectedVersion::Any, vec![deposited(10)]).unwrap();
        });
        let accounts = Repository::<Account, _>::new(&watched);
        let seen = RefCell::new(Vec::new());
        let withdraw_all = |it: &Account| {
            seen.borrow_mut().push(it.cents);
            it.withdraw(it.cents)
        };
        let account = accounts.execute(&ada(), withdraw_all).unwrap();
        assert_eq!(*seen.borrow(), [100, 110, 120]);
        assert_eq!((account.cents, account.version().get()), (0, 5));
    });
}

#[test]
fn a_command_is_given_up_when_others_are_faster_in_every_attempt() {
    let watched = Watched::meddled(MemoryStore::new(), 1_000, |store| {
        store.append(&stream(), ExpectedVersion::Any, vec![deposited(10)]).unwrap();
    });
    for attempts_max in [0, 1, 3] {
        let accounts = Repository::<Account, _>::new(&watched).attempts_max(attempts_max);
        let decided = AtomicU32::new(0);
        let count = |_: &Account| {
            decided.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Rejection>(AccountEvent::Closed)
        };
        let error = accounts.execute(&ada(), count).unwrap_err();
        assert!(matches!(error, CommandError::Store(Error::Conflict { .. })), "{error:?}");
        assert_eq!(decided.load(Ordering::SeqCst), attempts_max.max(1));
    }
}

#[test]
fn a_rejection_is_the_user_s_own_and_nothing_is_written_nor_tried_again() {
    on_every_backend(|store| {
        let accounts = Repository::<Account, _>::new(store);
        open(&accounts);
        let decided = AtomicU32::new(0);
        let overdraw = |it: &Account| {
            decided.fetch_add(1, Ordering::SeqCst);
            it.withdraw(101)
        };
        let error = accounts.execute(&ada(), overdraw).unwrap_err();
        assert!(matches!(error, CommandError::Rejected(Rejection::NotEnough)));
        assert_eq!(decided.load(Ordering::SeqCst), 1);
        assert_eq!(accounts.store().global_position().unwrap().get(), 2);

        let mut account = accounts.load(&ada()).unwrap().unwrap();
        account.execute(|it| it.deposit(1)).unwrap();
        assert_eq!(account.execute(Account::close), Err(Rejection::NotEmpty));
        assert_eq!((account.cents, account.uncommitted_events().len()), (101, 1));
    });
}

#[test]
fn no_deposit_is_lost_when_many_threads_make_them() {
    const THREADS: u64 = 8;
    const DEPOSITS: u64 = 20;
    on_every_backend(|store| {
        let accounts = Repository::<Account, _>::new(store).attempts_max(u32::MAX);
        open(&accounts);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..DEPOSITS {
                        accounts.execute(&ada(), |it| it.deposit(1)).unwrap();
                    }
                });
            }
        });
        let account = accounts.load(&ada()).unwrap().unwrap();
        assert_eq!(account.cents, 100 + THREADS * DEPOSITS);
        assert_eq!(account.version().get(), 2 + THREADS * DEPOSITS);
    });
}

#[test]
fn saving_the_same_root_again_after_a_lost_answer_is_a_success() {
    on_every_backend(|store| {
        let watched = Watched::new(store);
        let accounts = Repository::<Account, _>::new(&watched);
        let mut account = open(&accounts);
        account.execute(Account::empty_and_close).unwrap();
        watched.forget(1);
        let error = accounts.save(&mut account).unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { .. }));
        assert_eq!(account.uncommitted_events().len(), 2);

        // Meanwhile somebody else goes on.
        accounts.execute(&ada(), |it| it.open("Ben")).unwrap();
        let result = accounts.save(&mut account).unwrap();
        assert!(result.replayed && result.appended == 0);
        assert_eq!((account.saved_version().get(), account.uncommitted_events().len()), (4, 0));
        assert_eq!(watched.global_position().unwrap().get(), 5);
    });
}

#[test]
fn a_root_is_saved_again_with_a_store_that_was_opened_anew() {
    let directory = tempfile::tempdir().unwrap();
    let watched = Watched::new(FileStore::open(directory.path().join("store")).unwrap());
    let mut account = open(&Repository::<Account, _>::new(&watched));
    account.execute(|it| it.deposit(7)).unwrap();
    watched.forget(1);
    Repository::<Account, _>::new(&watched).save(&mut account).unwrap_err();
    watched.store.close().unwrap();

    let store = FileStore::open(directory.path().join("store")).unwrap();
    let accounts = Repository::<Account, _>::new(&store);
    assert!(accounts.save(&mut account).unwrap().replayed);
    assert_eq!(accounts.load(&ada()).unwrap().unwrap().cents, 107);
}

#[test]
fn a_command_with_an_id_is_done_once_however_often_it_is_asked_for() {
    on_every_backend(|store| {
        let watched = Watched::new(store);
        let accounts = Repository::<Account, _>::new(&watched);
        open(&accounts);
        let request = Uuid::now_v7();
        watched.forget(1);
        let lost = accounts.execute_once(request, &ada(), Account::empty_and_close).unwrap_err();
        assert!(matches!(lost, CommandError::Store(Error::OutcomeUnknown { .. })));
        // The account is closed now: decided anew, the command would be rejected.
        let closed = accounts.execute_once(request, &ada(), |it| it.withdraw(100)).unwrap();
        assert_eq!((closed.owner.clone(), closed.version().get()), (None, 4));

        let ben = AggregateId::new("ben").unwrap();
        let opened = accounts.execute_once(request, &ben, |it| it.open("Ben")).unwrap();
        assert_eq!(opened.version().get(), 1, "another aggregate is another matter");
        assert!(accounts.execute_once(Uuid::now_v7(), &ada(), |it| it.deposit(1)).is_err());
    });
}

#[test]
fn a_command_that_is_asked_for_twice_at_the_same_time_is_done_once() {
    for more in [0, 1] {
        let other = move |it: &Account| it.deposit(5 + more);
        let request = Uuid::now_v7();
        let watched = Watched::meddled(MemoryStore::new(), 1, move |store| {
            open(&Repository::<Account, _>::new(store));
            Repository::new(store).execute_once(request, &ada(), other).unwrap();
        });
        let accounts = Repository::<Account, _>::new(&watched);
        let deposit = |_: &Account| Ok::<_, Rejection>(AccountEvent::Deposited { cents: 5 });
        let account = accounts.execute_once(request, &ada(), deposit).unwrap();
        assert_eq!((account.version().get(), watched.store.event_count()), (3, 3));
        let loaded = accounts.load(&ada()).unwrap().unwrap();
        assert_eq!(account.state(), loaded.state());
    }
}

/// Withdraws 100 cents of the only 100 that Ada has, while another try of the same command comes between.
fn withdraw_in_two_tries(when: fn(&Watched<MemoryStore>) -> &AtomicU32) {
    let request = Uuid::now_v7();
    let watched = Watched::meddled(MemoryStore::new(), 0, move |store| {
        let others = Repository::<Account, _>::new(store);
        others.execute_once(request, &ada(), |it| it.withdraw(100)).unwrap();
    });
    let accounts = Repository::<Account, _>::new(&watched);
    open(&accounts);
    when(&watched).store(1, Ordering::SeqCst);
    let account = accounts.execute_once(request, &ada(), |it| it.withdraw(100)).unwrap();
    assert_eq!((account.cents, account.version().get(), watched.store.event_count()), (0, 3, 3));
}

#[test]
fn a_command_that_another_try_did_meanwhile_is_not_decided_on_what_it_led_to() {
    withdraw_in_two_tries(|watched| &watched.looks_before);
    withdraw_in_two_tries(|watched| &watched.looks_after);
}

#[test]
fn a_command_whose_other_try_gave_fewer_events_is_not_done_in_part_again() {
    let request = Uuid::now_v7();
    let watched = Watched::meddled(MemoryStore::new(), 0, move |store| {
        let others = Repository::<Account, _>::new(store);
        others.execute_once(request, &ada(), |it| it.deposit(5)).unwrap();
    });
    let accounts = Repository::<Account, _>::new(&watched);
    open(&accounts);
    watched.looks_after.store(1, Ordering::SeqCst);
    // Gives a bonus to whoever has more than the 100 cents of the beginning.
    let deposit = |it: &Account| {
        let bonus = (it.cents > 100).then_some(AccountEvent::Deposited { cents: 1 });
        let own = [AccountEvent::Deposited { cents: 5 }];
        Ok::<_, Rejection>(own.into_iter().chain(bonus).collect::<Vec<_>>())
    };
    let account = accounts.execute_once(request, &ada(), deposit).unwrap();
    assert_eq!((account.cents, watched.store.event_count()), (105, 3));
}

#[test]
fn events_are_stamped_with_what_the_context_says() {
    on_every_backend(|store| {
        let (correlation, command, cause) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let context = Context::new()
            .correlation_id(correlation)
            .actor(ActorId::new("anna").unwrap())
            .metadata("source", "test");
        let plain = Repository::<Account, _>::new(store);
        let accounts = plain.clone().context(context.clone());
        accounts.execute(&ada(), |it| it.open("Ada")).unwrap();
        accounts.execute_once(command, &ada(), |it| it.deposit(1)).unwrap();
        let caused = accounts.clone().context(context.causation_id(cause));
        caused.execute_once(Uuid::now_v7(), &ada(), |it| it.deposit(2)).unwrap();
        plain.execute(&ada(), |it| it.deposit(3)).unwrap();

        let events = plain.store().load_stream(&stream(), ReadOptions::new()).unwrap();
        let causes: Vec<_> = events.events().iter().map(RecordedEvent::causation_id).collect();
        assert_eq!(causes, [None, Some(command), Some(cause), None]);
        for event in &events.events()[..3] {
            assert_eq!(event.correlation_id(), Some(correlation));
            assert_eq!(event.actor().unwrap().to_string(), "anna");
            assert_eq!(event.metadata().unwrap()["source"], "test");
        }
        let last = &events.events()[3];
        assert_eq!((last.correlation_id(), last.actor()), (None, None));
        assert!(last.metadata().unwrap().is_empty());

        let follows = Context::caused_by(&events.events()[0]).unwrap();
        let follow = Context::new()
            .correlation_id(correlation)
            .causation_id(events.events()[0].event_id().as_uuid());
        assert_eq!(follows, follow);
        let own = last.event_id().as_uuid();
        let started = Context::new().correlation_id(own).causation_id(own);
        assert_eq!(Context::caused_by(last).unwrap(), started);
    });
}

#[test]
fn an_event_that_can_not_be_read_is_an_error_that_names_it() {
    let store = MemoryStore::new();
    open(&Repository::<Account, _>::new(&store));
    let unknown = NewEvent::bincode("Frozen", &()).unwrap();
    store.append(&stream(), ExpectedVersion::Any, vec![unknown]).unwrap();
    let error = Repository::<Account, _>::new(&store).load(&ada()).unwrap_err();
    let Error::Decode { global_position, event_type, cause, .. } = error else { panic!("{error}") };
    assert_eq!((global_position.get(), event_type.as_str()), (3, "Frozen"));
    assert!(matches!(cause, DecodeFailure::UnknownEventType { .. }));
}

#[test]
fn a_repository_writes_with_its_codec_and_reads_every_other() {
    let store = MemoryStore::new();
    let account = open(&Repository::<Account, _>::new(&store).codec(Codec::json()));
    assert_eq!(store.all_events()[1].payload(), br#"{"cents":100}"#);
    let loaded = Repository::<Account, _>::new(&store).load(&ada()).unwrap().unwrap();
    assert_eq!(loaded.state(), account.state());
}

#[test]
fn a_command_may_give_one_event_several_or_none() {
    let opened = || AccountEvent::Opened { owner: "Ada".to_owned() };
    let given = || Scenario::<Account>::given([opened()]);
    given().when(|it| it.deposit(3)).then(AccountEvent::Deposited { cents: 3 });
    let state = given()
        .when(Account::empty_and_close)
        .then([AccountEvent::Withdrawn { cents: 0 }, AccountEvent::Closed]);
    assert_eq!(state.owner, None);
    given().when(|_| Ok::<_, Rejection>(None)).then(Vec::new());
    Scenario::<Account>::given([]).when(Account::close).then_rejected(Rejection::NotOpen);
}

#[test]
#[should_panic(expected = "NotOpen")]
fn a_scenario_fails_where_events_are_expected_and_the_command_is_rejected() {
    Scenario::<Account>::given([]).when(Account::close).then(AccountEvent::Closed);
}

#[test]
#[should_panic(expected = "Opened")]
fn a_scenario_fails_where_a_rejection_is_expected_and_the_command_gives_events() {
    Scenario::<Account>::given([]).when(|it| it.open("Ada")).then_rejected(Rejection::OpenAlready);
}

#[test]
#[should_panic(expected = "NotEnough")]
fn a_scenario_fails_where_another_rejection_is_expected() {
    let opened = AccountEvent::Opened { owner: "Ada".to_owned() };
    Scenario::<Account>::given([opened])
        .when(|it| it.withdraw(1))
        .then_rejected(Rejection::NotEmpty);
}

#[test]
fn an_aggregate_whose_last_event_is_damaged_is_an_error_and_not_an_old_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let files = FileStore::open(&path).unwrap();
    let accounts = Repository::<Account, _>::new(&files);
    accounts.execute(&ada(), |it| it.open("Ada")).unwrap();
    accounts.execute(&ada(), |it| it.deposit(100)).unwrap();
    let last = Codec::bincode().encode(&AccountEvent::Deposited { cents: 7_777_777 }).unwrap();
    let last = last.payload().to_vec();
    accounts.execute(&ada(), |it| it.deposit(7_777_777)).unwrap();
    files.close().unwrap();
    let segment = path.join("log/0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let place = bytes.windows(last.len()).rposition(|window| window == last).unwrap();
    bytes[place] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let damaged = FileStore::open_read_only(&path).unwrap();
    let accounts = Repository::<Account, _>::new(&damaged);
    let is_damage = |error: &Error| matches!(error, Error::Damage(_));
    assert!(is_damage(&accounts.load(&ada()).unwrap_err()));
    assert!(is_damage(&accounts.load_or_create(&ada()).unwrap_err()));
    assert!(is_damage(&accounts.exists(&ada()).unwrap_err()));
    // Whether somebody else has an account can not be known either.
    let bob = AggregateId::new("bob").unwrap();
    assert!(is_damage(&accounts.load(&bob).unwrap_err()));
}
