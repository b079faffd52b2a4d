//! Guarantee 4: always released.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_advisory_lock::prelude::*;

use crate::support::{Counter, Db};

cases![
    on_return,
    on_an_error,
    on_a_question_mark,
    on_a_panic,
    when_a_guard_is_dropped,
    when_rereading_fails,
    each_acquire_once,
];

fn on_return(db: &Db) {
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

fn on_an_error(db: &Db) {
    let mut counter = db.counter(1);
    let run = counter.with_lock(&mut db.conn(), |_, _| Err::<(), _>(DieselError::NotFound));
    assert_eq!(
        run,
        Err(DieselError::NotFound),
        "the closure's own, not `Gone`"
    );
    db.assert_free(&counter.lock_name());
}

fn on_a_question_mark(db: &Db) {
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

fn on_a_panic(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        counter.with_lock(conn, |_, _| -> Result<(), LockError> {
            resume_unwind(Box::new("on purpose"))
        })
    }));
    assert!(panicked.is_err());
    db.assert_free(&name);
    Counter { id: 1, value: 0 }
        .with_lock(conn, |_, _| Ok::<_, LockError>(()))
        .expect("the connection is as good as new");
}

fn when_a_guard_is_dropped(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    drop(name.lock().acquire(conn).unwrap());
    db.assert_free(&name);
}

fn when_rereading_fails(db: &Db) {
    let mut counter = db.counter(1);
    db.execute(&format!(
        "ALTER TABLE {}.counters DROP COLUMN value",
        db.schema
    ));
    let conn = &mut db.conn();
    let run = counter.with_lock(conn, |_, _| Ok::<_, LockError>(()));
    assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
    db.assert_free(&counter.lock_name());
    let run = counter.lock().acquire(conn).map(drop);
    assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
    db.assert_free(&counter.lock_name());
}

/// The servers count how often a session takes a lock; one too many would never be released.
fn each_acquire_once(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    for wait in [0, 20, 1_000].map(std::time::Duration::from_millis) {
        let held = name.lock().timeout(wait).acquire(conn).unwrap();
        assert!(db.holder(&name).is_some());
        held.release().unwrap();
        db.assert_free(&name);
    }
}
