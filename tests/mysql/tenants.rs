//! `USE`, with a schema for each tenant. Without cached statements, locks follow the schema as
//! Diesel's queries do.

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{LockStatus, OpenTransactionReason};
use server_test::server_test;

use crate::server::session_id;
use crate::suite::lock_pool_faults::in_front_of;
use crate::suite::support::{Counter, Db, Form, Path, counters, second_lock};

/// Another schema on the same server, with a counter as in the first.
fn tenant(db: &Db) -> Db {
    let tenant = db.create_other();
    db.counter(1);
    tenant.counter(1);
    tenant
}

fn name() -> LockName {
    counter().lock_name()
}

fn counter() -> Counter {
    Counter { id: 1, value: -1 }
}

fn use_schema(conn: &mut MysqlConnection, schema: &str) {
    conn.batch_execute(&format!("USE `{schema}`")).unwrap();
}

/// A connection without cached statements, on which a lock of the first schema has been acquired.
fn uncached(db: &Db) -> MysqlConnection {
    let mut conn = db.conn();
    disable_cache(&mut conn);
    conn
}

fn disable_cache(conn: &mut MysqlConnection) {
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    counter()
        .with_lock(conn, |_, _| Ok::<_, LockError>(()))
        .unwrap();
}

#[server_test]
fn use_without_statement_cache_changes_the_namespace_on_every_path(db: &Db) {
    let tenant = tenant(db);
    for path in Path::all() {
        let mut client = path.client(db);
        client.with(disable_cache);
        for (here, elsewhere) in [(&tenant, db), (db, &tenant)] {
            client.with(|conn| use_schema(conn, &here.schema));
            let run = client.run(&mut counter(), |_, conn| {
                assert_eq!(here.holder(&name()), Some(session_id(conn)), "{path:?}");
                assert_eq!(elsewhere.holder(&name()), None, "{path:?}");
                if path.form.is_set() {
                    assert_eq!(
                        here.holder(&second_lock()),
                        Some(session_id(conn)),
                        "{path:?}"
                    );
                }
                Ok(())
            });
            run.unwrap_or_else(|error| panic!("{path:?}: {error}"));
            here.assert_free(&name());
        }
    }
}

/// Cached statements keep the schema in which they were prepared.
#[server_test]
fn use_with_statement_cache_keeps_the_namespace_on_every_path(db: &Db) {
    let tenant = tenant(db);
    for path in Path::all() {
        let mut client = path.client(db);
        client.run(&mut counter(), |_, _| Ok(())).unwrap();
        client.with(|conn| use_schema(conn, &tenant.schema));
        let run = client.run(&mut counter(), |_, conn| {
            assert_eq!(db.holder(&name()), Some(session_id(conn)), "{path:?}");
            assert_eq!(tenant.holder(&name()), None, "{path:?}");
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        db.assert_free(&name());
    }
}

/// Each session has used another schema before.
#[server_test]
fn sessions_that_use_one_schema_exclude_each_other(db: &Db) {
    let tenant = tenant(db);
    let (one, other) = (&mut uncached(db), &mut uncached(&tenant));
    for schema in [&tenant.schema, &db.schema] {
        use_schema(one, schema);
        use_schema(other, schema);
        let run: Result<(), LockError> = counter().with_lock(one, |_, _| {
            let second = counter().try_with_lock(other, |_, _| Ok::<_, LockError>(()))?;
            assert_eq!(second, None, "both hold the lock in {schema}");
            let wait = std::time::Duration::from_millis(20);
            let waited = name().lock().timeout(wait).try_acquire(other)?;
            assert!(waited.is_none(), "both hold the lock in {schema}");
            Ok(())
        });
        run.unwrap();
    }
}

#[server_test]
fn nested_lock_after_use_is_in_the_new_schema(db: &Db) {
    let tenant = tenant(db);
    let conn = &mut uncached(db);
    let run: Result<(), LockError> = counter().with_lock(conn, |_, conn| {
        use_schema(conn, &tenant.schema);
        let held = name().lock().acquire(conn)?;
        assert!(!held.is_reentrant());
        assert!(db.holder(&name()).is_some() && tenant.holder(&name()).is_some());
        held.release()
    });
    run.unwrap();
    db.assert_free(&name());
    tenant.assert_free(&name());
}

/// The lock is that of another row, and the session does not hold it.
#[server_test]
fn nested_lock_after_use_inside_transaction_is_refused(db: &Db) {
    let tenant = tenant(db);
    for path in Path::all().filter(|path| path.form.is_transaction()) {
        let mut client = path.client(db);
        client.with(disable_cache);
        let run = client.run(&mut counter(), |counter, conn| {
            use_schema(conn, &tenant.schema);
            for inner in Form::ALL {
                let run = inner.run_on(conn, counter, |_, _| panic!("{inner:?} ran"));
                let reason = match run {
                    Err(LockError::OpenTransaction { reason, .. }) => reason,
                    other => panic!("{inner:?} inside {path:?}: {other:?}"),
                };
                assert_eq!(reason, OpenTransactionReason::Diesel);
            }
            use_schema(conn, &db.schema);
            counter.with_lock(conn, |_, _| Ok(()))
        });
        run.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        db.assert_free(&name());
    }
}

/// A request that is handed the connection would lock and reload a row of another tenant.
#[server_test]
fn lock_pool_hands_off_no_connection_in_another_schema(db: &Db) {
    let tenant = &tenant(db);
    let schema = |conn: &mut MysqlConnection| {
        diesel::select(diesel::dsl::sql::<Text>("DATABASE()"))
            .get_result::<String>(conn)
            .unwrap()
    };
    for in_transaction in [false, true] {
        let locks = &db.locks(1);
        let others = || {
            let run = locks.run(name().lock(), |_, conn| {
                let id = session_id(conn);
                conn.set_prepared_statement_cache_size(CacheSize::Disabled);
                let used = schema(conn);
                let locked = [db, tenant].map(|it| it.holder(&name()) == Some(id));
                let expected = [db, tenant].map(|it| it.schema == used);
                assert_eq!(locked, expected, "{used}, {in_transaction}");
                use_schema(conn, &db.schema);
                Ok::<_, LockError>(())
            });
            run.unwrap();
        };
        in_front_of(db, locks, 2, others, || {
            let body = |conn: &mut MysqlConnection| {
                conn.set_prepared_statement_cache_size(CacheSize::Disabled);
                use_schema(conn, &tenant.schema);
                Ok::<_, LockError>(())
            };
            match in_transaction {
                true => locks.transaction(counter().lock(), |_, conn| body(conn)),
                false => locks.run(name().lock(), |_, conn| body(conn)),
            }
            .unwrap();
        });
    }
}

#[server_test]
fn schemas_that_differ_only_in_case_have_two_locks(db: &Db) {
    db.counter(1);
    let capital = db.schema.to_uppercase();
    db.execute(&format!("CREATE DATABASE `{capital}`"));
    let full_names = [name().full_name(&db.schema), name().full_name(&capital)];
    let conn = &mut uncached(db);
    let id = session_id(conn);
    for (schema, expected) in [
        (&capital, [None, Some(id)]),
        (&db.schema, [Some(id), None]),
        (&capital, [None, Some(id)]),
    ] {
        use_schema(conn, schema);
        let held = name().lock().acquire(conn).unwrap();
        let holders = full_names.each_ref().map(|name| db.holder_of(name));
        assert_eq!(holders, expected, "in {schema}");
        held.release().unwrap();
    }
    db.execute(&format!("DROP DATABASE `{capital}`"));
}

#[server_test]
fn set_of_several_namespaces_after_use_is_acquired(db: &Db) {
    let tenant = tenant(db);
    let (here, shared) = (LockName::named("here"), LockName::named("a").namespace("b"));
    let exact = LockName::exact(format!("of {}", db.schema)).unwrap();
    let of_first = LockName::row(counters::table, 1).namespace(&db.schema);
    let conn = &mut uncached(db);
    let id = Some(session_id(conn));
    use_schema(conn, &tenant.schema);
    let mut model = counter();
    for _ in 0..2 {
        let set = (&shared, &mut model, &here, &exact, &of_first);
        let run = lock_all(set).transaction(conn, |_, _| {
            for name in [&shared, &name(), &here, &exact] {
                assert_eq!(tenant.holder(name), id, "{name}");
            }
            assert_eq!(db.holder(&name()), id);
            assert_eq!(db.holder(&here), None);
            Ok::<_, LockError>(())
        });
        run.unwrap();
        tenant.assert_free(&name());
        db.assert_free(&name());
    }
}

#[server_test]
fn status_after_use_is_of_the_new_schema(db: &Db) {
    let tenant = tenant(db);
    let (conn, other) = (&mut uncached(db), &mut tenant.conn());
    let connection_id = session_id(other).try_into().unwrap();
    let held = name().lock().acquire(other).unwrap();
    assert_eq!(name().status(conn).unwrap(), LockStatus::Free);
    use_schema(conn, &tenant.schema);
    let expected = LockStatus::HeldBy { connection_id };
    assert_eq!(name().status(conn).unwrap(), expected);
    held.release().unwrap();
    let mut held = name().lock().acquire(conn).unwrap();
    assert_eq!(name().status(&mut held).unwrap(), LockStatus::HeldHere);
    held.release().unwrap();
}
