//! Locks until the end of the caller's transaction.

use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::session_id;
use crate::suite::support::{Counter, Db, lock_error};

fn counter() -> Counter {
    Counter { id: 1, value: -1 }
}

#[server_test]
fn lock_is_held_until_commit_and_the_model_is_reloaded(db: &Db) {
    let name = db.counter(1).lock_name();
    let conn = &mut db.conn();
    conn.transaction(|conn| {
        let mut counter = counter();
        counter.lock().until_commit(conn)?;
        assert_eq!(counter.value, 0, "a stale copy");
        assert_eq!(db.holder(&name), Some(session_id(conn)));
        let elsewhere = name
            .lock()
            .try_acquire(&mut db.conn())
            .map(|it| it.is_some());
        assert!(!elsewhere?);
        counter.add_one(conn)
    })
    .unwrap();
    db.assert_free(&name);
    assert_eq!(db.value(1), 1);
}

#[server_test]
fn rollback_releases_the_lock(db: &Db) {
    let name = db.counter(1).lock_name();
    let conn = &mut db.conn();
    let rolled_back: QueryResult<()> = conn.transaction(|conn| {
        counter().lock().until_commit(conn)?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    rolled_back.unwrap_err();
    db.assert_free(&name);
    conn.transaction(|conn| {
        let inner: QueryResult<()> = conn.transaction(|conn| {
            counter().lock().until_commit(conn)?;
            Err(diesel::result::Error::RollbackTransaction)
        });
        inner.unwrap_err();
        db.assert_free(&name);
        // The savepoint has taken the record of the lock with it.
        counter().lock().until_commit(conn)?;
        assert!(db.holder(&name).is_some());
        QueryResult::Ok(())
    })
    .unwrap();
}

#[server_test]
fn try_until_commit_returns_none_if_the_lock_is_taken(db: &Db) {
    let name = db.counter(1).lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let conn = &mut db.conn();
    conn.transaction(|conn| {
        assert_eq!(name.lock().try_until_commit(conn)?, None);
        // The transaction is still usable.
        conn.batch_execute("UPDATE counters SET value = 5")?;
        let waited = name
            .lock()
            .timeout(Duration::from_millis(50))
            .try_until_commit(conn)?;
        assert_eq!(waited, None);
        conn.batch_execute("UPDATE counters SET value = 6")
    })
    .unwrap();
    held.release().unwrap();
    assert_eq!(db.value(1), 6);
    let conn_free = conn.transaction(|conn| QueryResult::Ok(name.lock().try_until_commit(conn)?));
    assert_eq!(conn_free.unwrap(), Some(()));
}

#[server_test(serial)]
fn timeout_is_exact_and_leaves_the_transaction_usable(db: &Db) {
    let name = db.counter(1).lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let conn = &mut db.conn();
    conn.batch_execute("SET statement_timeout = 50").unwrap();
    conn.transaction(|conn| {
        conn.batch_execute("UPDATE counters SET value = 5")?;
        let asked = Duration::from_millis(300);
        let start = Instant::now();
        let error = name.lock().timeout(asked).until_commit(conn).unwrap_err();
        assert!(start.elapsed() >= asked, "{:?}", start.elapsed());
        let LockError::Timeout { holder, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(holder.is_some());
        conn.batch_execute("UPDATE counters SET value = value + 1")
    })
    .unwrap();
    held.release().unwrap();
    assert_eq!(db.value(1), 6);
}

#[server_test]
fn transaction_above_read_committed_is_refused(db: &Db) {
    let name = db.counter(1).lock_name();
    let conn = &mut db.conn();
    for (begin, level) in [
        ("REPEATABLE READ", "REPEATABLE READ"),
        ("SERIALIZABLE", "SERIALIZABLE"),
    ] {
        let set = format!("SET TRANSACTION ISOLATION LEVEL {begin}");
        let refused: QueryResult<()> = conn.transaction(|conn| {
            conn.batch_execute(&set)?;
            let error = counter().lock().until_commit(conn).unwrap_err();
            db.assert_free(&name);
            conn.batch_execute("SELECT 1")?;
            Err(error.into())
        });
        let error = lock_error(refused);
        let LockError::IsolationLevel { level: found, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*found, level);
        assert!(!error.is_retryable());
    }
    for set in ["READ COMMITTED", "READ UNCOMMITTED"] {
        conn.transaction(|conn| {
            conn.batch_execute(&format!("SET TRANSACTION ISOLATION LEVEL {set}"))?;
            counter().lock().until_commit(conn)?;
            QueryResult::Ok(())
        })
        .unwrap();
    }
}

#[server_test]
fn without_a_transaction_it_is_refused(db: &Db) {
    let name = db.counter(1).lock_name();
    let conn = &mut db.conn();
    for _ in 0..2 {
        let error = counter().lock().until_commit(conn).unwrap_err();
        assert!(
            matches!(error, LockError::NoTransaction { .. }),
            "{error:?}"
        );
        db.assert_free(&name);
    }
    // Under a lock of the session too.
    let mut held = name.lock().acquire(conn).unwrap();
    let error = counter().lock().until_commit(&mut held).unwrap_err();
    assert!(
        matches!(error, LockError::NoTransaction { .. }),
        "{error:?}"
    );
    held.release().unwrap();
    db.assert_free(&name);
}

/// A transaction that was begun by raw SQL is one.
#[server_test]
fn raw_transaction_holds_the_lock_until_its_end(db: &Db) {
    let name = db.counter(1).lock_name();
    let conn = &mut db.conn();
    conn.batch_execute("BEGIN").unwrap();
    counter().lock().until_commit(conn).unwrap();
    assert!(db.holder(&name).is_some());
    conn.batch_execute("COMMIT").unwrap();
    db.assert_free(&name);
}

#[server_test]
fn nested_calls_under_it_are_reentrant_and_reload(db: &Db) {
    let name = db.counter(1).lock_name();
    let conn = &mut db.conn();
    conn.transaction(|conn| {
        let mut counter = counter();
        counter.lock().until_commit(conn)?;
        counter.value = 90;
        counter.with_lock(conn, |counter, conn| {
            assert_eq!(counter.value, 0, "no closure was given this model");
            counter.add_one(conn)
        })?;
        counter.lock().transaction(conn, Counter::add_one)?;
        counter.lock().until_commit(conn)?;
        counter.add_one(conn)
    })
    .unwrap();
    assert_eq!(db.value(1), 3);
    db.assert_free(&name);
}

#[server_test]
fn set_is_locked_in_one_order_until_commit(db: &Db) {
    let (mut from, mut to) = (db.counter(1), db.counter(2));
    let conn = &mut db.conn();
    conn.transaction(|conn| {
        lock_all((&mut from, &mut to, LockName::named("audit"))).until_commit(conn)?;
        for name in [from.lock_name(), to.lock_name(), LockName::named("audit")] {
            assert!(db.holder(&name).is_some(), "{name}");
        }
        QueryResult::Ok(())
    })
    .unwrap();
    db.assert_free(&LockName::named("audit"));
    // Opposite orders of the caller do not deadlock.
    thread::scope(|scope| {
        for swap in [false, true] {
            scope.spawn(move || {
                let conn = &mut db.conn();
                for _ in 0..100 {
                    let (mut one, mut other) =
                        (Counter { id: 1, value: 0 }, Counter { id: 2, value: 0 });
                    if swap {
                        std::mem::swap(&mut one, &mut other);
                    }
                    conn.transaction(|conn| {
                        lock_all((&mut one, &mut other)).until_commit(conn)?;
                        one.value += 1;
                        one.save(conn)
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!((db.value(1), db.value(2)), (100, 100));
}

/// The server aborts the victim's transaction.
#[server_test]
fn deadlock_with_a_row_lock_is_typed_and_aborts_the_transaction(db: &Db) {
    let name = db.counter(1).lock_name();
    db.counter(2);
    let mut one = db.conn();
    let mut other = db.conn();
    let others_session = session_id(&mut other);
    let (of_advisory, of_row) = thread::scope(|scope| {
        let (rows_locked, wait_for_row) = std::sync::mpsc::channel();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let name = &name;
        let one = scope.spawn(move || {
            one.transaction(|conn| {
                conn.batch_execute("UPDATE counters SET value = 7 WHERE id = 2")?;
                rows_locked.send(()).unwrap();
                may_go.recv().unwrap();
                name.lock().until_commit(conn)?;
                QueryResult::Ok(())
            })
        });
        wait_for_row.recv().unwrap();
        let other = scope.spawn(move || {
            other.transaction(|conn| {
                name.lock().until_commit(conn)?;
                conn.batch_execute("UPDATE counters SET value = 8 WHERE id = 2")
            })
        });
        crate::suite::support::wait_until("the other session waits for the row", || {
            let waits = diesel::dsl::sql::<diesel::sql_types::Bool>(&format!(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = {others_session})"
            ));
            waits.get_result(&mut db.conn()).unwrap()
        });
        go.send(()).unwrap();
        (one.join().unwrap(), other.join().unwrap())
    });
    // Either is the victim, whose whole transaction is rolled back.
    match (of_advisory, of_row) {
        (Err(error), Ok(())) => {
            let error = LockError::try_from(error).unwrap();
            assert!(matches!(error, LockError::Deadlock { .. }), "{error:?}");
            assert_eq!(db.value(2), 8);
        }
        (Ok(()), Err(_)) => assert_eq!(db.value(2), 7),
        other => panic!("{other:?}"),
    }
    db.assert_free(&name);
}

/// Diesel no longer knows whether a transaction is open.
#[server_test]
fn set_on_a_lost_connection_is_a_database_error(db: &Db) {
    (1..=2).for_each(|id| _ = db.counter(id));
    let conn = &mut db.conn();
    let run: QueryResult<()> = conn.transaction(|conn| {
        let session = session_id(conn);
        db.kill_session(session);
        while db.has_session(session) {
            thread::sleep(Duration::from_millis(1));
        }
        let (mut one, mut two) = (counter(), Counter { id: 2, value: -1 });
        let error = lock_all((&mut one, &mut two))
            .until_commit(conn)
            .unwrap_err();
        assert!(matches!(error, LockError::Database { .. }), "{error:?}");
        Err(diesel::result::Error::RollbackTransaction)
    });
    run.unwrap_err();
}
