//! `LockPool` when something fails: no caller hangs, no caller is handed a lock that is not held,
//! and no connection returns locked.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::ConnectionManager;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db, Locks, Pool, panics, wait_until, wait_until_queued};
use crate::server::{self, Conn, session_id};

type Manager = <Conn as Connection>::TransactionManager;

fn add_one(locks: &Locks) -> QueryResult<()> {
    locks
        .transaction(Counter { id: 1, value: 0 }.lock(), Counter::add_one)
        .map(drop)
}

/// Runs `first`, which requests the lock of counter 1. The server grants the lock when `count`
/// other requests are queued, so that it can be handed off to them.
pub(crate) fn in_front_of<R: Send>(
    db: &Db,
    locks: &Locks,
    count: usize,
    others: impl Fn() + Sync,
    first: impl FnOnce() -> R + Send,
) -> R {
    let name = Counter { id: 1, value: 0 }.lock_name();
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(first);
        db.wait_until_sessions_wait(1);
        (0..count).for_each(|_| _ = scope.spawn(&others));
        wait_until_queued(locks, count);
        held.release().unwrap();
        first.join().unwrap()
    })
}

/// The connection of a caller that panicked is in an unknown state: no other caller gets it.
#[server_test]
fn panic_of_the_holder_does_not_block_the_waiters(db: &Db) {
    db.counter(1);
    let locks = &db.locks(2);
    let session = &AtomicI64::new(0);
    let others = || {
        let mut counter = Counter { id: 1, value: 0 };
        locks
            .transaction(counter.lock(), |counter, conn| {
                assert_ne!(session_id(conn), session.load(Ordering::SeqCst));
                counter.value += 1;
                counter.save(conn)
            })
            .unwrap();
    };
    let panicked = in_front_of(db, locks, 30, others, || {
        let mut counter = Counter { id: 1, value: 0 };
        panics(|| {
            locks.transaction(counter.lock(), |counter, conn| -> QueryResult<()> {
                session.store(session_id(conn), Ordering::SeqCst);
                counter.value = 1_000;
                counter.save(conn)?;
                resume_unwind(Box::new("on purpose"))
            })
        })
    });
    assert!(panicked);
    assert_eq!(db.value(1), 30);
    db.assert_idle(locks);
}

/// The lock is lost while the closure runs, with its session or by raw SQL.
#[server_test]
fn holder_that_lost_its_lock_hands_off_nothing(db: &Db) {
    db.counter(1);
    let name = Counter { id: 1, value: 0 }.lock_name();
    let mut sum = 0;
    // By a request that may hand off, and by one that must release to other sessions.
    for (max_handoffs, kill) in [(16, true), (16, false), (0, true), (0, false)] {
        let locks = &LockPool::builder()
            .max_handoffs(max_handoffs)
            .build(db.pool(2).0);
        let run = in_front_of(
            db,
            locks,
            5,
            || add_one(locks).unwrap(),
            || {
                locks.run(Counter { id: 1, value: 0 }.lock(), |_, conn| {
                    if kill {
                        db.kill_session(session_id(conn));
                    } else {
                        db.release_raw(conn, &name);
                    }
                    Ok::<_, LockError>(())
                })
            },
        );
        assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
        sum += 5;
        assert_eq!(db.value(1), sum);
        db.assert_idle(locks);
    }
}

/// On PostgreSQL the nested call holds the lock until COMMIT, so the transaction may commit. The lock
/// is lost all the same.
#[server_test]
fn transaction_that_lost_its_lock_under_a_nested_call_hands_off_nothing(db: &Db) {
    db.counter(1);
    db.lock_before_begin();
    let locks = &db.locks(2);
    let name = Counter { id: 1, value: 0 }.lock_name();
    let others = || {
        let mut counter = Counter { id: 1, value: 0 };
        locks
            .transaction(counter.lock(), |counter, conn| {
                assert_eq!(db.holder(&name), Some(session_id(conn)));
                counter.value += 1;
                counter.save(conn)
            })
            .unwrap();
    };
    let committed = in_front_of(db, locks, 3, others, || {
        locks.transaction(Counter { id: 1, value: 0 }.lock(), |_, conn| {
            Counter { id: 1, value: 0 }.with_lock(conn, |_, _| Ok::<_, LockError>(()))?;
            db.release_raw(conn, &name);
            Ok(())
        })
    });
    if server::NESTED_LOCKS_END_WITH_TRANSACTION {
        committed.unwrap();
    } else {
        assert!(
            matches!(committed, Err(LockError::Lost { .. })),
            "{committed:?}"
        );
    }
    assert_eq!(db.value(1), 3);
    db.assert_idle(locks);
}

/// The session is verified, and dies before the next caller has reloaded its row.
#[server_test]
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
fn connection_marked_as_broken_is_not_handed_off(db: &Db) {
    db.counter(1);
    let locks = &db.locks(1);
    in_front_of(
        db,
        locks,
        5,
        || add_one(locks).unwrap(),
        || {
            let run = locks.run(Counter { id: 1, value: 0 }.lock(), |_, conn| {
                Manager::transaction_manager_status_mut(conn).set_in_error();
                Ok::<_, LockError>(())
            });
            assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
        },
    );
    assert_eq!(db.value(1), 5);
    db.assert_idle(locks);
}

/// The next waiter times out while the server is asked whether the session holds the lock.
#[server_test]
fn lock_whose_next_waiter_has_timed_out_is_released(db: &Db) {
    db.counter(1);
    let (locks, proxy) = &db.locks_through_proxy(1);
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let others = || {
        let request = name.lock().timeout(Duration::from_millis(400));
        let error = locks.acquire(request).unwrap_err();
        assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
    };
    in_front_of(db, locks, 1, others, || {
        let held = locks.acquire(name.lock()).unwrap();
        proxy.set_delay(Duration::from_millis(400));
        held.release().unwrap();
        assert_eq!(locks.state().waiting, 0);
        proxy.set_delay(Duration::ZERO);
    });
    db.assert_idle(locks);
}

#[server_test]
fn contended_lock_leaves_a_pool_of_one_to_other_requests(db: &Db) {
    let locks = &db.locks(1);
    let (name, stop) = (&LockName::named("job"), &AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    locks
                        .run(name.lock(), |_, _| Ok::<_, LockError>(()))
                        .unwrap();
                }
            });
        }
        wait_until("requests are queued", || locks.state().waiting > 1);
        for _ in 0..5 {
            drop(locks.pool().get_timeout(Duration::from_secs(10)).unwrap());
        }
        stop.store(true, Ordering::SeqCst);
    });
    db.assert_idle(locks);
}

#[server_test]
fn session_killed_at_any_moment_does_not_hang(db: &Db) {
    db.counter(1);
    let locks = &db.locks(3);
    let name = Counter { id: 1, value: 0 }.lock_name();
    let (done, unknown) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let stop = &AtomicBool::new(false);
    let enough = || [done, unknown].map(|count| count.load(Ordering::SeqCst) >= 20) == [true; 2];
    thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let run = if thread % 4 == 0 {
                        let wait = Duration::from_millis(thread);
                        let request = Counter { id: 1, value: 0 }.lock_name().lock().timeout(wait);
                        locks.run(request, |_, _| Ok(()))
                    } else {
                        add_one(locks).inspect(|()| {
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
        let killer = &mut db.conn();
        while !enough() && Instant::now() < limit {
            if let Some(holder) = db.holder(&name) {
                // An error is ignored: the session may have ended already.
                _ = server::kill_session(killer, holder);
            }
            thread::sleep(Duration::from_millis(3));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let (enough, value) = (enough(), usize::try_from(db.value(1)).unwrap());
    let (done, unknown) = (done.load(Ordering::SeqCst), unknown.load(Ordering::SeqCst));
    assert!(
        enough,
        "{done} requests have succeeded, and {unknown} have failed"
    );
    assert!(
        (done..=done + unknown).contains(&value),
        "{done} commits were reported and {unknown} are unknown, but the value is {value}"
    );
    db.wait_until_free(&name);
    db.assert_idle(locks);
}

#[server_test]
fn waiters_that_time_out_do_not_delay_other_waiters(db: &Db) {
    db.counter(1);
    let locks = &db.locks(2);
    let timed_out = &AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for _ in 0..20 {
                    if thread < 4 {
                        add_one(locks).unwrap();
                    } else {
                        let mut counter = Counter { id: 1, value: 0 };
                        let request = counter.lock().timeout(Duration::from_micros(700));
                        let run = locks.try_run(request, |_, _| Ok::<_, LockError>(()));
                        timed_out.fetch_add(usize::from(run.unwrap().is_none()), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(timed_out.load(Ordering::SeqCst) > 0, "no waiter timed out");
    assert_eq!(db.value(1), 80);
    db.assert_idle(locks);
}

#[server_test]
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
fn assert_all_fail_within(locks: &Locks, limit: Duration) {
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let start = Instant::now();
                let request = LockName::named("job")
                    .lock()
                    .timeout(Duration::from_millis(600));
                let error = locks.acquire(request).unwrap_err();
                // The first requests have waited for a connection, the others in the queue.
                assert!(
                    matches!(error, LockError::Pool { .. } | LockError::Timeout { .. }),
                    "{error:?}"
                );
                assert!(start.elapsed() < limit, "{:?}", start.elapsed());
            });
        }
    });
    let start = Instant::now();
    let error = locks
        .try_acquire(LockName::named("job").lock())
        .unwrap_err();
    assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    assert!(error.to_string().contains("=job"), "{error}");
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    assert_eq!(locks.state().names, 0);
}

#[server_test]
fn pool_that_cannot_connect_returns_an_error_in_time(_: &Db) {
    let unreachable = ConnectionManager::new(server::UNREACHABLE_URL);
    let pool = Pool::builder()
        .max_size(2)
        .connection_timeout(Duration::from_millis(200))
        .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
        .build_unchecked(unreachable);
    assert_all_fail_within(&LockPool::new(pool), Duration::from_secs(2));
}

#[server_test]
fn exhausted_pool_returns_an_error_in_time(db: &Db) {
    let pool = Pool::builder()
        .max_size(1)
        .connection_timeout(Duration::from_millis(200))
        .build(ConnectionManager::new(db.url()))
        .unwrap();
    let locks = LockPool::new(pool);
    let in_use = locks.pool().get().unwrap();
    assert_all_fail_within(&locks, Duration::from_secs(2));
    let plain = locks.pool();
    let error = LockPool::new(plain.clone())
        .acquire(LockName::named("job").lock())
        .unwrap_err();
    assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    drop(in_use);
    locks
        .acquire(LockName::named("job").lock())
        .unwrap()
        .release()
        .unwrap();
    db.assert_idle(&locks);
}

/// The row is reloaded and the session ends, because the caller may have changed anything.
#[server_test]
fn connection_returned_locked_is_discarded(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let (pool, events) = db.pool(1);
    let locks = LockPool::new(pool);
    db.execute("UPDATE counters SET value = 7");
    let return_locked = |locks: &Locks| {
        let mut conn = locks.pool().get().unwrap();
        match server::NOTICES_RAW_LOCKS {
            true => db.acquire_raw(&mut conn, &name),
            false => std::mem::forget(name.lock().acquire(&mut conn).unwrap()),
        }
        session_id(&mut conn)
    };
    let read = |counter: &Counter| {
        assert_eq!(counter.value, 7, "a stale copy");
        Ok::<_, LockError>(())
    };
    for discarded in 1..=3 {
        return_locked(&locks);
        counter.value = 0;
        let run = match discarded {
            1 => locks.run(counter.lock(), |counter, _| read(counter)),
            2 => {
                LockPool::new(locks.pool().clone()).run(counter.lock(), |counter, _| read(counter))
            }
            _ => locks.run(lock_all(&mut counter), |counter, _| read(counter)),
        };
        run.unwrap();
        wait_until("the connection is discarded", || {
            events.counts().2 == discarded
        });
        db.wait_until_free(&name);
    }

    // The connection is not handed off either, even if the pool has another one.
    let locks = db.locks(2);
    let session = return_locked(&locks);
    thread::scope(|scope| {
        let held = locks.acquire(name.lock()).unwrap();
        let next = scope.spawn(|| {
            let request = name.lock();
            let next = locks.run(request, |_, conn| Ok::<_, LockError>(session_id(conn)));
            assert_ne!(next.unwrap(), session);
        });
        wait_until_queued(&locks, 1);
        held.release().unwrap();
        next.join().unwrap();
    });
    db.assert_idle(&locks);
}
