//! The namespace of a table's name is the schema in which the session finds the table.

use diesel::connection::SimpleConnection;
use diesel::result::DatabaseErrorKind;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{LockStatus, OpenTransactionReason};
use server_test::server_test;

use super::names::{held_keys, row_in};
use crate::server::{self, Account, Conn, session_id};
use crate::suite::lock_pool_faults::in_front_of;
use crate::suite::names::exclude;
use crate::suite::support::{Counter, Db, Form, Path, second_lock};

/// Creates the schema `other`, with a counter as in `public`.
fn create_other_schema(db: &Db) {
    db.counter(1);
    db.execute(
        "CREATE SCHEMA other; CREATE TABLE other.counters (LIKE public.counters INCLUDING ALL); \
         INSERT INTO other.counters VALUES (1, 0)",
    );
}

fn counter() -> Counter {
    Counter { id: 1, value: -1 }
}

fn name() -> LockName {
    counter().lock_name()
}

fn set_path(conn: &mut Conn, path: &str) {
    conn.batch_execute(&format!("SET search_path = {path}"))
        .unwrap();
}

fn conn_with_path(db: &Db, path: &str) -> Conn {
    let mut conn = db.conn();
    set_path(&mut conn, path);
    conn
}

/// The session that holds the lock of counter 1 in a schema.
fn holder(observer: &mut Conn, schema: &str) -> Option<i64> {
    server::lock_holder(observer, &name().full_name(schema))
}

/// Runs a closure under the lock of one session, and tests whether the other one is excluded.
#[track_caller]
fn assert_exclusion(one: &mut Conn, other: &mut Conn, expected: bool) {
    for transaction in [false, true] {
        let mut held = counter();
        let body = |_: &mut Counter, _: &mut Conn| {
            let ran = counter().try_with_lock(other, |_, _| Ok::<_, LockError>(()))?;
            assert_eq!(ran.is_none(), expected);
            let ran = counter()
                .lock()
                .try_transaction(other, |_, _| Ok::<_, LockError>(()))?;
            assert_eq!(ran.is_none(), expected);
            let is_free = name().status(other)? == LockStatus::Free;
            assert_eq!(is_free, !expected);
            Ok::<_, LockError>(())
        };
        match transaction {
            false => held.with_lock(one, body).unwrap(),
            true => held.lock().transaction(one, body).unwrap(),
        }
    }
}

#[server_test]
fn sessions_that_find_one_table_exclude_each_other(db: &Db) {
    create_other_schema(db);
    db.execute("CREATE SCHEMA empty");
    let paths = [
        "public",
        "empty, public",
        "public, other",
        "nowhere, public",
        "\"$user\", public, other",
        "pg_catalog, public",
    ];
    for path in paths {
        let (one, other) = (&mut conn_with_path(db, path), &mut db.conn());
        assert_exclusion(one, other, true);
        assert_exclusion(other, one, true);
    }
}

#[server_test]
fn tables_of_one_name_in_two_schemas_have_two_locks(db: &Db) {
    let observer = &mut db.conn();
    create_other_schema(db);
    let (one, other) = (&mut db.conn(), &mut conn_with_path(db, "other, public"));
    assert_exclusion(one, other, false);
    assert_exclusion(other, one, false);
    let id = session_id(one);
    let run = counter().with_lock(one, |_, _| {
        assert_eq!(
            [holder(observer, "public"), holder(observer, "other")],
            [Some(id), None]
        );
        Ok::<_, LockError>(())
    });
    run.unwrap();
}

/// Each statement was prepared under the other path.
#[server_test]
fn search_path_changed_after_the_first_lock_changes_the_lock_on_every_path(db: &Db) {
    let observer = &mut db.conn();
    create_other_schema(db);
    for path in Path::all() {
        let mut client = path.client(db);
        for [here, elsewhere] in [
            ["public", "other"],
            ["other", "public"],
            ["public", "other"],
        ] {
            client.with(|conn| set_path(conn, here));
            let run = client.run(&mut counter(), |_, conn| {
                let id = session_id(conn);
                assert_eq!(holder(observer, here), Some(id), "{path:?}");
                assert_eq!(holder(observer, elsewhere), None, "{path:?}");
                Ok(())
            });
            run.unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert_eq!(holder(observer, here), None, "{path:?}");
        }
    }
}

#[server_test]
fn sessions_with_cached_statements_exclude_each_other_after_set_search_path(db: &Db) {
    create_other_schema(db);
    let (one, other) = (&mut db.conn(), &mut conn_with_path(db, "other"));
    assert_exclusion(one, other, false);
    set_path(other, "nowhere, public");
    assert_exclusion(one, other, true);
    set_path(one, "other, public");
    assert_exclusion(one, other, false);
}

mod explicit {
    diesel::table! {
        other.counters (id) { id -> BigInt, }
    }
}

#[server_test]
fn explicit_schema_is_the_lock_of_the_table_that_is_found_there(db: &Db) {
    let observer = &mut db.conn();
    create_other_schema(db);
    let explicit = LockName::row(explicit::counters::table, 1);
    let in_other = &mut conn_with_path(db, "other, public");
    assert!(exclude((in_other, &name()), (&mut db.conn(), &explicit)));
    assert!(exclude((&mut db.conn(), &explicit), (in_other, &name())));
    assert!(!exclude(
        (&mut db.conn(), &name()),
        (&mut db.conn(), &explicit)
    ));
    let namespace = name().namespace("other");
    assert!(exclude((in_other, &name()), (&mut db.conn(), &namespace)));

    // Both names of the lock in one set, and one inside the other.
    let id = session_id(in_other);
    let key = vec![(1, explicit.postgres_key(""))];
    let mut held = |_: &mut Conn| {
        assert_eq!(held_keys(observer, id), key);
        Ok::<_, LockError>(())
    };
    let names = [name(), explicit.clone()];
    lock_all(names.clone())
        .run(in_other, |_, conn| held(conn))
        .unwrap();
    lock_all(names)
        .transaction(in_other, |_, conn| held(conn))
        .unwrap();
    let run = counter().with_lock(in_other, |_, conn| {
        let guard = explicit.lock().acquire(conn)?;
        assert!(guard.is_reentrant());
        guard.release()
    });
    run.unwrap();
    assert_eq!(holder(observer, "other"), None);
}

#[server_test]
fn explicit_namespace_is_shared_across_schemas(db: &Db) {
    create_other_schema(db);
    let shared = name().namespace("shared");
    let in_other = &mut conn_with_path(db, "other");
    assert!(exclude((in_other, &shared), (&mut db.conn(), &shared)));
    // The table need not exist.
    let nowhere = &mut conn_with_path(db, "nowhere");
    assert!(exclude((nowhere, &shared), (&mut db.conn(), &shared)));
    let explicit = LockName::row(explicit::counters::table, 1).namespace("shared");
    assert!(exclude((nowhere, &explicit), (&mut db.conn(), &shared)));
}

/// Locks belong to a database.
#[server_test]
fn sessions_in_two_databases_never_exclude_each_other(db: &Db) {
    let other = db.create_other();
    for name in [
        name(),
        name().namespace("shared"),
        LockName::named("job"),
        LockName::exact("job").unwrap(),
        LockName::exact_key(42),
        LockName::exact_keys(1, 2),
    ] {
        let (here, there) = (&mut db.conn(), &mut other.conn());
        let held = name.lock().acquire(here).unwrap();
        assert_eq!(name.status(there).unwrap(), LockStatus::Free, "{name}");
        let second = name.lock().try_acquire(there).unwrap();
        second
            .expect("free in the other database")
            .release()
            .unwrap();
        held.release().unwrap();
    }
}

/// Its schema is that of the session, so no other session is excluded.
#[server_test]
fn temporary_table_has_its_own_lock(db: &Db) {
    db.counter(1);
    let (one, other) = (&mut db.conn(), &mut db.conn());
    assert_exclusion(one, other, true);
    one.batch_execute(
        "CREATE TEMPORARY TABLE counters (LIKE public.counters); \
         INSERT INTO counters VALUES (1, 0)",
    )
    .unwrap();
    assert_exclusion(one, other, false);
    assert_exclusion(other, one, false);
    one.batch_execute("DROP TABLE pg_temp.counters").unwrap();
    assert_exclusion(one, other, true);
}

#[server_test]
fn search_path_changed_inside_the_closure_does_not_prevent_the_release(db: &Db) {
    let observer = &mut db.conn();
    create_other_schema(db);
    for path in Path::all() {
        let mut client = path.client(db);
        for changed in ["other", "nowhere"] {
            client.with(|conn| set_path(conn, "public"));
            let id = client.session_id();
            let run = client.run(&mut counter(), |_, conn| {
                set_path(conn, changed);
                assert_eq!(holder(observer, "public"), Some(id), "{path:?}");
                Ok(())
            });
            run.unwrap_or_else(|error| panic!("{path:?}, {changed}: {error}"));
            assert_eq!(held_keys(observer, id), [], "{path:?}, {changed}");
            let state = client.events().counts();
            assert_eq!(
                state.2, 0,
                "the connection was discarded: {path:?}, {changed}"
            );
        }
    }
}

#[server_test]
fn nested_lock_after_set_search_path_is_of_the_other_row(db: &Db) {
    let observer = &mut db.conn();
    create_other_schema(db);
    db.execute("UPDATE other.counters SET value = 5");
    let conn = &mut db.conn();
    let id = session_id(conn);
    let run = counter().with_lock(conn, |model, conn| {
        assert_eq!(model.value, 0);
        set_path(conn, "other");
        counter().with_lock(conn, |model, _| {
            assert_eq!(model.value, 5);
            assert_eq!(
                [holder(observer, "public"), holder(observer, "other")],
                [Some(id); 2]
            );
            Ok::<_, LockError>(())
        })?;
        assert_eq!(
            [holder(observer, "public"), holder(observer, "other")],
            [Some(id), None]
        );
        let guard = name().lock().acquire(conn)?;
        assert!(!guard.is_reentrant());
        guard.release()?;
        set_path(conn, "public");
        let guard = name().lock().acquire(conn)?;
        assert!(guard.is_reentrant());
        guard.release()
    });
    run.unwrap();
    assert_eq!(held_keys(observer, id), []);
}

/// The lock is that of another row, and the session does not hold it.
#[server_test]
fn nested_lock_after_set_search_path_inside_transaction_is_refused(db: &Db) {
    let observer = &mut db.conn();
    create_other_schema(db);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        let mut client = path.client(db);
        let id = client.session_id();
        let run = client.run(&mut counter(), |counter, conn| {
            set_path(conn, "other");
            for inner in Form::ALL {
                let run = inner.run_on(conn, counter, |_, _| panic!("{inner:?} ran"));
                let reason = match run {
                    Err(LockError::OpenTransaction { reason, .. }) => reason,
                    other => panic!("{inner:?} inside {path:?}: {other:?}"),
                };
                assert_eq!(reason, OpenTransactionReason::Diesel);
            }
            set_path(conn, "public");
            counter.with_lock(conn, |_, _| Ok(()))
        });
        run.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(held_keys(observer, id), [], "{path:?}");
    }
}

/// A request that is handed the connection would lock and reload a row of another schema.
#[server_test]
fn lock_pool_hands_off_no_session_with_another_search_path(db: &Db) {
    create_other_schema(db);
    db.execute("UPDATE other.counters SET value = 5");
    for in_transaction in [false, true] {
        let locks = &db.locks(1);
        let others = || {
            let mut model = counter();
            let run = locks.run(model.lock(), |model, conn| {
                let schema = match model.value {
                    0 => "public",
                    _ => "other",
                };
                let id = session_id(conn);
                let held = ["public", "other"].map(|it| holder(&mut db.conn(), it) == Some(id));
                assert_eq!(held, ["public", "other"].map(|it| it == schema));
                set_path(conn, "public");
                Ok::<_, LockError>(())
            });
            run.unwrap();
        };
        in_front_of(db, locks, 2, others, || {
            let body = |conn: &mut Conn| {
                set_path(conn, "other");
                Ok::<_, LockError>(())
            };
            match in_transaction {
                true => locks.transaction(counter().lock(), |_, conn| body(conn)),
                false => locks.run(name().lock(), |_, conn| body(conn)),
            }
            .unwrap();
        });
        assert_eq!(locks.state().names, 0);
    }
}

#[track_caller]
fn assert_not_found<R: std::fmt::Debug>(run: Result<R, LockError>, what: &str) {
    let error = run.map(drop).expect_err(what);
    let LockError::Database { source, .. } = &error else {
        panic!("{what}: {error:?}");
    };
    let diesel::result::Error::DatabaseError(DatabaseErrorKind::Unknown, information) = source
    else {
        panic!("{what}: {source:?}");
    };
    assert_eq!(
        information.message(),
        "relation \"counters\" does not exist",
        "{what}"
    );
    assert_eq!(error.name(), &name(), "{what}");
}

#[server_test]
fn table_that_is_not_found_is_an_error_on_every_path(db: &Db) {
    let observer = &mut db.conn();
    create_other_schema(db);
    for path in Path::all() {
        let mut client = path.client(db);
        let id = client.session_id();
        for _ in 0..2 {
            client.with(|conn| set_path(conn, "nowhere"));
            let run = client.run(&mut counter(), |_, _| panic!("the closure ran"));
            assert_not_found(run, &format!("{path:?}"));
            assert_eq!(held_keys(observer, id), [], "{path:?}");
            client.assert_nothing_left(db, &format!("{path:?}"));
            // The connection is usable, and is that of before.
            client.with(|conn| set_path(conn, "public"));
            client.run(&mut counter(), |_, _| Ok(())).unwrap();
            assert_eq!(client.session_id(), id, "{path:?}");
            assert_eq!(client.events().counts().2, 0, "{path:?}");
        }
    }
}

/// No other lock of the set is held on return, wherever the name stands in the set.
#[server_test]
fn set_with_a_table_that_is_not_found_acquires_nothing(db: &Db) {
    let observer = &mut db.conn();
    let conn = &mut conn_with_path(db, "nowhere");
    let id = session_id(conn);
    let (low, high) = (LockName::exact_key(i64::MIN), LockName::exact_key(i64::MAX));
    let never = |_: &mut Conn| -> Result<(), LockError> { panic!("the closure ran") };
    for names in [
        vec![name(), second_lock(), low.clone(), high.clone()],
        vec![second_lock(), low.clone(), high.clone(), name()],
        vec![name(), name()],
    ] {
        let set = || lock_all(names.clone());
        for run in [
            set().run(conn, |_, conn| never(conn)),
            set().transaction(conn, |_, conn| never(conn)),
            set().try_run(conn, |_, conn| never(conn)).map(drop),
            set().try_transaction(conn, |_, conn| never(conn)).map(drop),
            set().acquire(conn).map(drop),
        ] {
            assert_not_found(run, &format!("{names:?}"));
        }
        assert_eq!(held_keys(observer, id), [], "{names:?}");
    }
    conn.batch_execute("SELECT 1").unwrap();
}

#[server_test]
fn table_that_is_not_found_in_a_nested_call_leaves_the_outer_lock(db: &Db) {
    let observer = &mut db.conn();
    db.counter(1);
    let conn = &mut db.conn();
    let id = session_id(conn);
    let outer = LockName::named("outer");
    let run = outer.lock().run(conn, |_, conn| {
        set_path(conn, "nowhere");
        for form in Form::ALL {
            let run = form.run_on(conn, &mut counter(), |_, _| panic!("{form:?} ran"));
            assert_not_found(run, &format!("{form:?}"));
        }
        assert_eq!(held_keys(observer, id), [(1, outer.postgres_key(""))]);
        set_path(conn, "public");
        counter().with_lock(conn, |_, _| Ok::<_, LockError>(()))
    });
    run.unwrap();
    assert_eq!(held_keys(observer, id), []);
}

#[server_test]
fn status_of_a_table_that_is_not_found_is_free(db: &Db) {
    let conn = &mut conn_with_path(db, "nowhere");
    assert_eq!(name().status(conn).unwrap(), LockStatus::Free);
}

/// The name is quoted, so it is only found as it is spelled.
#[server_test]
fn table_is_found_only_in_its_spelling(db: &Db) {
    db.execute("CREATE TABLE \"Mixed\" (id INT); CREATE TABLE lower (id INT)");
    let conn = &mut db.conn();
    row_in("Mixed")
        .lock()
        .acquire(conn)
        .unwrap()
        .release()
        .unwrap();
    row_in("lower")
        .lock()
        .acquire(conn)
        .unwrap()
        .release()
        .unwrap();
    for table in ["mixed", "LOWER", "public.lower", " lower", "\"lower\""] {
        let error = row_in(table).lock().acquire(conn).map(drop).unwrap_err();
        assert!(
            matches!(error, LockError::Database { .. }),
            "{table}: {error}"
        );
    }
    row_in("lower")
        .lock()
        .acquire(conn)
        .unwrap()
        .release()
        .unwrap();
}

#[server_test]
fn views_and_partitioned_tables_are_found(db: &Db) {
    db.execute(
        "CREATE TABLE parted (id INT) PARTITION BY LIST (id);
         CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);
         CREATE VIEW seen AS SELECT * FROM parted;
         CREATE MATERIALIZED VIEW stored AS SELECT * FROM parted;
         CREATE UNLOGGED TABLE unlogged (id INT);
         CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
         CREATE FOREIGN TABLE foreigner (id INT) SERVER nowhere",
    );
    let (one, other) = (&mut db.conn(), &mut db.conn());
    for table in ["parted", "part", "seen", "stored", "unlogged", "foreigner"] {
        let name = row_in(table);
        assert!(exclude((one, &name), (other, &name)), "{table}");
        let held = name.lock().acquire(one).unwrap();
        assert!(db.holder_of(&name.full_name("public")).is_some(), "{table}");
        held.release().unwrap();
    }
    // They are different names.
    assert!(!exclude((one, &row_in("parted")), (other, &row_in("seen"))));
}

/// The server does not search a schema that the role may not use.
#[server_test]
fn schema_without_usage_is_not_searched(db: &Db) {
    create_other_schema(db);
    let account = Account::create(db);
    let conn = &mut account.conn();
    set_path(conn, "other, public");
    assert_exclusion(conn, &mut db.conn(), true);
    let explicit = LockName::row(explicit::counters::table, 1);
    explicit.lock().acquire(conn).unwrap().release().unwrap();
    set_path(conn, "other");
    let run = counter().with_lock(conn, |_, _| Ok::<_, LockError>(()));
    assert_not_found(run, "without USAGE");
    account.grant("USAGE ON SCHEMA other");
    account.grant("SELECT ON other.counters");
    assert_exclusion(conn, &mut db.conn(), false);
    assert_exclusion(conn, &mut conn_with_path(db, "other"), true);
}

/// A table is found even if the role may not read it: the lock needs no privilege.
#[server_test]
fn lock_of_a_table_without_privileges_is_acquired(db: &Db) {
    db.counter(1);
    let account = Account::create_without_reads(db);
    let conn = &mut account.conn();
    assert!(exclude((conn, &name()), (&mut db.conn(), &name())));
}

/// The error is not the server's, which would abort the transaction.
#[server_test]
fn table_not_found_in_a_transaction_leaves_it_usable(db: &Db) {
    let mut counter = db.counter(1);
    let run = LockName::named("outer")
        .lock()
        .transaction(&mut db.conn(), |_, conn| {
            conn.batch_execute("SET LOCAL search_path = nowhere")?;
            let refused = counter.with_lock(conn, |_, _| Ok::<_, LockError>(()));
            assert!(
                matches!(refused, Err(LockError::Database { .. })),
                "{refused:?}"
            );
            conn.batch_execute("UPDATE public.counters SET value = 7")
        });
    assert_eq!(run, Ok(()));
    assert_eq!(db.value(1), 7);
}
