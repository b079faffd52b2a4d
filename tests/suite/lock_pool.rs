//! `LockPool`: requests that are queued in the process, without a connection, and handoffs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use diesel::connection::TransactionManager;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db, HelperProcess, Locks, wait_until_queued};
use crate::server::{Conn, session_id};

/// Starts threads whose requests are queued behind a holder, in the order of their numbers.
pub(crate) fn queue_up<'s>(
    scope: &'s Scope<'s, '_>,
    locks: &'s Locks,
    numbers: std::ops::Range<usize>,
    request: impl Fn(usize) + Copy + Send + 's,
) {
    let before = locks.state().waiting;
    for (waiting, number) in numbers.enumerate() {
        scope.spawn(move || request(number));
        wait_until_queued(locks, before + waiting + 1);
    }
}

#[server_test]
fn contended_lock_leaves_connections_to_other_requests(db: &Db) {
    db.counter(1);
    let locks = db.locks(4);
    let name = Counter { id: 1, value: 0 }.lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let mut counter = Counter { id: 1, value: 0 };
                locks.run(counter.lock(), Counter::add_one).unwrap();
            });
        }
        wait_until_queued(&locks, 63);
        // One of the four connections waits on the server; the others are free at once.
        let others: Vec<_> = (0..3).map(|_| locks.pool().try_get()).collect();
        assert!(others.iter().all(Option::is_some));
        drop(others);
        held.release().unwrap();
    });
    assert_eq!(db.value(1), 64);
    assert_eq!(locks.state().names, 0);
}

#[server_test]
fn each_request_sees_the_previous_write(db: &Db) {
    db.counter(1);
    let locks = db.locks(4);
    thread::scope(|scope| {
        for thread in 0..16 {
            let locks = &locks;
            scope.spawn(move || {
                for turn in 0..10 {
                    let mut counter = Counter { id: 1, value: 0 };
                    // Some are rolled back, and some have no transaction.
                    let result = match (thread + turn) % 4 {
                        0 => locks.run(counter.lock(), Counter::add_one),
                        1 => locks.transaction(counter.lock(), |counter, conn| {
                            counter.add_one(conn)?;
                            Err(diesel::result::Error::RollbackTransaction)
                        }),
                        _ => locks.transaction(counter.lock(), Counter::add_one),
                    };
                    assert_eq!(result.is_err(), (thread + turn) % 4 == 1, "{result:?}");
                }
            });
        }
    });
    assert_eq!(db.value(1), 120);
    db.assert_idle(&locks);
}

#[server_test]
fn waiters_are_served_fifo(db: &Db) {
    let locks = db.locks(2);
    let name = &LockName::named("job");
    let served = &Mutex::new(Vec::new());
    thread::scope(|scope| {
        let held = locks.acquire(name.lock()).unwrap();
        queue_up(scope, &locks, 0..40, |number| {
            locks
                .run(name.lock(), |_, _| {
                    served.lock().unwrap().push(number);
                    Ok::<_, LockError>(())
                })
                .unwrap();
        });
        held.release().unwrap();
    });
    assert_eq!(*served.lock().unwrap(), Vec::from_iter(0..40));
}

#[server_test]
fn different_names_do_not_wait_for_each_other(db: &Db) {
    let locks = db.locks(2);
    let one = locks.acquire(LockName::named("one").lock()).unwrap();
    let two = LockName::named("two").lock().no_wait();
    locks.run(two, |_, _| Ok::<_, LockError>(())).unwrap();
    one.release().unwrap();
}

/// Returns how many closures of this process run before another process that waits on the server.
/// `waiting` requests are queued here.
fn served_before_others(
    db: &Db,
    locks: &Locks,
    waiting: usize,
    body: impl Fn() + Copy + Send,
) -> usize {
    let name = &LockName::named("job");
    let served = &AtomicUsize::new(0);
    let run = move || {
        locks
            .run(name.lock(), |_, _| {
                served.fetch_add(1, Ordering::SeqCst);
                body();
                Ok::<_, LockError>(())
            })
            .unwrap();
    };
    let mut before_others = 0;
    thread::scope(|scope| {
        let holder = &mut db.conn();
        let held = name.lock().acquire(holder).unwrap();
        // The server grants the first request the lock when the others are already queued.
        scope.spawn(run);
        db.wait_until_sessions_wait(1);
        queue_up(scope, locks, 0..waiting, move |_| run());
        let mut other_process = HelperProcess::acquire(db, "job");
        db.wait_until_sessions_wait(2);
        held.release().unwrap();
        other_process.wait_until_held();
        before_others = served.load(Ordering::SeqCst);
        other_process.release();
    });
    assert_eq!(served.load(Ordering::SeqCst), 1 + waiting);
    before_others
}

#[server_test]
fn other_sessions_get_their_turn_after_the_last_handoff(db: &Db) {
    for (max_handoffs, before) in [(0, 1), (5, 6), (100, 13)] {
        // With and without a second connection, on which a request could ask the server again.
        for connections in [2, 1] {
            let locks = LockPool::builder()
                .max_handoffs(max_handoffs)
                .max_handoff_time(Duration::MAX)
                .build(db.pool(connections).0);
            assert_eq!(served_before_others(db, &locks, 12, || {}), before);
        }
    }
}

#[server_test]
fn other_sessions_get_their_turn_when_the_handoff_time_is_over(db: &Db) {
    let locks = LockPool::builder()
        .max_handoff_time(Duration::from_millis(30))
        .build(db.pool(2).0);
    let body = || thread::sleep(Duration::from_millis(20));
    let before = served_before_others(db, &locks, 12, body);
    assert!(
        (1..=2).contains(&before),
        "{before} closures of 20 ms ran in 30 ms"
    );
}

/// By default, the process waits for at most 16 handoffs, although 64 requests are queued here.
#[server_test]
fn waiter_in_another_process_is_not_starved(db: &Db) {
    let locks = LockPool::builder()
        .max_handoff_time(Duration::MAX)
        .build(db.pool(4).0);
    assert_eq!(served_before_others(db, &locks, 64, || {}), 17);
}

/// Otherwise two callers that return at once could keep the lock between them.
#[server_test]
fn late_requests_do_not_extend_the_handoffs(db: &Db) {
    let locks = &LockPool::builder()
        .max_handoffs(u32::MAX)
        .max_handoff_time(Duration::MAX)
        .build(db.pool(2).0);
    let name = &LockName::named("job");
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    locks
                        .run(name.lock(), |_, _| Ok::<_, LockError>(()))
                        .unwrap();
                }
            });
        }
        let conn = &mut db.conn();
        for _ in 0..10 {
            let waits = name.lock().timeout(Duration::from_secs(20));
            waits.run(conn, |_, _| Ok::<_, LockError>(())).unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    });
}

/// The closure's connection holds the lock, so a method that locks may call another.
#[server_test]
fn lock_is_reentrant_in_its_closure(db: &Db) {
    let mut counter = db.counter(1);
    let locks = db.locks(1);
    locks
        .run(counter.lock(), |counter, conn| {
            counter.value = 5;
            // A re-entrant lock does not reload, so the unsaved value is kept.
            counter.with_lock(conn, Counter::add_one)
        })
        .unwrap();
    assert_eq!(db.value(1), 6);
    db.assert_idle(&locks);
}

#[server_test]
fn lock_pool_refuses_and_reports_open_transactions(db: &Db) {
    let mut counter = db.counter(1);
    let locks = db.locks(1);
    let other = LockName::named("other").lock();
    let refused = locks.transaction(counter.lock(), |_, conn| {
        other.run(conn, |_, _| Ok::<_, LockError>(()))
    });
    assert!(
        matches!(refused, Err(LockError::OpenTransaction { .. })),
        "{refused:?}"
    );
    let left_open = locks.run(counter.lock(), |counter, conn| {
        <Conn as Connection>::TransactionManager::begin_transaction(conn)?;
        counter.add_one(conn)
    });
    let error = left_open.unwrap_err();
    assert!(
        matches!(
            LockError::in_diesel(&error),
            Some(LockError::TransactionLeftOpen { .. })
        ),
        "{error:?}"
    );
    assert_eq!(db.value(1), 0);
    db.assert_idle(&locks);
}

#[server_test]
fn guard_is_released_in_another_thread(db: &Db) {
    let mut counter = db.counter(1);
    let locks = db.locks(1);
    let mut held = locks.acquire(counter.lock()).unwrap();
    counter.add_one(&mut held).unwrap();
    assert!(locks.try_acquire(counter.lock()).unwrap().is_none());
    thread::spawn(move || held.release().unwrap())
        .join()
        .unwrap();
    let held = locks.try_acquire(counter.lock()).unwrap();
    assert_eq!(counter.value, 1);
    drop(held);
    db.assert_idle(&locks);
}

#[server_test]
fn lock_of_a_dropped_guard_is_handed_off(db: &Db) {
    let locks = &db.locks(1);
    let name = &LockName::named("job");
    thread::scope(|scope| {
        let mut held = locks.acquire(name.lock()).unwrap();
        let session = session_id(&mut held);
        queue_up(scope, locks, 0..1, move |_| {
            let same = |conn: &mut _| Ok::<_, LockError>(session_id(conn) == session);
            assert!(locks.run(name.lock(), |_, conn| same(conn)).unwrap());
        });
        drop(held);
    });
    db.assert_idle(locks);
}

#[server_test]
fn clones_share_one_queue(db: &Db) {
    let locks = db.locks(2);
    let held = locks.acquire(LockName::named("job").lock()).unwrap();
    assert_eq!(locks.clone().state().names, 1);
    held.release().unwrap();
    assert_eq!(locks.clone().state().names, 0);
}
