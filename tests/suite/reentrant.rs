//! Locks inside other locks on one connection.

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db};

#[server_test]
fn inner_release_keeps_the_outer_lock(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    counter
        .with_lock(&mut db.conn(), |counter, conn| {
            let inner = counter.lock().acquire(conn)?;
            assert!(inner.is_reentrant());
            inner.release()?;
            assert!(
                db.holder(&name).is_some(),
                "the inner release released the outer lock"
            );
            counter
                .with_lock(conn, |_, _| {
                    Err::<(), _>(diesel::result::Error::RollbackTransaction)
                })
                .unwrap_err();
            assert!(
                db.holder(&name).is_some(),
                "the inner error released the outer lock"
            );
            Ok::<_, LockError>(())
        })
        .unwrap();
    db.assert_free(&name);
}

#[server_test]
fn lock_with_a_fractional_timeout_is_reentrant(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    let mut outer = name
        .lock()
        .timeout(std::time::Duration::from_millis(70))
        .acquire(conn)
        .unwrap();
    assert!(!outer.is_reentrant());
    let inner = name
        .lock()
        .timeout(std::time::Duration::from_millis(70))
        .acquire(&mut outer)
        .unwrap();
    assert!(inner.is_reentrant());
    inner.release().unwrap();
    outer.release().unwrap();
    db.assert_free(&name);
}

#[server_test]
fn lock_of_another_scope_inside_reloads_the_model(db: &Db) {
    let mut counter = db.counter(1);
    counter
        .with_lock(&mut db.conn(), |counter, conn| {
            counter.value = 7;
            counter.lock().scope("other").run(conn, |counter, _| {
                assert_eq!(counter.value, 0, "not held before, so reloaded");
                Ok::<_, LockError>(())
            })
        })
        .unwrap();
}

#[server_test]
fn held_lock_inside_a_transaction_is_reentrant(db: &Db) {
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

#[server_test]
fn scoped_lock_inside_a_transaction_is_refused(db: &Db) {
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

#[server_test]
fn guard_is_accepted_as_the_connection_of_another_lock(db: &Db) {
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
