//! A connection does not return to a pool with the lock held.

use std::sync::atomic::Ordering;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_advisory_lock::prelude::*;

use crate::lock_pool_faults::in_front_of;
use crate::support::{Counter, Db, Form, Locks, session_id, until};

cases![
    a_nested_guard_that_is_leaked_ends_the_session,
    a_raw_get_lock_in_the_closure_ends_the_session,
    a_leak_on_a_pooled_connection_ends_the_session,
    a_leak_with_waiters_in_line_frees_the_lock_after_the_last,
    a_leaked_outermost_guard_leaves_the_next_user_no_stale_row,
];

fn leak_guard(_: &Db, counter: &Counter, conn: &mut MysqlConnection) {
    std::mem::forget(counter.lock_name().lock().acquire(conn).unwrap());
}

fn raw_get_lock(db: &Db, counter: &Counter, conn: &mut MysqlConnection) {
    let written = counter.lock_name().written(&db.schema);
    conn.batch_execute(&format!("DO GET_LOCK('{written}', 0)"))
        .unwrap();
}

fn ends_the_session(db: &Db, leak: fn(&Db, &Counter, &mut MysqlConnection)) {
    db.counter(1);
    for (form, work) in Form::all() {
        let clients = &mut db.clients();
        let session = clients.session(form);
        let result = clients.call((form, work), |counter, conn| {
            leak(db, counter, conn);
            Ok(())
        });
        assert_eq!(result, Ok(()), "{form:?} {work:?}");
        db.until_free(&format!("{form:?} {work:?}"));
        if form.is_pooled() {
            assert_ne!(clients.session(form), session, "{form:?} {work:?}");
            assert_eq!(clients.events.discarded.load(Ordering::SeqCst), 1);
        }
    }
}

fn a_nested_guard_that_is_leaked_ends_the_session(db: &Db) {
    ends_the_session(db, leak_guard);
}

fn a_raw_get_lock_in_the_closure_ends_the_session(db: &Db) {
    ends_the_session(db, raw_get_lock);
}

/// Checked out by the caller, so that the lock does not know of the pool.
fn a_leak_on_a_pooled_connection_ends_the_session(db: &Db) {
    let mut counter = db.counter(1);
    for leak in [leak_guard, raw_get_lock] {
        let (pool, events) = db.pool(1);
        let mut conn: PooledConnection<ConnectionManager<MysqlConnection>> = pool.get().unwrap();
        let result = counter.with_lock(&mut conn, |counter, conn| {
            leak(db, counter, conn);
            Ok::<_, LockError>(7)
        });
        assert_eq!(result.unwrap(), 7);
        db.until_free("its connection is still checked out");
        drop(conn);
        until("the connection is discarded", || events.counts().2 == 1);
    }
}

/// With a budget, the connection is handed off; without one, it lets other sessions have the lock.
fn a_leak_with_waiters_in_line_frees_the_lock_after_the_last(db: &Db) {
    db.counter(1);
    let mut sum = 0;
    for leak in [leak_guard, raw_get_lock] {
        for max_hand_overs in [16, 0] {
            let locks: &Locks = &LockPool::builder()
                .max_hand_overs(max_hand_overs)
                .build(db.pool(2).0);
            let add_one = |leak: Option<fn(&Db, &Counter, &mut MysqlConnection)>| {
                let mut counter = Counter { id: 1, value: 0 };
                let result = counter.lock().transaction_from(locks, |counter, conn| {
                    if let Some(leak) = leak {
                        leak(db, counter, conn);
                    }
                    counter.add_one(conn)
                });
                assert_eq!(result, Ok(1), "{max_hand_overs}");
            };
            let others = || add_one(None);
            in_front_of(db, locks, 3, others, || add_one(Some(leak)));
            sum += 4;
            assert_eq!(db.value(1), sum);
            db.until_free("its pool has connections");
            db.assert_idle(locks);
        }
    }
}

fn a_leaked_outermost_guard_leaves_the_next_user_no_stale_row(db: &Db) {
    let mut counter = db.counter(1);
    let read = |counter: &mut Counter, conn: &mut MysqlConnection| {
        assert_eq!(counter.value, 7, "a stale copy");
        Ok::<_, LockError>(session_id(conn))
    };
    db.execute("UPDATE counters SET value = 7");
    for next in [Form::Pool, Form::PoolSet, Form::LockPool, Form::LockPoolSet] {
        let locks = db.locks(1);
        let mut conn = locks.pool().get().unwrap();
        let leaked_in = session_id(&mut conn);
        leak_guard(db, &counter, &mut conn);
        drop(conn);
        counter.value = 0;
        let session = match next {
            Form::Pool => counter.lock().run_from(locks.pool(), read),
            Form::LockPool => counter.lock().run_from(&locks, read),
            Form::PoolSet => LockAll::of(&mut counter).run_from(locks.pool(), read),
            _ => LockAll::of(&mut counter).run_from(&locks, read),
        };
        assert_eq!(session.unwrap(), leaked_in);
        db.until_free(&format!("{next:?}"));
    }
    // A caller with the connection in hand shares it with the leaked guard, but reads the row.
    let (pool, _) = db.pool(1);
    leak_guard(db, &counter, &mut pool.get().unwrap());
    counter.value = 0;
    counter.with_lock(&mut pool.get().unwrap(), read).unwrap();
}
