//! Sessions in another schema or in a raw transaction, when a lock is acquired or handed off.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::OpenTransactionReason;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::api::pool::Events;
use crate::suite::support::{Db, Locks, wait_until, wait_until_queued};

/// Runs two closures under one lock of a `LockPool`, the second queued behind the first. Returns
/// how often a connection was returned to the pool: once if the first was handed off.
fn one_behind_the_other(
    locks: &Locks,
    events: &Events,
    first: impl FnOnce(&mut MysqlConnection),
) -> usize {
    let before = events.returned.load(Ordering::SeqCst);
    thread::scope(|scope| {
        let job = LockName::named("job");
        locks
            .run(job.lock(), |_, conn| {
                scope.spawn(|| {
                    let second = LockName::named("job").lock();
                    locks.run(second, |_, _| Ok::<_, LockError>(())).unwrap();
                });
                wait_until_queued(locks, 1);
                first(conn);
                Ok::<_, LockError>(())
            })
            .unwrap();
    });
    events.returned.load(Ordering::SeqCst) - before
}

/// Diesel caches the statement that reads the session's schema, and a cached statement sees only a
/// `USE` from before it was prepared: see `backend/mysql/namespace.rs`.
#[server_test]
fn session_in_another_schema_is_not_handed_off(db: &Db) {
    let (pool, events) = db.pool(2);
    let locks = &LockPool::new(pool);
    let returned = one_behind_the_other(locks, &events, |conn| {
        conn.batch_execute("USE information_schema").unwrap();
    });
    assert_eq!(returned, 2);
    db.assert_idle(locks);

    let (pool, events) = db.pool(2);
    let locks = &LockPool::new(pool);
    let handed_off = one_behind_the_other(locks, &events, |_| {});
    assert_eq!(handed_off, 1);
    db.assert_idle(locks);
}

/// Without cached statements, which keep the schema in which they were prepared.
#[server_test]
fn changed_schema_changes_the_lock(db: &Db) {
    let conn = &mut db.conn();
    conn.set_prepared_statement_cache_size(diesel::connection::CacheSize::Disabled);
    let job = LockName::named("job");
    job.lock().acquire(conn).unwrap().release().unwrap();
    conn.batch_execute("USE information_schema").unwrap();
    let held = job.lock().acquire(conn).unwrap();
    db.assert_free(&job);
    let elsewhere = job.full_name("information_schema");
    assert!(db.holder_of(&elsewhere).is_some());
    held.release().unwrap();
}

#[server_test(mariadb)]
fn transaction_by_raw_sql_is_refused(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute("BEGIN").unwrap();
    let refused = LockName::named("job").lock().acquire(conn).map(drop);
    assert!(
        matches!(
            refused,
            Err(LockError::OpenTransaction {
                reason: OpenTransactionReason::RawBegin,
                ..
            })
        ),
        "{refused:?}"
    );
    conn.batch_execute("COMMIT").unwrap();
    let held = LockName::named("job").lock().acquire(conn).unwrap();
    held.release().unwrap();
}

/// Under one lock, and under a set. MySQL does not report a raw transaction.
#[server_test(mariadb)]
fn session_with_a_raw_transaction_is_not_handed_off(db: &Db) {
    let (pool, events) = db.pool(2);
    let locks = LockPool::builder().max_handoff_time(Duration::from_secs(600));
    let locks = &locks.build(pool);
    let names = ["job", "second"].map(LockName::named);
    for names in [&names[..1], &names[..]] {
        let before = events.returned.load(Ordering::SeqCst);
        thread::scope(|scope| {
            let run = |begins: bool| {
                let set = lock_all(names.to_vec());
                locks.run(set, |_, conn| {
                    // The other request is queued when this one is granted the locks.
                    wait_until("the other request is queued", || {
                        locks.state().waiting > 0 || !begins
                    });
                    if begins {
                        conn.batch_execute("BEGIN").unwrap();
                    }
                    Ok::<_, LockError>(())
                })
            };
            let guard = locks.acquire(lock_all(names.to_vec())).unwrap();
            let first = scope.spawn(move || run(true));
            wait_until_queued(locks, 1);
            let second = scope.spawn(move || run(false));
            wait_until_queued(locks, 2);
            guard.release().unwrap();
            let error = first.join().unwrap().unwrap_err();
            assert!(
                matches!(error, LockError::TransactionLeftOpen { .. }),
                "{error:?}"
            );
            second.join().unwrap().unwrap();
        });
        // Once for the guard and once for each request: the first was not handed off to the second.
        let returned = events.returned.load(Ordering::SeqCst) - before;
        assert!(returned >= 2, "{returned} of {} locks", names.len());
        db.assert_idle(locks);
    }
}

/// One name has the namespace of its session, and the other states it.
#[server_test]
fn set_with_two_names_of_one_lock_is_handed_off(db: &Db) {
    let (pool, events) = db.pool(2);
    let locks = LockPool::builder().max_handoff_time(Duration::from_secs(600));
    let locks = &locks.build(pool);
    let job = LockName::named("job");
    let spelled_out = job.clone().namespace(&db.schema);
    thread::scope(|scope| {
        let guard = locks.acquire(lock_all([&job, &spelled_out])).unwrap();
        for waiting in 1..=3 {
            scope.spawn(|| {
                let set = lock_all([&spelled_out, &job]);
                locks.run(set, |_, _| Ok::<_, LockError>(())).unwrap();
            });
            wait_until_queued(locks, waiting);
        }
        guard.release().unwrap();
    });
    assert_eq!(events.returned.load(Ordering::SeqCst), 1);
    db.assert_idle(locks);
}
