//! `LockPool` when something fails: no caller hangs, no caller is handed a lock that is not held,
//! and no connection returns locked.

use std::panic::resume_unwind;
#[blocking]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::{blocking, both, server_test};

use super::support::{Counter, Db, Locks, panics, wait_until, wait_until_queued};
#[blocking]
use crate::api::SimpleConnection;
use crate::api::{Connection, TransactionManager, Work, pool, thread};
use crate::server::{self, Conn, session_id};

type Manager = <Conn as Connection>::TransactionManager;

#[both]
async fn add_one(locks: &Locks) -> QueryResult<()> {
    locks
        .transaction(Counter { id: 1, value: 0 }.lock(), Counter::add_one)
        .await
        .map(drop)
}

/// Runs `first`, which requests the lock of counter 1. The server grants the lock when `count`
/// other requests are queued, so that it can be handed off to them.
#[both]
pub(crate) async fn in_front_of<R: Send>(
    db: &Db,
    locks: &Locks,
    count: usize,
    others: impl Work<()> + Copy,
    first: impl Work<R>,
) -> R {
    let name = Counter { id: 1, value: 0 }.lock_name();
    let holder = &mut db.conn().await;
    let held = name.lock().acquire(holder).await.unwrap();
    thread::scope(async |scope| {
        let first = scope.spawn(first);
        db.wait_until_sessions_wait(1).await;
        for _ in 0..count {
            scope.spawn(others);
        }
        wait_until_queued(locks, count).await;
        held.release().await.unwrap();
        first.join().await.unwrap()
    })
    .await
}

/// The connection of a caller that panicked is in an unknown state: no other caller gets it.
#[server_test]
async fn panic_of_the_holder_does_not_block_the_waiters(db: &Db) {
    db.counter(1).await;
    let locks = &db.locks(2).await;
    let session = &AtomicI64::new(0);
    let others = async || {
        let mut counter = Counter { id: 1, value: 0 };
        locks
            .transaction(counter.lock(), async |counter, conn| {
                assert_ne!(session_id(conn).await, session.load(Ordering::SeqCst));
                counter.value += 1;
                counter.save(conn).await
            })
            .await
            .unwrap();
    };
    let panicked = in_front_of(db, locks, 30, others, async || {
        let mut counter = Counter { id: 1, value: 0 };
        panics(async || {
            locks
                .transaction(counter.lock(), async |counter, conn| -> QueryResult<()> {
                    session.store(session_id(conn).await, Ordering::SeqCst);
                    counter.value = 1_000;
                    counter.save(conn).await?;
                    resume_unwind(Box::new("on purpose"))
                })
                .await
        })
        .await
    })
    .await;
    assert!(panicked);
    assert_eq!(db.value(1).await, 30);
    db.assert_idle(locks).await;
}

/// The lock is lost while the closure runs, with its session or by raw SQL.
#[server_test]
async fn holder_that_lost_its_lock_hands_off_nothing(db: &Db) {
    db.counter(1).await;
    let name = Counter { id: 1, value: 0 }.lock_name();
    let mut sum = 0;
    // By a request that may hand off, and by one that must release to other sessions.
    for (max_handoffs, kill) in [(16, true), (16, false), (0, true), (0, false)] {
        let locks = &LockPool::builder()
            .max_handoffs(max_handoffs)
            .build(db.pool(2).await.0);
        let run = in_front_of(
            db,
            locks,
            5,
            async || add_one(locks).await.unwrap(),
            async || {
                locks
                    .run(Counter { id: 1, value: 0 }.lock(), async |_, conn| {
                        if kill {
                            db.kill_session(session_id(conn).await).await;
                        } else {
                            db.release_raw(conn, &name).await;
                        }
                        Ok::<_, LockError>(())
                    })
                    .await
            },
        )
        .await;
        assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
        sum += 5;
        assert_eq!(db.value(1).await, sum);
        db.assert_idle(locks).await;
    }
}

/// On PostgreSQL the nested call holds the lock until COMMIT, so the transaction may commit. The lock
/// is lost all the same.
#[server_test]
async fn transaction_that_lost_its_lock_under_a_nested_call_hands_off_nothing(db: &Db) {
    db.counter(1).await;
    db.lock_before_begin().await;
    let locks = &db.locks(2).await;
    let name = Counter { id: 1, value: 0 }.lock_name();
    let others = async || {
        let mut counter = Counter { id: 1, value: 0 };
        locks
            .transaction(counter.lock(), async |counter, conn| {
                assert_eq!(db.holder(&name).await, Some(session_id(conn).await));
                counter.value += 1;
                counter.save(conn).await
            })
            .await
            .unwrap();
    };
    let committed = in_front_of(db, locks, 3, others, async || {
        locks
            .transaction(Counter { id: 1, value: 0 }.lock(), async |_, conn| {
                Counter { id: 1, value: 0 }
                    .with_lock(conn, async |_, _| Ok::<_, LockError>(()))
                    .await?;
                db.release_raw(conn, &name).await;
                Ok(())
            })
            .await
    })
    .await;
    if server::NESTED_LOCKS_END_WITH_TRANSACTION {
        committed.unwrap();
    } else {
        assert!(
            matches!(committed, Err(LockError::Lost { .. })),
            "{committed:?}"
        );
    }
    assert_eq!(db.value(1).await, 3);
    db.assert_idle(locks).await;
}

/// The session is verified, and dies before the next caller has reloaded its row.
///
/// In the async crate, rustc cannot prove that this future is `Send` (rust-lang/rust#110338).
#[server_test(blocking)]
fn connection_that_dies_at_the_handoff_returns_an_error(db: &Db) {
    db.counter(1);
    let locks = &db.locks(1);
    let failed = &Mutex::new(Vec::new());
    let others = || {
        let error = add_one(locks).err();
        failed.lock().unwrap().extend(error);
    };
    let (row, killer) = (&mut db.conn(), &mut db.conn());
    in_front_of(db, locks, 5, others, || {
        let mut held = locks.acquire(Counter { id: 1, value: 0 }.lock()).unwrap();
        let session = session_id(&mut held);
        // Blocks the next request in its first statement.
        server::block_table(row, "counters");
        held.release().unwrap();
        wait_until_queued(locks, 4);
        server::kill_session(killer, session).unwrap();
        server::unblock_tables(row);
    });
    let failed = failed.lock().unwrap();
    let [error] = &failed[..] else {
        panic!("{failed:?}");
    };
    let lock_error = LockError::in_diesel(error);
    assert!(
        matches!(lock_error, Some(LockError::Database { .. })),
        "{error:?}"
    );
    assert_eq!(db.value(1), 4);
    db.assert_idle(locks);
}

/// Diesel has marked the connection as broken, although its session still holds the lock.
#[server_test]
async fn connection_marked_as_broken_is_not_handed_off(db: &Db) {
    db.counter(1).await;
    let locks = &db.locks(1).await;
    in_front_of(
        db,
        locks,
        5,
        async || add_one(locks).await.unwrap(),
        async || {
            let run = locks
                .run(Counter { id: 1, value: 0 }.lock(), async |_, conn| {
                    Manager::transaction_manager_status_mut(conn).set_in_error();
                    Ok::<_, LockError>(())
                })
                .await;
            assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
        },
    )
    .await;
    assert_eq!(db.value(1).await, 5);
    db.assert_idle(locks).await;
}

/// The next waiter times out while the server is asked whether the session holds the lock.
#[server_test]
async fn lock_whose_next_waiter_has_timed_out_is_released(db: &Db) {
    db.counter(1).await;
    let (locks, proxy) = &db.locks_through_proxy(1).await;
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let others = async || {
        let request = name.lock().timeout(Duration::from_millis(400));
        let error = locks.acquire(request).await.unwrap_err();
        assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
    };
    in_front_of(db, locks, 1, others, async || {
        let held = locks.acquire(name.lock()).await.unwrap();
        proxy.set_delay(Duration::from_millis(400));
        held.release().await.unwrap();
        assert_eq!(locks.state().waiting, 0);
        proxy.set_delay(Duration::ZERO);
    })
    .await;
    db.assert_idle(locks).await;
}

#[server_test]
async fn contended_lock_leaves_a_pool_of_one_to_other_requests(db: &Db) {
    let locks = &db.locks(1).await;
    let (name, stop) = (&LockName::named("job"), &AtomicBool::new(false));
    thread::scope(async |scope| {
        for _ in 0..4 {
            scope.spawn(async move || {
                while !stop.load(Ordering::SeqCst) {
                    locks
                        .run(name.lock(), async |_, _| Ok::<_, LockError>(()))
                        .await
                        .unwrap();
                }
            });
        }
        wait_until("requests are queued", async || locks.state().waiting > 1).await;
        for _ in 0..5 {
            drop(pool::checked_out(locks.pool()).await);
        }
        stop.store(true, Ordering::SeqCst);
    })
    .await;
    db.assert_idle(locks).await;
}

#[server_test]
async fn session_killed_at_any_moment_does_not_hang(db: &Db) {
    db.counter(1).await;
    let locks = &db.locks(3).await;
    let name = Counter { id: 1, value: 0 }.lock_name();
    let (done, unknown) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let stop = &AtomicBool::new(false);
    let enough = || [done, unknown].map(|count| count.load(Ordering::SeqCst) >= 20) == [true; 2];
    thread::scope(async |scope| {
        for number in 0..16 {
            scope.spawn(async move || {
                while !stop.load(Ordering::SeqCst) {
                    // A request that does not wait may be ready at once.
                    thread::yield_now().await;
                    let run = if number % 4 == 0 {
                        let wait = Duration::from_millis(number);
                        let request = Counter { id: 1, value: 0 }.lock_name().lock().timeout(wait);
                        locks.run(request, async |_, _| Ok(())).await
                    } else {
                        add_one(locks).await.inspect(|()| {
                            done.fetch_add(1, Ordering::SeqCst);
                        })
                    };
                    match &run {
                        Ok(()) => {}
                        // The session may have been killed before or after its COMMIT.
                        Err(error) => match LockError::in_diesel(error) {
                            Some(LockError::Timeout { .. }) => {}
                            _ => _ = unknown.fetch_add(1, Ordering::SeqCst),
                        },
                    }
                }
            });
        }
        // However slow the machine is: as many requests as this take seconds at most.
        let limit = Instant::now() + Duration::from_secs(120);
        let killer = &mut db.conn().await;
        while !enough() && Instant::now() < limit {
            if let Some(holder) = db.holder(&name).await {
                // An error is ignored: the session may have ended already.
                _ = server::kill_session(killer, holder).await;
            }
            thread::sleep(Duration::from_millis(3)).await;
        }
        stop.store(true, Ordering::SeqCst);
    })
    .await;
    let (enough, value) = (enough(), usize::try_from(db.value(1).await).unwrap());
    let (done, unknown) = (done.load(Ordering::SeqCst), unknown.load(Ordering::SeqCst));
    assert!(
        enough,
        "{done} requests have succeeded, and {unknown} have failed"
    );
    assert!(
        (done..=done + unknown).contains(&value),
        "{done} commits were reported and {unknown} are unknown, but the value is {value}"
    );
    db.wait_until_free(&name).await;
    db.assert_idle(locks).await;
}

#[server_test]
async fn waiters_that_time_out_do_not_delay_other_waiters(db: &Db) {
    db.counter(1).await;
    let locks = &db.locks(2).await;
    let timed_out = &AtomicUsize::new(0);
    thread::scope(async |scope| {
        for thread in 0..8 {
            scope.spawn(async move || {
                for _ in 0..20 {
                    if thread < 4 {
                        add_one(locks).await.unwrap();
                    } else {
                        let mut counter = Counter { id: 1, value: 0 };
                        let request = counter.lock().timeout(Duration::from_micros(700));
                        let run = locks
                            .try_run(request, async |_, _| Ok::<_, LockError>(()))
                            .await;
                        // The request in front may still be connecting.
                        let has_timed_out = match run {
                            Err(LockError::Pool { .. }) => true,
                            run => run.unwrap().is_none(),
                        };
                        timed_out.fetch_add(usize::from(has_timed_out), Ordering::SeqCst);
                    }
                }
            });
        }
    })
    .await;
    assert!(timed_out.load(Ordering::SeqCst) > 0, "no waiter timed out");
    assert_eq!(db.value(1).await, 80);
    db.assert_idle(locks).await;
}

/// In the async crate, rustc cannot prove that this future is `Send` (rust-lang/rust#110338).
#[server_test(blocking)]
fn row_deleted_while_requests_are_queued_returns_row_not_found_to_each(db: &Db) {
    db.counter(1);
    let locks = &db.locks(2);
    thread::scope(|scope| {
        locks
            .run(Counter { id: 1, value: 0 }.lock(), |_, conn| {
                for _ in 0..5 {
                    scope.spawn(|| {
                        let error = add_one(locks).unwrap_err();
                        let error = LockError::in_diesel(&error);
                        assert!(
                            matches!(error, Some(LockError::RowNotFound { .. })),
                            "{error:?}"
                        );
                    });
                }
                wait_until_queued(locks, 5);
                conn.batch_execute("DELETE FROM counters")
            })
            .unwrap();
    });
    db.assert_idle(locks);
}

/// Asserts that each request fails after its own timeout or that of the pool.
#[both]
async fn assert_all_fail_within(locks: &Locks, limit: Duration) {
    thread::scope(async |scope| {
        for _ in 0..10 {
            scope.spawn(async || {
                let start = Instant::now();
                let request = LockName::named("job")
                    .lock()
                    .timeout(Duration::from_millis(600));
                let error = locks.acquire(request).await.unwrap_err();
                // The first requests have waited for a connection, the others in the queue.
                assert!(
                    matches!(error, LockError::Pool { .. } | LockError::Timeout { .. }),
                    "{error:?}"
                );
                assert!(start.elapsed() < limit, "{:?}", start.elapsed());
            });
        }
    })
    .await;
    let start = Instant::now();
    let error = locks
        .try_acquire(LockName::named("job").lock())
        .await
        .unwrap_err();
    assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    assert!(error.to_string().contains("=job"), "{error}");
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    assert_eq!(locks.state().names, 0);
}

#[server_test]
async fn pool_that_cannot_connect_returns_an_error_in_time(_: &Db) {
    let pool = pool::impatient(server::UNREACHABLE_URL, 2);
    assert_all_fail_within(&LockPool::new(pool), Duration::from_secs(2)).await;
}

#[server_test]
async fn exhausted_pool_returns_an_error_in_time(db: &Db) {
    let locks = LockPool::new(pool::impatient(&db.url(), 1));
    wait_until("the pool has connected", async || {
        locks.pool().get().await.is_ok()
    })
    .await;
    let in_use = pool::checked_out(locks.pool()).await;
    assert_all_fail_within(&locks, Duration::from_secs(2)).await;
    let plain = locks.pool();
    let error = LockPool::new(plain.clone())
        .acquire(LockName::named("job").lock())
        .await
        .unwrap_err();
    assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    drop(in_use);
    locks
        .acquire(LockName::named("job").lock())
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    db.assert_idle(&locks).await;
}

/// The row is reloaded and the session ends, because the caller may have changed anything.
#[server_test]
async fn connection_returned_locked_is_discarded(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    let (pool, events) = db.pool(1).await;
    let locks = LockPool::new(pool);
    db.execute("UPDATE counters SET value = 7").await;
    let return_locked = async |locks: &Locks| {
        let mut conn = pool::checked_out(locks.pool()).await;
        match server::NOTICES_RAW_LOCKS {
            true => db.acquire_raw(&mut conn, &name).await,
            false => std::mem::forget(name.lock().acquire(&mut conn).await.unwrap()),
        }
        session_id(&mut conn).await
    };
    let read = |counter: &Counter| {
        assert_eq!(counter.value, 7, "a stale copy");
        Ok::<_, LockError>(())
    };
    for discarded in 1..=3 {
        return_locked(&locks).await;
        counter.value = 0;
        let run = match discarded {
            1 => {
                locks
                    .run(counter.lock(), async |counter, _| read(counter))
                    .await
            }
            2 => {
                LockPool::new(locks.pool().clone())
                    .run(counter.lock(), async |counter, _| read(counter))
                    .await
            }
            _ => {
                locks
                    .run(lock_all(&mut counter), async |counter, _| read(counter))
                    .await
            }
        };
        run.unwrap();
        wait_until("the connection is discarded", async || {
            events.discarded() == discarded
        })
        .await;
        db.wait_until_free(&name).await;
    }

    // The connection is not handed off either, even if the pool has another one.
    let locks = db.locks(2).await;
    let session = return_locked(&locks).await;
    thread::scope(async |scope| {
        let held = locks.acquire(name.lock()).await.unwrap();
        let next = scope.spawn(async || {
            let request = name.lock();
            let next = locks
                .run(request, async |_, conn| {
                    Ok::<_, LockError>(session_id(conn).await)
                })
                .await;
            assert_ne!(next.unwrap(), session);
        });
        wait_until_queued(&locks, 1).await;
        held.release().await.unwrap();
        next.join().await.unwrap();
    })
    .await;
    db.assert_idle(&locks).await;
}
