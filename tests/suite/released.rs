//! Every lock is released, however its closure or guard ends.

use std::panic::resume_unwind;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db, panics};

#[server_test]
fn lock_is_released_on_return(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    counter
        .with_lock(conn, |_, _| {
            assert!(db.holder(&name).is_some(), "held while the closure runs");
            Ok::<_, LockError>(())
        })
        .unwrap();
    db.assert_free(&name);
}

#[server_test]
fn lock_is_released_on_an_error(db: &Db) {
    let mut counter = db.counter(1);
    let run = counter.with_lock(&mut db.conn(), |_, _| Err::<(), _>(DieselError::NotFound));
    assert_eq!(
        run,
        Err(DieselError::NotFound),
        "the closure's error, not `RowNotFound`"
    );
    db.assert_free(&counter.lock_name());
}

#[server_test]
fn lock_is_released_on_a_question_mark(db: &Db) {
    let mut counter = db.counter(1);
    let run = counter.with_lock(&mut db.conn(), |_, conn| {
        diesel::sql_query("SELECT * FROM no_such_table").execute(conn)?;
        QueryResult::Ok(())
    });
    assert!(
        matches!(run, Err(DieselError::DatabaseError(..))),
        "{run:?}"
    );
    db.assert_free(&counter.lock_name());
}

#[server_test]
fn lock_is_released_on_a_panic(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    assert!(panics(|| {
        counter.with_lock(conn, |_, _| -> Result<(), LockError> {
            resume_unwind(Box::new("on purpose"))
        })
    }));
    db.assert_free(&name);
    Counter { id: 1, value: 0 }
        .with_lock(conn, |_, _| Ok::<_, LockError>(()))
        .expect("the connection is usable");
}

#[server_test]
fn lock_is_released_when_the_guard_is_dropped(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    drop(name.lock().acquire(conn).unwrap());
    db.assert_free(&name);
}

#[server_test]
fn lock_is_released_when_the_reload_fails(db: &Db) {
    let mut counter = db.counter(1);
    db.execute("ALTER TABLE counters DROP COLUMN value");
    let conn = &mut db.conn();
    let run = counter.with_lock(conn, |_, _| Ok::<_, LockError>(()));
    assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
    db.assert_free(&counter.lock_name());
    let run = counter.lock().acquire(conn).map(drop);
    assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
    db.assert_free(&counter.lock_name());
}

/// A server counts how often a session acquires a lock. A superfluous acquisition would never be
/// released.
#[server_test]
fn one_release_frees_a_lock_after_any_timeout(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    for wait in [0, 20, 1_000].map(std::time::Duration::from_millis) {
        let held = name.lock().timeout(wait).acquire(conn).unwrap();
        assert!(db.holder(&name).is_some());
        held.release().unwrap();
        db.assert_free(&name);
    }
}
