//! What a session has been left with: another schema, a transaction by raw SQL, a lock that is not released.

use std::sync::atomic::Ordering;
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::OpenTransactionReason;
use diesel_advisory_lock::prelude::*;
use test_server::Kind;

use crate::support::{Case, Db, Events, Locks, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_session_in_another_schema_is_not_handed_on),
        case!(a_changed_schema_changes_the_lock),
        case!(a_transaction_by_raw_sql_is_refused).only(Kind::Mariadb),
        case!(a_session_that_still_holds_its_lock_is_ended),
    ]
}

/// Two closures under a lock of a `LockPool`, the second of which waits behind the first. Returns how many connections
/// were put back: one if it was handed on.
fn one_behind_the_other(
    locks: &Locks,
    events: &Events,
    first: impl FnOnce(&mut MysqlConnection),
) -> usize {
    let before = events.returned.load(Ordering::SeqCst);
    thread::scope(|scope| {
        let job = LockName::named("job");
        job.lock()
            .hold_from(locks, |conn| {
                scope.spawn(|| {
                    let second = LockName::named("job").lock();
                    second.hold_from(locks, |_| Ok::<_, LockError>(())).unwrap();
                });
                until("the second waits for its turn", || {
                    locks.state().waiting == 1
                });
                first(conn);
                Ok::<_, LockError>(())
            })
            .unwrap();
    });
    events.returned.load(Ordering::SeqCst) - before
}

/// The schema of the server is asked by a statement that Diesel keeps, and which sees a `USE` from before it was
/// prepared only: see `backend/mysql/namespace.rs`.
fn a_session_in_another_schema_is_not_handed_on(db: &Db) {
    let (pool, events) = db.pool(2);
    let locks = &LockPool::new(pool);
    let released = one_behind_the_other(locks, &events, |conn| {
        conn.batch_execute("USE information_schema").unwrap();
    });
    assert_eq!(released, 2);
    db.assert_idle(locks);

    let (pool, events) = db.pool(2);
    let locks = &LockPool::new(pool);
    let handed_on = one_behind_the_other(locks, &events, |_| {});
    assert_eq!(handed_on, 1);
    db.assert_idle(locks);
}

/// Diesel's kept statements go on seeing the schema that they were prepared in, so there are none here.
fn a_changed_schema_changes_the_lock(db: &Db) {
    let conn = &mut db.conn();
    conn.set_prepared_statement_cache_size(diesel::connection::CacheSize::Disabled);
    let job = LockName::named("job");
    job.lock().acquire(conn).unwrap().release().unwrap();
    conn.batch_execute("USE information_schema").unwrap();
    let held = job.lock().acquire(conn).unwrap();
    db.assert_free(&job);
    let elsewhere = job.written("information_schema");
    assert!(db.holder_of_written(&elsewhere).is_some());
    held.release().unwrap();
}

fn a_transaction_by_raw_sql_is_refused(db: &Db) {
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

/// The caller keeps the connection, and the lock must be free all the same.
fn a_session_that_still_holds_its_lock_is_ended(db: &Db) {
    let conn = &mut db.conn();
    let job = LockName::named("job");
    job.lock()
        .hold(conn, |conn| {
            std::mem::forget(job.lock().acquire(conn)?);
            Ok::<_, LockError>(())
        })
        .unwrap();
    until("the lock is free", || db.holder(&job).is_none());
    conn.batch_execute("DO 1").unwrap_err();
}
