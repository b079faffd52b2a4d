//! Names on MySQL and MariaDB: the namespace of a session, `USE`, and names that the servers change
//! or refuse.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::is_mariadb;
use crate::suite::names::exclude;
use crate::suite::support::{Db, Hook, Then, When, counters};

/// The server hashes the same bytes as the library.
#[server_test]
fn schema_with_a_non_ascii_name_has_its_own_namespace(db: &Db) {
    let schema = format!("École d'été {}", db.schema);
    let conn = &mut db.conn();
    conn.batch_execute(&format!("CREATE DATABASE `{schema}`; USE `{schema}`"))
        .unwrap();
    let name = LockName::named("job");
    let held = name.lock().acquire(conn).unwrap();
    assert!(db.holder_of(&name.full_name(&schema)).is_some());
    held.release().unwrap();
    conn.batch_execute(&format!("DROP DATABASE `{schema}`"))
        .unwrap();
}

mod explicit {
    diesel::table! {
        app.counters (id) { id -> BigInt, }
    }
}

#[server_test]
fn explicit_namespace_is_shared_across_schemas(db: &Db) {
    let other = db.create_other();
    let name = LockName::row(counters::table, 1).namespace("shared");
    assert!(exclude((&mut db.conn(), &name), (&mut other.conn(), &name)));
    let in_app = LockName::row(explicit::counters::table, 1).namespace("shared");
    assert!(exclude(
        (&mut db.conn(), &name),
        (&mut other.conn(), &in_app)
    ));
}

#[server_test]
fn sessions_without_a_schema_share_a_namespace(db: &Db) {
    let without_schema = || db.conn_without_schema();
    let name = LockName::named(format!("of {}", db.schema));
    assert!(exclude(
        (&mut without_schema(), &name),
        (&mut without_schema(), &name)
    ));
    assert!(!exclude(
        (&mut without_schema(), &name),
        (&mut db.conn(), &name)
    ));
    let conn = &mut without_schema();
    let held = name.lock().acquire(conn).unwrap();
    assert!(db.holder_of(&name.full_name("")).is_some());
    held.release().unwrap();
}

#[server_test]
fn use_inside_the_closure_does_not_prevent_the_release(db: &Db) {
    let other = db.create_other();
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    counter
        .with_lock(&mut db.conn(), |_, conn| {
            conn.batch_execute(&format!("USE {}", other.schema))?;
            assert!(db.holder(&name).is_some());
            QueryResult::Ok(())
        })
        .unwrap();
    db.assert_free(&name);
}

#[server_test]
fn use_after_the_first_lock_keeps_the_namespace(db: &Db) {
    let other = db.create_other();
    let name = LockName::named("job");
    let conn = &mut db.conn();
    name.lock().acquire(conn).unwrap().release().unwrap();
    conn.batch_execute(&format!("USE {}", other.schema))
        .unwrap();
    let held = name.lock().acquire(conn).unwrap();
    assert!(db.holder(&name).is_some());
    assert!(other.holder(&name).is_none());
    held.release().unwrap();

    let moved = name.namespace(&other.schema);
    let held = moved.lock().acquire(conn).unwrap();
    assert!(other.holder(&LockName::named("job")).is_some());
    held.release().unwrap();
}

/// Inside a transaction another statement acquires the lock, and is prepared after `USE`.
#[server_test]
fn nested_lock_in_a_transaction_after_use_is_reentrant(db: &Db) {
    let other = db.create_other();
    let name = LockName::named("job");
    let conn = &mut db.conn();
    let request = name.lock();
    request
        .run(conn, |_, conn| {
            conn.batch_execute(&format!("USE {}", other.schema))?;
            conn.transaction::<_, diesel::result::Error, _>(|conn| {
                let held = name.lock().acquire(conn)?;
                assert!(held.is_reentrant());
                Ok(held.release()?)
            })
        })
        .unwrap();
}

/// The session computes the namespace again, for the schema in which its statements were prepared.
#[server_test]
fn session_that_lost_its_variables_has_the_same_namespace(db: &Db) {
    let other = db.create_other();
    let name = LockName::named("job");
    let conn = &mut db.conn();
    name.lock().acquire(conn).unwrap().release().unwrap();
    conn.batch_execute(&format!(
        "USE {}; SET @diesel_advisory_lock_namespace = NULL, @diesel_advisory_lock_prefix = NULL, \
         @diesel_advisory_lock_schema = NULL",
        other.schema
    ))
    .unwrap();
    let held = name.lock().acquire(conn).unwrap();
    assert!(other.holder(&name).is_none());
    assert!(db.holder(&name).is_some());
    held.release().unwrap();
}

/// The statement of a fractional wait is prepared each time, and could see the new schema.
#[server_test]
fn fractional_wait_after_use_is_for_the_same_lock(db: &Db) {
    let other = db.create_other();
    let name = LockName::named("job");
    let (conn, holder) = (&mut db.conn(), &mut db.conn());
    name.lock().acquire(conn).unwrap().release().unwrap();
    conn.batch_execute(&format!("USE {}", other.schema))
        .unwrap();
    let held = name.lock().acquire(holder).unwrap();
    let wait = std::time::Duration::from_millis(50);
    assert!(
        name.lock()
            .timeout(wait)
            .try_acquire(conn)
            .unwrap()
            .is_none()
    );
    held.release().unwrap();
}

#[server_test]
fn exact_name_is_sent_unchanged(db: &Db) {
    // Acquired by SQL, as in a program that does not use this crate.
    let full_name = format!("Report {}", db.schema);
    let other = &mut db.conn();
    other
        .batch_execute(&format!("DO GET_LOCK('{full_name}', 0)"))
        .unwrap();
    let exact = LockName::exact(&full_name).unwrap();
    let conn = &mut db.conn();
    assert!(exact.lock().try_acquire(conn).unwrap().is_none());
    other
        .batch_execute(&format!("DO RELEASE_LOCK('{full_name}')"))
        .unwrap();
    let held = exact.lock().try_acquire(conn).unwrap().unwrap();
    assert!(db.holder_of(&full_name).is_some());
    held.release().unwrap();
}

/// Shows on the servers why `LockName::exact` refuses these names.
#[server_test]
fn names_that_exact_refuses_are_folded_cut_or_refused_by_the_server(db: &Db) {
    for name in ["", "a\0b", "🔒", "É", "İ", "\u{212A}", &"x".repeat(65)] {
        let error = LockName::exact(name).unwrap_err();
        assert!(matches!(error, LockError::InvalidName { .. }), "{name:?}");
        // The name in the error is refused too.
        let again = error.name().lock().acquire(&mut db.conn()).map(drop);
        assert!(
            matches!(again, Err(LockError::InvalidName { .. })),
            "{name:?}"
        );
    }
    for name in ["x", "é", &"x".repeat(64), &"é".repeat(64), "a b", "a'b\\"] {
        let exact = LockName::exact(name).unwrap_or_else(|error| panic!("{error}"));
        let conn = &mut db.conn();
        let held = exact
            .lock()
            .no_wait()
            .acquire(conn)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(db.holder_of(name).is_some(), "{name:?}");
        held.release().unwrap();
    }

    let is_same_lock = |first: &str, second: &str| {
        let conn = &mut db.conn();
        acquire_raw(conn, first).unwrap();
        db.holder_of(second).is_some()
    };
    assert!(
        is_same_lock("cut\0a", "cut\0b"),
        "a NUL no longer cuts a name"
    );
    assert!(!is_same_lock("space", "space "));
    for (capital, small) in [("É", "é"), ("İ", "i"), ("\u{212A}", "k"), ("Job", "job")] {
        assert_eq!(
            is_same_lock(capital, small),
            !is_mariadb(db),
            "{capital} for {small}"
        );
    }
    let conn = &mut db.conn();
    assert_eq!(acquire_raw(conn, "🔒").is_err(), !is_mariadb(db));
    assert_eq!(acquire_raw(conn, &"x".repeat(65)).is_err(), !is_mariadb(db));
    assert!(acquire_raw(conn, &"x".repeat(193)).is_err());
}

fn acquire_raw(conn: &mut MysqlConnection, name: &str) -> QueryResult<Option<i32>> {
    use diesel::sql_types::{Integer, Nullable, Text};
    diesel::select(
        diesel::dsl::sql::<Nullable<Integer>>("CAST(GET_LOCK(")
            .bind::<Text, _>(name)
            .sql(", 0) AS SIGNED)"),
    )
    .get_result(conn)
}

/// Only PostgreSQL has locks that are named by numbers.
#[server_test]
fn exact_key_is_refused_before_anything_is_sent(db: &Db) {
    let hook = Hook::default();
    let conn = &mut db.conn();
    hook.watch(conn);
    let watched = hook.clone();
    let (pool, events) = Db::pool_at(&db.url(), 1, move |conn| watched.watch(conn));
    let locks = &LockPool::new(pool);
    let pooled = &mut locks.pool().get().unwrap();
    let held = &mut LockName::named("outer").lock().acquire(pooled).unwrap();
    let checkouts = events.counts();
    let never = |_: &mut MysqlConnection| -> Result<(), LockError> { panic!("the closure ran") };
    for name in [
        LockName::exact_key(42),
        LockName::exact_key(i64::MIN),
        LockName::exact_keys(1, -2),
    ] {
        let set = || lock_all([LockName::named("job"), name.clone()]);
        hook.arm(When::Nth(0), Then::Panic);
        let refused = [
            name.lock().run(conn, |_, conn| never(conn)),
            name.lock().try_run(conn, |_, conn| never(conn)).map(drop),
            name.lock().transaction(conn, |_, conn| never(conn)),
            name.lock()
                .try_transaction(conn, |_, conn| never(conn))
                .map(drop),
            name.lock().acquire(conn).map(drop),
            name.lock().try_acquire(conn).map(drop),
            name.lock().wait_forever().acquire(conn).map(drop),
            name.status(conn).map(drop),
            set().run(conn, |_, conn| never(conn)),
            set().try_run(conn, |_, conn| never(conn)).map(drop),
            set().transaction(conn, |_, conn| never(conn)),
            set().acquire(conn).map(drop),
            name.lock().run(held, |_, conn| never(conn)),
            set().transaction(held, |_, conn| never(conn)),
            name.lock().acquire(held).map(drop),
            name.status(held).map(drop),
            // The only connection is in use, so none of these has waited for it.
            locks.run(name.lock(), |_, conn| never(conn)),
            locks.try_run(name.lock(), |_, conn| never(conn)).map(drop),
            locks.transaction(name.lock(), |_, conn| never(conn)),
            locks.acquire(name.lock()).map(drop),
            locks.try_acquire(name.lock()).map(drop),
            locks.run(set(), |_, conn| never(conn)),
            locks.acquire(set()).map(drop),
        ];
        assert!(!hook.disarm(), "{name} was sent");
        for (index, refused) in refused.into_iter().enumerate() {
            match refused {
                Err(LockError::InvalidName {
                    name: of, reason, ..
                }) => {
                    assert_eq!(of, name, "{index}");
                    assert!(reason.contains("PostgreSQL"), "{index}: {reason}");
                }
                other => panic!("{index}: {other:?}"),
            }
        }
    }
    assert_eq!(events.counts(), checkouts);
    assert_eq!(locks.state().names, 0);
}
