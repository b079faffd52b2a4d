//! `LockPool`: requests that are queued in the process, without a connection, and handoffs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel_advisory_lock::LockPolicy;
use diesel_advisory_lock::prelude::*;
use server_test::{blocking, both, server_test};

use super::support::{Counter, Db, HelperProcess, assert_times_out, wait_until_queued};
use crate::api::pool::{self, Locks};
use crate::api::thread::{self, Scope};
use crate::api::{Connection, TransactionManager, Work, concurrently};
use crate::server::Conn;
#[blocking]
use crate::server::session_id;

/// Starts threads whose requests are queued behind a holder, in the order of their numbers.
#[both]
pub(crate) async fn queue_up<'s, 'env, W: Work<()> + 'env>(
    scope: &'s Scope<'s, 'env>,
    locks: &Locks,
    numbers: std::ops::Range<usize>,
    request: impl Fn(usize) -> W,
) {
    let before = locks.state().waiting;
    for (waiting, number) in numbers.enumerate() {
        scope.spawn(request(number));
        wait_until_queued(locks, before + waiting + 1).await;
    }
}

#[server_test]
async fn contended_lock_leaves_connections_to_other_requests(db: &Db) {
    db.counter(1).await;
    let locks = db.locks(4).await;
    let name = Counter { id: 1, value: 0 }.lock_name();
    let holder = &mut db.conn().await;
    let held = name.lock().acquire(holder).await.unwrap();
    thread::scope(async |scope| {
        for _ in 0..64 {
            scope.spawn(async || {
                let mut counter = Counter { id: 1, value: 0 };
                locks.run(counter.lock(), Counter::add_one).await.unwrap();
            });
        }
        wait_until_queued(&locks, 63).await;
        // One of the four connections waits on the server; the others are free at once.
        let mut others = Vec::new();
        for _ in 0..3 {
            others.push(pool::checked_out_at_once(locks.pool()).await);
        }
        drop(others);
        held.release().await.unwrap();
    })
    .await;
    assert_eq!(db.value(1).await, 64);
    assert_eq!(locks.state().names, 0);
}

#[server_test]
async fn each_request_sees_the_previous_write(db: &Db) {
    db.counter(1).await;
    let locks = db.locks(4).await;
    concurrently(16, async |thread| {
        for turn in 0..10 {
            let mut counter = Counter { id: 1, value: 0 };
            // Some are rolled back, and some have no transaction.
            let result = match (thread + turn) % 4 {
                0 => locks.run(counter.lock(), Counter::add_one).await,
                1 => {
                    locks
                        .transaction(counter.lock(), async |counter, conn| {
                            counter.add_one(conn).await?;
                            Err(diesel::result::Error::RollbackTransaction)
                        })
                        .await
                }
                _ => locks.transaction(counter.lock(), Counter::add_one).await,
            };
            assert_eq!(result.is_err(), (thread + turn) % 4 == 1, "{result:?}");
        }
    })
    .await;
    assert_eq!(db.value(1).await, 120);
    db.assert_idle(&locks).await;
}

#[server_test]
async fn waiters_are_served_fifo(db: &Db) {
    let locks = &db.locks(2).await;
    let name = &LockName::named("job");
    let served = &Mutex::new(Vec::new());
    thread::scope(async |scope| {
        let held = locks.acquire(name.lock()).await.unwrap();
        queue_up(scope, locks, 0..40, |number| {
            async move || {
                locks
                    .run(name.lock(), async |_, _| {
                        served.lock().unwrap().push(number);
                        Ok::<_, LockError>(())
                    })
                    .await
                    .unwrap();
            }
        })
        .await;
        held.release().await.unwrap();
    })
    .await;
    assert_eq!(*served.lock().unwrap(), Vec::from_iter(0..40));
}

#[server_test]
async fn different_names_do_not_wait_for_each_other(db: &Db) {
    let locks = db.locks(2).await;
    let one = locks.acquire(LockName::named("one").lock()).await.unwrap();
    let two = LockName::named("two").lock().no_wait();
    locks
        .run(two, async |_, _| Ok::<_, LockError>(()))
        .await
        .unwrap();
    one.release().await.unwrap();
}

/// Returns how many closures of this process, each of which takes that long, run before another
/// process that waits on the server. `waiting` requests are queued here.
#[both]
async fn served_before_others(db: &Db, locks: &Locks, waiting: usize, work: Duration) -> usize {
    let name = &LockName::named("job");
    let served = &AtomicUsize::new(0);
    let run = async move || {
        locks
            .run(name.lock(), async |_, _| {
                served.fetch_add(1, Ordering::SeqCst);
                thread::sleep(work).await;
                Ok::<_, LockError>(())
            })
            .await
            .unwrap();
    };
    let mut before_others = 0;
    thread::scope(async |scope| {
        let holder = &mut db.conn().await;
        let held = name.lock().acquire(holder).await.unwrap();
        // The server grants the first request the lock when the others are already queued.
        scope.spawn(run);
        db.wait_until_sessions_wait(1).await;
        queue_up(scope, locks, 0..waiting, |_| run).await;
        let mut other_process = HelperProcess::acquire(db, "job");
        db.wait_until_sessions_wait(2).await;
        held.release().await.unwrap();
        other_process.wait_until_held().await;
        before_others = served.load(Ordering::SeqCst);
        other_process.release();
    })
    .await;
    assert_eq!(served.load(Ordering::SeqCst), 1 + waiting);
    before_others
}

#[server_test]
async fn other_sessions_get_their_turn_after_the_last_handoff(db: &Db) {
    for (max_handoffs, before) in [(0, 1), (5, 6), (100, 13)] {
        // With and without a second connection, on which a request could ask the server again.
        for connections in [2, 1] {
            let locks = LockPool::builder()
                .max_handoffs(max_handoffs)
                .max_handoff_time(Duration::MAX)
                .build(db.pool(connections).await.0);
            assert_eq!(
                served_before_others(db, &locks, 12, Duration::ZERO).await,
                before
            );
        }
    }
}

#[server_test]
async fn other_sessions_get_their_turn_when_the_handoff_time_is_over(db: &Db) {
    let locks = LockPool::builder()
        .max_handoff_time(Duration::from_millis(30))
        .build(db.pool(2).await.0);
    let before = served_before_others(db, &locks, 12, Duration::from_millis(20)).await;
    assert!(
        (1..=2).contains(&before),
        "{before} closures of 20 ms ran in 30 ms"
    );
}

/// By default, the process waits for at most 16 handoffs, although 64 requests are queued here.
#[server_test]
async fn waiter_in_another_process_is_not_starved(db: &Db) {
    let locks = LockPool::builder()
        .max_handoff_time(Duration::MAX)
        .build(db.pool(4).await.0);
    assert_eq!(
        served_before_others(db, &locks, 64, Duration::ZERO).await,
        17
    );
}

/// Otherwise two callers that return at once could keep the lock between them.
#[server_test]
async fn late_requests_do_not_extend_the_handoffs(db: &Db) {
    let locks = &LockPool::builder()
        .max_handoffs(u32::MAX)
        .max_handoff_time(Duration::MAX)
        .build(db.pool(2).await.0);
    let name = &LockName::named("job");
    let stop = &AtomicBool::new(false);
    thread::scope(async |scope| {
        for _ in 0..3 {
            scope.spawn(async move || {
                while !stop.load(Ordering::SeqCst) {
                    locks
                        .run(name.lock(), async |_, _| Ok::<_, LockError>(()))
                        .await
                        .unwrap();
                }
            });
        }
        let conn = &mut db.conn().await;
        for _ in 0..10 {
            let waits = name.lock().timeout(Duration::from_secs(20));
            waits
                .run(conn, async |_, _| Ok::<_, LockError>(()))
                .await
                .unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    })
    .await;
}

/// The closure's connection holds the lock, so a method that locks may call another.
#[server_test]
async fn lock_is_reentrant_in_its_closure(db: &Db) {
    let mut counter = db.counter(1).await;
    let locks = db.locks(1).await;
    locks
        .run(counter.lock(), async |counter, conn| {
            counter.value = 5;
            // A re-entrant lock does not reload, so the unsaved value is kept.
            counter.with_lock(conn, Counter::add_one).await
        })
        .await
        .unwrap();
    assert_eq!(db.value(1).await, 6);
    db.assert_idle(&locks).await;
}

#[server_test]
async fn lock_pool_refuses_and_reports_open_transactions(db: &Db) {
    let mut counter = db.counter(1).await;
    let locks = db.locks(1).await;
    let other = LockName::named("other").lock();
    let refused = locks
        .transaction(counter.lock(), async |_, conn| {
            other.run(conn, async |_, _| Ok::<_, LockError>(())).await
        })
        .await;
    assert!(
        matches!(refused, Err(LockError::OpenTransaction { .. })),
        "{refused:?}"
    );
    let left_open = locks
        .run(counter.lock(), async |counter, conn| {
            <Conn as Connection>::TransactionManager::begin_transaction(conn).await?;
            counter.add_one(conn).await
        })
        .await;
    let error = left_open.unwrap_err();
    assert!(
        matches!(
            LockError::in_diesel(&error),
            Some(LockError::TransactionLeftOpen { .. })
        ),
        "{error:?}"
    );
    assert_eq!(db.value(1).await, 0);
    db.assert_idle(&locks).await;
}

#[server_test(blocking)]
fn guard_is_released_in_another_thread(db: &Db) {
    let mut counter = db.counter(1);
    let locks = db.locks(1);
    let mut held = locks.acquire(counter.lock()).unwrap();
    counter.add_one(&mut held).unwrap();
    assert!(locks.try_acquire(counter.lock()).unwrap().is_none());
    std::thread::spawn(move || held.release().unwrap())
        .join()
        .unwrap();
    let held = locks.try_acquire(counter.lock()).unwrap();
    assert_eq!(counter.value, 1);
    drop(held);
    db.assert_idle(&locks);
}

/// In the async crate, dropping a guard ends the session.
#[server_test(blocking)]
fn lock_of_a_dropped_guard_is_handed_off(db: &Db) {
    let locks = &db.locks(1);
    let name = &LockName::named("job");
    thread::scope(|scope| {
        let mut held = locks.acquire(name.lock()).unwrap();
        let session = session_id(&mut held);
        queue_up(scope, locks, 0..1, |_| {
            move || {
                let next = locks.run(name.lock(), |_, conn| Ok::<_, LockError>(session_id(conn)));
                assert_eq!(next.unwrap(), session);
            }
        });
        drop(held);
    });
    db.assert_idle(locks);
}

#[server_test]
async fn clones_share_one_queue(db: &Db) {
    let locks = db.locks(2).await;
    let held = locks.acquire(LockName::named("job").lock()).await.unwrap();
    assert_eq!(locks.clone().state().names, 1);
    held.release().await.unwrap();
    assert_eq!(locks.clone().state().names, 0);
}

/// The call's own timeout, and that of the policy, come before the one of the `LockPool`.
#[server_test(serial)]
async fn timeout_of_the_lock_pool_is_the_default_of_its_calls(db: &Db) {
    let locks = &LockPool::builder()
        .timeout(Duration::from_millis(200))
        .build(db.pool(2).await.0);
    let name = LockName::named("job");
    let policy = LockPolicy::new().timeout(Duration::from_millis(350));
    for (lock, timeout) in [
        (name.lock(), 200),
        (name.lock().policy(LockPolicy::new()), 200),
        (name.lock().policy(policy), 350),
        (
            name.lock()
                .policy(policy)
                .timeout(Duration::from_millis(100)),
            100,
        ),
    ] {
        let timeout = Duration::from_millis(timeout);
        assert_times_out(db, &name, timeout, async || {
            locks.acquire(lock.clone()).await.map(drop)
        })
        .await;
    }
    let start = Instant::now();
    let held = locks.acquire(name.lock()).await.unwrap();
    assert!(locks.try_acquire(name.lock()).await.unwrap().is_none());
    assert!(start.elapsed() < Duration::from_millis(200));
    held.release().await.unwrap();
}
