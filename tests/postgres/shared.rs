//! Shared locks.

use std::thread;
use std::time::Duration;

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::session_id;
use crate::suite::support::{Counter, Db};

fn nothing() -> Result<(), LockError> {
    Ok(())
}

#[server_test]
fn readers_share_the_lock_and_exclude_writers(db: &Db) {
    let name = LockName::named("prices");
    let (one, other, writer) = (&mut db.conn(), &mut db.conn(), &mut db.conn());
    let first = name.lock().shared().acquire(one).unwrap();
    let second = name
        .lock()
        .shared()
        .try_acquire(other)
        .unwrap()
        .expect("shared");
    assert!(!first.is_reentrant() && !second.is_reentrant());
    assert!(
        name.lock()
            .try_run(writer, |_, _| nothing())
            .unwrap()
            .is_none()
    );
    first.release().unwrap();
    assert!(
        name.lock()
            .try_transaction(writer, |_, _| nothing())
            .unwrap()
            .is_none()
    );
    second.release().unwrap();
    let held = name.lock().acquire(writer).unwrap();
    let refused = name
        .lock()
        .shared()
        .try_run(&mut db.conn(), |_, _| nothing());
    assert!(refused.unwrap().is_none());
    held.release().unwrap();
    db.assert_free(&name);
}

#[server_test]
fn shared_lock_is_released_by_every_form(db: &Db) {
    let name = LockName::named("prices");
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    name.lock().shared().run(conn, |_, _| nothing()).unwrap();
    db.assert_free(&name);
    name.lock()
        .shared()
        .transaction(conn, |_, conn| {
            assert!(db.holder(&name).is_some());
            let other = &mut db.conn();
            let shared = name.lock().shared().try_run(other, |_, _| nothing())?;
            assert!(shared.is_some());
            assert!(name.lock().try_run(other, |_, _| nothing())?.is_none());
            conn.batch_execute("SELECT 1")
                .map_err(|error| LockError::try_from(error).unwrap())
        })
        .unwrap();
    db.assert_free(&name);
    let mut held = counter.lock().shared().acquire(conn).unwrap();
    held.verify().unwrap();
    held.release().unwrap();
    lock_all((&mut counter, &name))
        .shared()
        .run(conn, |_, _| nothing())
        .unwrap();
    conn.transaction(|conn| {
        name.lock().shared().until_commit(conn)?;
        assert_eq!(db.holder(&name), Some(session_id(conn)));
        QueryResult::Ok(())
    })
    .unwrap();
    db.assert_free(&name);
}

#[server_test]
fn exclusive_under_own_shared_lock_is_refused_on_every_form(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    let mut held = name.lock().shared().acquire(conn).unwrap();
    let errors = [
        counter.with_lock(&mut held, |_, _| nothing()).unwrap_err(),
        counter
            .try_with_lock(&mut held, |_, _| nothing())
            .unwrap_err(),
        counter
            .lock()
            .transaction(&mut held, |_, _| nothing())
            .unwrap_err(),
        name.lock().acquire(&mut held).map(drop).unwrap_err(),
        lock_all((&mut counter, LockName::named("a")))
            .run(&mut held, |_, _| nothing())
            .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, LockError::SharedHeld { .. }), "{error:?}");
        assert!(!error.is_retryable());
    }
    db.assert_free(&LockName::named("a"));
    held.verify().unwrap();
    held.release().unwrap();
    counter.with_lock(conn, |_, _| nothing()).unwrap();
    conn.transaction(|conn| {
        name.lock().shared().until_commit(conn)?;
        let error = name.lock().until_commit(conn).unwrap_err();
        assert!(matches!(error, LockError::SharedHeld { .. }), "{error:?}");
        QueryResult::Ok(())
    })
    .unwrap();
    db.assert_free(&name);
}

#[server_test]
fn shared_under_own_exclusive_lock_nests(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let conn = &mut db.conn();
    counter
        .with_lock(conn, |counter, conn| {
            counter.value = 40;
            counter.lock().shared().run(conn, |counter, _| {
                assert_eq!(counter.value, 40, "its unsaved change was overwritten");
                QueryResult::Ok(())
            })?;
            let mut nested = name.lock().shared().acquire(conn)?;
            assert!(nested.is_reentrant());
            // Shared under shared under exclusive.
            name.lock().shared().run(&mut nested, |_, _| nothing())?;
            nested.release()?;
            let other = name
                .lock()
                .shared()
                .try_run(&mut db.conn(), |_, _| nothing())?;
            assert!(other.is_none(), "the exclusive lock is still held");
            QueryResult::Ok(())
        })
        .unwrap();
    db.assert_free(&name);
}

/// Otherwise readers could keep a writer out forever.
#[server_test]
fn waiting_writer_stops_new_readers(db: &Db) {
    let name = LockName::named("prices");
    let (reader, mut writer) = (&mut db.conn(), db.conn());
    let held = name.lock().shared().acquire(reader).unwrap();
    let writers_session = session_id(&mut writer);
    thread::scope(|scope| {
        let writing = scope.spawn(|| name.lock().run(&mut writer, |_, _| nothing()));
        db.wait_until_blocked(writers_session);
        let late = name
            .lock()
            .shared()
            .timeout(Duration::from_millis(50))
            .try_run(&mut db.conn(), |_, _| nothing());
        assert!(late.unwrap().is_none());
        held.release().unwrap();
        writing.join().unwrap().unwrap();
    });
}

#[server_test]
fn lost_shared_lock_is_reported(db: &Db) {
    let name = LockName::named("prices");
    let lost = name.lock().shared().run(&mut db.conn(), |_, conn| {
        conn.batch_execute("SELECT pg_advisory_unlock_all()")
    });
    assert!(matches!(
        LockError::try_from(lost.unwrap_err()),
        Ok(LockError::Lost { .. })
    ));
    let conn = &mut db.conn();
    let mut held = name.lock().shared().acquire(conn).unwrap();
    held.batch_execute("SELECT pg_advisory_unlock_all()")
        .unwrap();
    // The same key held exclusively is not the shared lock.
    db.acquire_raw(&mut held, &name);
    assert!(matches!(held.verify(), Err(LockError::Lost { .. })));
    drop(held);
    db.wait_until_free(&name);
}

#[server_test]
fn readers_see_what_writers_have_committed(db: &Db) {
    db.counter(1);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let conn = &mut db.conn();
                for _ in 0..100 {
                    let mut counter = Counter { id: 1, value: 0 };
                    counter
                        .lock()
                        .run(conn, |counter, conn| {
                            // Odd in between.
                            counter.add_one(conn)?;
                            counter.add_one(conn)
                        })
                        .unwrap();
                }
            });
            scope.spawn(|| {
                let conn = &mut db.conn();
                for _ in 0..100 {
                    let mut counter = Counter { id: 1, value: 0 };
                    let seen = counter
                        .lock()
                        .shared()
                        .run(conn, |counter, _| QueryResult::Ok(counter.value));
                    assert_eq!(seen.unwrap() % 2, 0, "a reader beside a writer");
                }
            });
        }
    });
    assert_eq!(db.value(1), 400);
}

/// A connection whose session holds the lock as well, by raw SQL.
fn other_reader(db: &Db, name: &LockName) -> PgConnection {
    let mut other = db.conn();
    let key = name.postgres_key("");
    other
        .batch_execute(&format!("SELECT pg_advisory_lock_shared({key})"))
        .unwrap();
    other
}

/// The proof before COMMIT is of the session that acquired the lock.
#[server_test]
fn transaction_of_another_reader_is_not_committed(db: &Db) {
    type Manager = <PgConnection as Connection>::TransactionManager;

    let name = LockName::named("prices");
    let counter = db.counter(1);
    let mut other = other_reader(db, &name);
    Manager::begin_transaction(&mut other).unwrap();
    counter.clone().add_one(&mut other).unwrap();
    let run = name
        .lock()
        .shared()
        .try_transaction(&mut db.conn(), |_, conn| {
            *conn = other;
            nothing()
        });
    assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
    assert_eq!(db.value(1), 0);
    db.wait_until_free(&name);
}

/// So is the release.
#[server_test]
fn lock_of_another_reader_is_not_released(db: &Db) {
    let name = LockName::named("prices");
    let other = other_reader(db, &name);
    let run = name.lock().shared().run(&mut db.conn(), |_, conn| {
        *conn = other;
        nothing()
    });
    assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
    db.wait_until_free(&name);
}
