//! Tenants: what one records is not there for another, and never mixed with it.

use annals::{
    AggregateId, CheckFailure, Codec, CommandError, Commit, Context, Error, EventStore,
    ExpectedVersion, FailIfMatches, Filter, MemoryStore, NewEvent, Query, QueryItem, ReadOptions,
    Repository, StreamId, TenantId, TenantStore,
};

use crate::account::{Account, AccountEvent, Rejection, Watched, on_every_backend};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn ada() -> AggregateId {
    AggregateId::new("ada").unwrap()
}

fn stream() -> StreamId {
    StreamId::new("Account", "ada").unwrap()
}

fn of<S: EventStore>(store: S, name: &str) -> Repository<Account, S> {
    Repository::new(store).context(Context::new().tenant(tenant(name)))
}

fn opened(owner: &str, name: Option<&str>) -> NewEvent {
    let event = Codec::bincode().encode(&AccountEvent::Opened { owner: owner.to_owned() }).unwrap();
    match name {
        Some(name) => event.tenant(tenant(name)),
        None => event,
    }
}

fn append(store: &impl EventStore, event: NewEvent) {
    store.append(&stream(), ExpectedVersion::Any, vec![event]).unwrap();
}

#[test]
fn an_aggregate_of_another_tenant_is_absent_and_its_id_can_not_be_used() {
    on_every_backend(|store| {
        let (acme, other) = (of(&store, "acme"), of(&store, "other"));
        acme.execute(&ada(), |it| it.open("Ada")).unwrap();
        assert!(acme.exists(&ada()).unwrap() && !other.exists(&ada()).unwrap());
        assert!(other.load(&ada()).unwrap().is_none());
        let absent = other.load_or_create(&ada()).unwrap();
        assert_eq!((absent.version().get(), absent.state()), (0, &Account::default()));

        let error = other.execute(&ada(), |it| it.open("Ben")).unwrap_err();
        let CommandError::Store(Error::OtherTenant { stream: refused, tenant: whose }) = error
        else {
            panic!("{error:?}")
        };
        assert_eq!((refused, whose), (stream(), Some(tenant("other"))));
        assert_eq!(store.global_position().unwrap().get(), 1);
        assert_eq!(acme.execute(&ada(), |it| it.deposit(5)).unwrap().cents, 5);
    });
}

#[test]
fn a_repository_without_a_tenant_sees_everything_and_saves_only_what_has_none() {
    on_every_backend(|store| {
        of(&store, "acme").execute(&ada(), |it| it.open("Ada")).unwrap();
        let all = Repository::<Account, _>::new(&store);
        let account = all.load(&ada()).unwrap().unwrap();
        assert_eq!((account.owner.as_deref(), account.version().get()), (Some("Ada"), 1));
        let error = all.execute(&ada(), |it| it.deposit(5)).unwrap_err();
        assert!(matches!(error, CommandError::Store(Error::OtherTenant { tenant: None, .. })));

        let ben = AggregateId::new("ben").unwrap();
        all.execute(&ben, |it| it.open("Ben")).unwrap();
        let error = of(&store, "acme").execute(&ben, |it| it.open("Eve")).unwrap_err();
        assert!(matches!(error, CommandError::Store(Error::OtherTenant { .. })));
        assert!(!of(&store, "acme").exists(&ben).unwrap());
    });
}

#[test]
fn in_a_stream_of_two_tenants_each_sees_its_own_events_and_nobody_can_save() {
    on_every_backend(|store| {
        append(&store, opened("Ada", Some("acme")));
        append(&store, opened("Ben", Some("other")));
        append(&store, opened("Cleo", None));
        for (name, owner, version) in [("acme", "Ada", 1), ("other", "Ben", 2)] {
            let accounts = of(&store, name);
            let account = accounts.load(&ada()).unwrap().unwrap();
            assert_eq!(account.owner.as_deref(), Some(owner));
            assert_eq!(account.version().get(), version);
            let error = accounts.execute(&ada(), |it| it.deposit(5)).unwrap_err();
            assert!(matches!(error, CommandError::Store(Error::OtherTenant { .. })));
        }
        let all = Repository::<Account, _>::new(&store);
        assert_eq!(all.load(&ada()).unwrap().unwrap().owner.as_deref(), Some("Cleo"));
        assert!(all.execute(&ada(), |it| it.deposit(5)).is_err());
        assert_eq!(store.global_position().unwrap().get(), 3);
    });
}

#[test]
fn what_was_loaded_for_one_tenant_is_not_saved_for_another() {
    let store = MemoryStore::new();
    let mut account = of(&store, "acme").load_or_create(&ada()).unwrap();
    account.execute(|it| it.open("Ada")).unwrap();
    for others in [of(&store, "other"), Repository::new(&store)] {
        assert!(matches!(others.save(&mut account), Err(Error::OtherTenant { .. })));
    }
    of(&store, "acme").save(&mut account).unwrap();
    assert_eq!(store.all_events()[0].tenant(), Some(tenant("acme").as_ref()));
}

#[test]
fn a_tenant_that_is_faster_is_noticed() {
    let watched = Watched::meddled(MemoryStore::new(), 1, |store| {
        append(store, opened("Ben", Some("other")));
    });
    let error = of(&watched, "acme").execute(&ada(), |it| it.open("Ada")).unwrap_err();
    assert!(matches!(error, CommandError::Store(Error::OtherTenant { .. })), "{error:?}");
    assert_eq!(watched.store.event_count(), 1);
}

#[test]
fn a_command_id_that_another_tenant_has_used_is_no_excuse() {
    let store = MemoryStore::new();
    let request = uuid::Uuid::now_v7();
    of(&store, "acme").execute_once(request, &ada(), |it| it.open("Ada")).unwrap();
    let error = of(&store, "other").execute_once(request, &ada(), |it| it.open("Ada")).unwrap_err();
    assert!(matches!(error, CommandError::Store(Error::OtherTenant { .. })), "{error:?}");
}

#[test]
fn a_tenant_s_store_shows_its_own_events_on_every_kind_of_read() {
    on_every_backend(|store| {
        let (acme, other) = (TenantStore::new(&store, tenant("acme")), tenant("other"));
        let mine = acme.append(&stream(), ExpectedVersion::NoStream, vec![opened("Ada", None)]);
        assert_eq!(mine.unwrap().new_version.get(), 1);
        let elsewhere = StreamId::new("Account", "ben").unwrap();
        let foreign = opened("Ben", Some("other"));
        let foreign_id = foreign.event_id();
        store.append(&elsewhere, ExpectedVersion::NoStream, vec![foreign]).unwrap();

        let positions = |read: annals::Result<annals::Events>| -> Vec<u64> {
            read.unwrap().map(|event| event.unwrap().global_position().get()).collect()
        };
        assert_eq!(positions(acme.read_all(ReadOptions::new())), [1]);
        assert_eq!(positions(acme.read_category("Account", ReadOptions::new().backward())), [1]);
        assert_eq!(positions(acme.read(&Query::all(), ReadOptions::new().limit(5))), [1]);
        assert_eq!(positions(acme.read_stream(&stream(), ReadOptions::new())), [1]);
        assert!(positions(acme.read_stream(&elsewhere, ReadOptions::new())).is_empty());
        let of_the_other = ReadOptions::new().filter(Filter::new().tenant(other));
        assert!(positions(acme.read_all(of_the_other)).is_empty());
        let of_the_type = ReadOptions::new().filter(Filter::new().event_type("Closed"));
        assert!(positions(acme.read_all(of_the_type)).is_empty());

        assert_eq!(acme.stream_version(&stream()).unwrap().get(), 1);
        assert_eq!(acme.stream_version(&elsewhere).unwrap().get(), 0);
        let loaded = acme.load_stream(&elsewhere, ReadOptions::new()).unwrap();
        assert!(loaded.is_empty() && loaded.version().get() == 0);
        assert!(acme.event(foreign_id).unwrap().is_none());
        assert!(!acme.event_exists(foreign_id).unwrap());
        assert_eq!(acme.tenant(), &tenant("acme"));
    });
}

#[test]
fn a_tenant_s_store_refuses_events_and_streams_of_others() {
    on_every_backend(|store| {
        let acme = TenantStore::new(&store, tenant("acme"));
        let foreign =
            acme.append(&stream(), ExpectedVersion::Any, vec![opened("B", Some("other"))]);
        assert!(
            matches!(foreign, Err(Error::OtherTenant { tenant: Some(whose), .. }) if whose == tenant("other"))
        );
        append(&store, opened("Ben", None));
        for expected in [ExpectedVersion::Any, ExpectedVersion::exact(1)] {
            let refused = acme.append(&stream(), expected, vec![opened("Ada", None)]);
            assert!(matches!(refused, Err(Error::OtherTenant { .. })));
        }
        assert_eq!(store.global_position().unwrap().get(), 1);
    });
}

#[test]
fn nobody_s_event_comes_between_looking_and_writing() {
    for expected in [ExpectedVersion::Any, ExpectedVersion::StreamExists] {
        let store = MemoryStore::new();
        append(&store, opened("Ada", Some("acme")));
        let watched = Watched::meddled(store, 1, |store| append(store, opened("Ben", None)));
        let acme = TenantStore::new(&watched, tenant("acme"));
        let refused = acme.append(&stream(), expected, vec![opened("Ada", None)]);
        assert!(matches!(refused, Err(Error::OtherTenant { .. })), "{refused:?}");

        let store = MemoryStore::new();
        append(&store, opened("Ada", Some("acme")));
        let own = |store: &MemoryStore| append(store, opened("Ada", Some("acme")));
        let watched = Watched::meddled(store, 2, own);
        let acme = TenantStore::new(&watched, tenant("acme"));
        let both = Commit::new().append(&stream(), expected, vec![opened("Ada", None)]).append(
            &stream(),
            ExpectedVersion::Any,
            vec![opened("Ada", None)],
        );
        assert_eq!(acme.commit(both).unwrap().appends[1].new_version.get(), 5);
    }
}

#[test]
fn a_commit_is_refused_for_what_the_caller_asked_and_for_nothing_else() {
    let store = MemoryStore::new();
    append(&store, opened("Ada", Some("acme")));
    let watched = Watched::meddled(store, 1, |store| append(store, opened("A", Some("acme"))));
    let acme = TenantStore::new(&watched, tenant("acme"));
    let taken = FailIfMatches::new(QueryItem::new().event_type("Opened").into());
    let commit = Commit::new()
        .append(&stream(), ExpectedVersion::Any, vec![opened("Ada", None)])
        .condition(taken);
    let Err(Error::CommitRefused { failures }) = acme.commit(commit) else { panic!() };
    assert!(matches!(failures[..], [CheckFailure::Condition { .. }]), "{failures:?}");

    let stale = acme.append(&stream(), ExpectedVersion::exact(1), vec![opened("Ada", None)]);
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    let absent = StreamId::new("Account", "nobody").unwrap();
    let missing = acme.append(&absent, ExpectedVersion::StreamExists, vec![opened("N", None)]);
    assert!(matches!(missing, Err(Error::Conflict { .. })), "{missing:?}");
}

#[test]
fn a_later_append_that_expects_what_can_not_be_is_refused_and_not_tried_for_ever() {
    on_every_backend(|store| {
        append(&store, opened("Ada", Some("acme")));
        let acme = TenantStore::new(&store, tenant("acme"));
        // The stream is at version 1 before the commit; the second append sees version 2.
        for wrong in [ExpectedVersion::exact(99), ExpectedVersion::exact(1)] {
            let commit = Commit::new()
                .append(&stream(), ExpectedVersion::Any, vec![opened("Ada", None)])
                .append(&stream(), wrong, vec![opened("Ada", None)]);
            let Err(Error::CommitRefused { failures }) = acme.commit(commit) else { panic!() };
            let [CheckFailure::Version { expected, actual, .. }] = &failures[..] else {
                panic!("{failures:?}")
            };
            assert_eq!((*expected, actual.get()), (wrong, 2));
        }
        assert_eq!(store.global_position().unwrap().get(), 1);
    });
}

#[test]
fn a_stream_that_another_tenant_begins_meanwhile_is_not_taken_for_one_s_own() {
    for expected in [ExpectedVersion::exact(1), ExpectedVersion::StreamExists] {
        let watched = Watched::meddled(MemoryStore::new(), 1, |store| {
            append(store, opened("Ben", Some("other")));
        });
        let acme = TenantStore::new(&watched, tenant("acme"));
        let refused = acme.append(&stream(), expected, vec![opened("Ada", None)]);
        assert!(matches!(refused, Err(Error::OtherTenant { .. })), "{refused:?}");
        assert_eq!(watched.store.event_count(), 1);
    }
}

#[test]
fn a_tenant_s_store_gives_a_result_for_each_append_and_recognises_a_retry() {
    on_every_backend(|store| {
        let acme = TenantStore::new(&store, tenant("acme"));
        let ben = StreamId::new("Account", "ben").unwrap();
        let commit = Commit::new()
            .append(&stream(), ExpectedVersion::NoStream, vec![opened("Ada", None)])
            .append(&ben, ExpectedVersion::Any, vec![opened("Ben", None), opened("Ben", None)]);
        let first = acme.commit(commit.clone()).unwrap();
        let versions: Vec<_> =
            first.appends.iter().map(|append| append.new_version.get()).collect();
        assert_eq!((versions, first.appended), (vec![1, 2], 3));
        append(&store, opened("Ada", Some("acme")));
        let again = acme.commit(commit).unwrap();
        assert!(again.replayed && again.appends.iter().all(|append| append.replayed));
        let versions: Vec<_> =
            again.appends.iter().map(|append| append.new_version.get()).collect();
        assert_eq!((versions, again.appended), (vec![1, 2], 0));
    });
}

#[test]
fn a_repository_on_a_tenant_s_store_works_as_on_its_own() {
    let store = MemoryStore::new();
    let accounts = Repository::<Account, _>::new(TenantStore::new(&store, tenant("acme")))
        .context(Context::new().tenant(tenant("acme")));
    accounts.execute(&ada(), |it| it.open("Ada")).unwrap();
    let account = accounts.execute(&ada(), |it| it.deposit(5)).unwrap();
    assert_eq!((account.cents, account.version().get()), (5, 2));
    let nothing = Repository::<Account, _>::new(TenantStore::new(&store, tenant("other")));
    assert!(nothing.load(&ada()).unwrap().is_none());
    let refused = nothing.execute(&ada(), |_| Ok::<_, Rejection>(AccountEvent::Closed));
    assert!(refused.is_err());
}
