//! A connection does not return to a pool with the lock held.

use std::sync::atomic::Ordering;

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::lock_pool_faults::in_front_of;
use super::support::{Counter, Db, Form, Locks, Path, wait_until};
use crate::server::{self, Conn, session_id};

fn leak_guard(_: &Db, counter: &Counter, conn: &mut Conn) {
    std::mem::forget(counter.lock_name().lock().acquire(conn).unwrap());
}

fn raw_acquire(db: &Db, counter: &Counter, conn: &mut Conn) {
    db.acquire_raw(conn, &counter.lock_name());
}

fn assert_ends_the_session(db: &Db, leak: fn(&Db, &Counter, &mut Conn)) {
    db.counter(1);
    for path in Path::essential() {
        if path.form.is_transaction() && server::NESTED_LOCKS_END_WITH_TRANSACTION {
            continue;
        }
        let client = &mut path.client(db);
        let session = client.session_id();
        let result = client.run_on_counter(|counter, conn| {
            leak(db, counter, conn);
            Ok(())
        });
        assert_eq!(result, Ok(()), "{path:?}");
        db.wait_until_paths_are_free(&format!("{path:?}"));
        if path.is_from_pool() {
            assert_ne!(client.session_id(), session, "{path:?}");
            assert_eq!(client.events().discarded.load(Ordering::SeqCst), 1);
        } else {
            client.with(|conn| conn.batch_execute("SELECT 1").unwrap_err());
        }
    }
}

#[server_test]
fn leaked_nested_guard_ends_the_session(db: &Db) {
    assert_ends_the_session(db, leak_guard);
}

#[server_test]
fn raw_acquire_in_the_closure_ends_the_session(db: &Db) {
    if server::NOTICES_RAW_LOCKS {
        assert_ends_the_session(db, raw_acquire);
    }
}

/// The leaks that a release notices.
fn leaks() -> impl Iterator<Item = fn(&Db, &Counter, &mut Conn)> {
    let raw: Option<fn(&Db, &Counter, &mut Conn)> =
        server::NOTICES_RAW_LOCKS.then_some(raw_acquire as _);
    std::iter::once(leak_guard as _).chain(raw)
}

/// The caller checks the connection out, so the library does not know the pool.
#[server_test]
fn leak_on_a_pooled_connection_ends_the_session(db: &Db) {
    let mut counter = db.counter(1);
    for leak in leaks() {
        let (pool, events) = db.pool(1);
        let mut conn = pool.get().unwrap();
        let result = counter.with_lock(&mut conn, |counter, conn| {
            leak(db, counter, conn);
            Ok::<_, LockError>(7)
        });
        assert_eq!(result.unwrap(), 7);
        db.wait_until_paths_are_free("its connection is still checked out");
        drop(conn);
        wait_until("the connection is discarded", || events.counts().2 == 1);
    }
}

/// With a handoff budget the connection is handed off. Without one, the lock is released to other
/// sessions.
#[server_test]
fn leak_with_queued_waiters_frees_the_lock_after_the_last(db: &Db) {
    db.counter(1);
    let mut sum = 0;
    for leak in leaks() {
        for max_handoffs in [16, 0] {
            let locks: &Locks = &LockPool::builder()
                .max_handoffs(max_handoffs)
                .build(db.pool(2).0);
            let add_one = |leak: Option<fn(&Db, &Counter, &mut Conn)>| {
                let mut counter = Counter { id: 1, value: 0 };
                let result = locks.transaction(counter.lock(), |counter, conn| {
                    if let Some(leak) = leak {
                        leak(db, counter, conn);
                    }
                    counter.add_one(conn)
                });
                assert_eq!(result, Ok(1), "{max_handoffs}");
            };
            let others = || add_one(None);
            in_front_of(db, locks, 3, others, || add_one(Some(leak)));
            sum += 4;
            assert_eq!(db.value(1), sum);
            db.wait_until_paths_are_free("its pool has connections");
            db.assert_idle(locks);
        }
    }
}

#[server_test]
fn request_after_a_leaked_outermost_guard_reloads_the_row(db: &Db) {
    let mut counter = db.counter(1);
    let read = |counter: &mut Counter, conn: &mut Conn| {
        assert_eq!(counter.value, 7, "a stale copy");
        Ok::<_, LockError>(session_id(conn))
    };
    db.execute("UPDATE counters SET value = 7");
    for form in [Form::Run, Form::Set] {
        let locks = db.locks(1);
        let mut conn = locks.pool().get().unwrap();
        let leaked_in = session_id(&mut conn);
        leak_guard(db, &counter, &mut conn);
        drop(conn);
        counter.value = 0;
        let session = match form {
            Form::Run => locks.run(counter.lock(), read),
            _ => locks.run(lock_all(&mut counter), read),
        };
        assert_eq!(session.unwrap(), leaked_in);
        db.wait_until_paths_are_free(&format!("{form:?}"));
    }
    // A caller that checks the connection out re-enters the leaked lock, but the row is reloaded.
    let (pool, _) = db.pool(1);
    leak_guard(db, &counter, &mut pool.get().unwrap());
    counter.value = 0;
    counter.with_lock(&mut pool.get().unwrap(), read).unwrap();
}
