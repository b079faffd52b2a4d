//! Names on MySQL and MariaDB: the namespace of a session, `USE`, and what the servers make of a
//! name.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::is_mariadb;
use crate::suite::names::exclude;
use crate::suite::support::Db;

/// The server hashes the bytes that we hash.
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

#[server_test]
fn sessions_without_a_schema_share_a_namespace(db: &Db) {
    let nowhere = || db.conn_without_schema();
    let name = LockName::named(format!("of {}", db.schema));
    assert!(exclude((&mut nowhere(), &name), (&mut nowhere(), &name)));
    assert!(!exclude((&mut nowhere(), &name), (&mut db.conn(), &name)));
    let held_by = name.full_name("");
    let conn = &mut nowhere();
    let held = name.lock().acquire(conn).unwrap();
    assert!(db.holder_of(&held_by).is_some());
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

/// Inside a transaction another statement acquires, which is prepared after the schema has changed.
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

/// The session computes it anew, for the schema that its statements were prepared in.
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

/// A wait for a fraction is prepared anew, and would see the new schema.
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
    // As a program does that does not use this crate.
    let theirs = format!("Report {}", db.schema);
    let other = &mut db.conn();
    other
        .batch_execute(&format!("DO GET_LOCK('{theirs}', 0)"))
        .unwrap();
    let ours = LockName::exact(&theirs).unwrap();
    let conn = &mut db.conn();
    assert!(ours.lock().try_acquire(conn).unwrap().is_none());
    other
        .batch_execute(&format!("DO RELEASE_LOCK('{theirs}')"))
        .unwrap();
    let held = ours.lock().try_acquire(conn).unwrap().unwrap();
    assert!(db.holder_of(&theirs).is_some());
    held.release().unwrap();
}

/// Why `LockName::exact` refuses what it refuses: the servers, asked directly.
#[server_test]
fn names_that_exact_refuses_are_folded_cut_or_refused_by_the_server(db: &Db) {
    for name in ["", "a\0b", "🔒", "É", "İ", "\u{212A}", &"x".repeat(65)] {
        let error = LockName::exact(name).unwrap_err();
        assert!(matches!(error, LockError::InvalidName { .. }), "{name:?}");
        // Nor does a name taken out of the error get past.
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

    let taken_for = |first: &str, second: &str| {
        let conn = &mut db.conn();
        take_raw(conn, first).unwrap();
        db.holder_of(second).is_some()
    };
    assert!(taken_for("cut\0a", "cut\0b"), "a NUL no longer cuts a name");
    assert!(!taken_for("space", "space "));
    for (capital, small) in [("É", "é"), ("İ", "i"), ("\u{212A}", "k"), ("Job", "job")] {
        assert_eq!(
            taken_for(capital, small),
            !is_mariadb(db),
            "{capital} for {small}"
        );
    }
    let conn = &mut db.conn();
    assert_eq!(take_raw(conn, "🔒").is_err(), !is_mariadb(db));
    assert_eq!(take_raw(conn, &"x".repeat(65)).is_err(), !is_mariadb(db));
    assert!(take_raw(conn, &"x".repeat(193)).is_err());
}

fn take_raw(conn: &mut MysqlConnection, name: &str) -> QueryResult<Option<i32>> {
    use diesel::sql_types::{Integer, Nullable, Text};
    diesel::select(
        diesel::dsl::sql::<Nullable<Integer>>("CAST(GET_LOCK(")
            .bind::<Text, _>(name)
            .sql(", 0) AS SIGNED)"),
    )
    .get_result(conn)
}
