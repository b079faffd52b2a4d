//! A lock inside a lock, on one connection.

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::support::{Counter, Db};

cases![
    an_inner_lock_keeps_unsaved_changes,
    the_outer_lock_outlives_the_inner,
    a_fraction_of_a_second_nests_too,
    another_lock_inside_is_read_again,
    inside_a_transaction_a_held_lock_nests,
    inside_a_transaction_a_scoped_lock_is_refused,
    a_guard_lends_its_connection_to_another_lock,
];

fn an_inner_lock_keeps_unsaved_changes(db: &Db) {
    let mut counter = db.counter(1);
    counter
        .with_lock(&mut db.conn(), |counter, conn| {
            counter.value = 7;
            counter.with_lock(conn, |counter, conn| {
                assert_eq!(counter.value, 7, "the inner lock has read the row again");
                counter.save(conn)
            })
        })
        .unwrap();
    assert_eq!(db.value(1), 7);
}

fn the_outer_lock_outlives_the_inner(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    counter
        .with_lock(&mut db.conn(), |counter, conn| {
            let inner = counter.lock().acquire(conn)?;
            assert!(inner.is_nested());
            inner.release()?;
            assert!(
                db.holder(&name).is_some(),
                "the inner release took the outer lock"
            );
            counter
                .with_lock(conn, |_, _| {
                    Err::<(), _>(diesel::result::Error::RollbackTransaction)
                })
                .unwrap_err();
            assert!(
                db.holder(&name).is_some(),
                "the inner error took the outer lock"
            );
            Ok::<_, LockError>(())
        })
        .unwrap();
    db.assert_free(&name);
}

fn a_fraction_of_a_second_nests_too(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    let mut outer = name
        .lock()
        .timeout(std::time::Duration::from_millis(70))
        .acquire(conn)
        .unwrap();
    assert!(!outer.is_nested());
    let inner = name
        .lock()
        .timeout(std::time::Duration::from_millis(70))
        .acquire(&mut outer)
        .unwrap();
    assert!(inner.is_nested());
    inner.release().unwrap();
    outer.release().unwrap();
    db.assert_free(&name);
}

fn another_lock_inside_is_read_again(db: &Db) {
    let mut counter = db.counter(1);
    counter
        .with_lock(&mut db.conn(), |counter, conn| {
            counter.value = 7;
            counter.lock().scope("other").run(conn, |counter, _| {
                assert_eq!(counter.value, 0, "not held before, so read");
                Ok::<_, LockError>(())
            })
        })
        .unwrap();
}

fn inside_a_transaction_a_held_lock_nests(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    counter
        .lock()
        .transaction(&mut db.conn(), |counter, conn| {
            counter.with_lock(conn, Counter::add_one)?;
            counter.lock().transaction(conn, Counter::add_one)?;
            assert!(db.holder(&name).is_some());
            assert_eq!(
                db.value(1),
                0,
                "nothing is committed before the outer transaction"
            );
            QueryResult::Ok(())
        })
        .unwrap();
    assert_eq!(db.value(1), 2);
    db.assert_free(&name);
}

fn inside_a_transaction_a_scoped_lock_is_refused(db: &Db) {
    let mut counter = db.counter(1);
    let run = counter.lock().transaction(&mut db.conn(), |counter, conn| {
        counter
            .lock()
            .scope("other")
            .run(conn, |_, _| Ok::<_, LockError>(()))
    });
    assert!(
        matches!(run, Err(LockError::OpenTransaction { .. })),
        "{run:?}"
    );
}

fn a_guard_lends_its_connection_to_another_lock(db: &Db) {
    let (first, second) = (LockName::named("a"), LockName::named("b"));
    let conn = &mut db.conn();
    let mut outer = first.lock().acquire(conn).unwrap();
    let inner = second.lock().acquire(&mut outer).unwrap();
    assert_eq!(db.holder(&first), db.holder(&second));
    assert!(db.holder(&first).is_some());
    drop(inner);
    db.assert_free(&second);
    drop(outer);
    db.assert_free(&first);
}
