//! `LockPool` when things break: nobody hangs, nobody gets a lock that is not held, nothing goes back locked.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_advisory_lock::prelude::*;

use crate::support::{Counter, Db, Locks, session_id, until, until_in_line};

cases![
    a_holder_panics_with_thirty_in_line,
    a_holder_that_lost_its_lock_is_told_and_hands_on_nothing,
    a_connection_that_dies_on_the_way_is_told,
    a_connection_that_is_marked_as_broken_is_not_handed_on,
    a_lock_whose_taker_is_gone_is_released,
    a_pool_of_one_is_not_kept_from_others,
    sessions_killed_at_any_moment_hang_nobody,
    waiters_that_give_up_disturb_nobody,
    a_row_deleted_meanwhile_is_told_to_each,
    a_pool_that_cannot_connect_is_told_in_time,
    a_pool_in_use_is_told_in_time,
    a_connection_put_back_locked_is_thrown_away,
    a_refused_name_is_told,
];

type Manager = <MysqlConnection as Connection>::TransactionManager;

fn add_one(locks: &Locks) -> QueryResult<()> {
    Counter { id: 1, value: 0 }
        .lock()
        .transaction_from(locks, Counter::add_one)
        .map(drop)
}

/// `first` asks for the lock of counter 1, then `count` others line up behind it, and then the server grants it: so it may
/// be handed on to them.
pub(crate) fn in_front_of<R: Send>(
    db: &Db,
    locks: &Locks,
    count: usize,
    others: impl Fn() + Sync,
    first: impl FnOnce() -> R + Send,
) -> R {
    let name = Counter { id: 1, value: 0 }.lock_name();
    let keeper = &mut db.conn();
    let held = name.lock().acquire(keeper).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(first);
        until("the first asks the server", || db.waiting() == 1);
        (0..count).for_each(|_| _ = scope.spawn(&others));
        until_in_line(locks, count);
        held.release().unwrap();
        first.join().unwrap()
    })
}

/// The connection of somebody who panicked is in an unknown state: nobody gets it.
fn a_holder_panics_with_thirty_in_line(db: &Db) {
    db.counter(1);
    let locks = &db.locks(2);
    let session = &AtomicI64::new(0);
    let others = || {
        let mut counter = Counter { id: 1, value: 0 };
        counter
            .lock()
            .transaction_from(locks, |counter, conn| {
                assert_ne!(session_id(conn), session.load(Ordering::SeqCst));
                counter.value += 1;
                counter.save(conn)
            })
            .unwrap();
    };
    let panicked = in_front_of(db, locks, 30, others, || {
        let mut counter = Counter { id: 1, value: 0 };
        let panics = || {
            counter
                .lock()
                .transaction_from(locks, |counter, conn| -> QueryResult<()> {
                    session.store(session_id(conn), Ordering::SeqCst);
                    counter.value = 1_000;
                    counter.save(conn)?;
                    resume_unwind(Box::new("on purpose"))
                })
        };
        catch_unwind(AssertUnwindSafe(panics)).is_err()
    });
    assert!(panicked);
    assert_eq!(db.value(1), 30);
    db.assert_idle(locks);
}

/// The lock went while the closure ran: with the session, or by a release behind our back.
fn a_holder_that_lost_its_lock_is_told_and_hands_on_nothing(db: &Db) {
    db.counter(1);
    let written = Counter { id: 1, value: 0 }.lock_name().written(&db.schema);
    let mut sum = 0;
    // By one that may hand on, and by one that is to let others on the server go first.
    for (max_hand_overs, kill) in [(16, true), (16, false), (0, true), (0, false)] {
        let locks = &LockPool::builder()
            .max_hand_overs(max_hand_overs)
            .build(db.pool(2).0);
        let run = in_front_of(
            db,
            locks,
            5,
            || add_one(locks).unwrap(),
            || {
                Counter { id: 1, value: 0 }.with_lock_from(locks, |_, conn| {
                    if kill {
                        db.execute(&format!("KILL CONNECTION {}", session_id(conn)));
                    } else {
                        conn.batch_execute(&format!("DO RELEASE_LOCK('{written}')"))
                            .unwrap();
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

/// Confirmed to be ours, and dead before the next has read its row.
fn a_connection_that_dies_on_the_way_is_told(db: &Db) {
    db.counter(1);
    let locks = &db.locks(1);
    let failed = &Mutex::new(Vec::new());
    let others = || {
        let error = add_one(locks).err();
        failed.lock().unwrap().extend(error);
    };
    let (row, killer) = (&mut db.conn(), &mut db.conn());
    in_front_of(db, locks, 5, others, || {
        let mut held = Counter { id: 1, value: 0 }
            .lock()
            .acquire_from(locks)
            .unwrap();
        let session = session_id(&mut held);
        // Stops the next in its first statement.
        row.batch_execute("LOCK TABLES counters WRITE").unwrap();
        held.release().unwrap();
        until_in_line(locks, 4);
        killer
            .batch_execute(&format!("KILL CONNECTION {session}"))
            .unwrap();
        row.batch_execute("UNLOCK TABLES").unwrap();
    });
    let failed = failed.lock().unwrap();
    let [error] = &failed[..] else {
        panic!("{failed:?}");
    };
    let told = LockError::in_diesel(error);
    assert!(
        matches!(told, Some(LockError::Database { .. })),
        "{error:?}"
    );
    assert_eq!(db.value(1), 4);
    db.assert_idle(locks);
}

/// Diesel has given up on it; the lock is fine.
fn a_connection_that_is_marked_as_broken_is_not_handed_on(db: &Db) {
    db.counter(1);
    let locks = &db.locks(1);
    in_front_of(
        db,
        locks,
        5,
        || add_one(locks).unwrap(),
        || {
            let run = Counter { id: 1, value: 0 }.with_lock_from(locks, |_, conn| {
                Manager::transaction_manager_status_mut(conn).set_in_error();
                Ok::<_, LockError>(())
            });
            assert!(matches!(run, Err(LockError::Database { .. })), "{run:?}");
        },
    );
    assert_eq!(db.value(1), 5);
    db.assert_idle(locks);
}

/// The next in line gives up while the server is asked whether the lock is still ours.
fn a_lock_whose_taker_is_gone_is_released(db: &Db) {
    db.counter(1);
    let (locks, proxy) = &db.locks_through_proxy(1);
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let others = || {
        let request = name.lock().timeout(Duration::from_millis(400));
        let error = request.acquire_from(locks).unwrap_err();
        assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
    };
    in_front_of(db, locks, 1, others, || {
        let held = name.lock().acquire_from(locks).unwrap();
        proxy.set_delay(Duration::from_millis(400));
        held.release().unwrap();
        assert_eq!(locks.state().waiting, 0);
        proxy.set_delay(Duration::ZERO);
    });
    db.assert_idle(locks);
}

/// A lock that is wanted all the time does not keep the last connection for itself.
fn a_pool_of_one_is_not_kept_from_others(db: &Db) {
    let locks = &db.locks(1);
    let (name, stop) = (&LockName::named("job"), &AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    name.lock()
                        .hold_from(locks, |_| Ok::<_, LockError>(()))
                        .unwrap();
                }
            });
        }
        until("the line is long", || locks.state().waiting > 1);
        for _ in 0..5 {
            drop(locks.pool().get_timeout(Duration::from_secs(10)).unwrap());
        }
        stop.store(true, Ordering::SeqCst);
    });
    db.assert_idle(locks);
}

fn sessions_killed_at_any_moment_hang_nobody(db: &Db) {
    db.counter(1);
    let locks = &db.locks(3);
    let name = Counter { id: 1, value: 0 }.lock_name();
    let (done, unknown) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let stop = &AtomicBool::new(false);
    let mut killed = 0;
    thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let run = if thread % 4 == 0 {
                        let wait = Duration::from_millis(thread);
                        let request = Counter { id: 1, value: 0 }.lock_name().lock().timeout(wait);
                        request.hold_from(locks, |_| Ok(()))
                    } else {
                        add_one(locks).inspect(|()| {
                            done.fetch_add(1, Ordering::SeqCst);
                        })
                    };
                    match &run {
                        Ok(()) => {}
                        // The row is written, or it is not: the COMMIT went with its session.
                        Err(error) => match LockError::in_diesel(error) {
                            Some(LockError::Timeout { .. }) => {}
                            _ => _ = unknown.fetch_add(1, Ordering::SeqCst),
                        },
                    }
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(2);
        let killer = &mut db.conn();
        while Instant::now() < end {
            if let Some(holder) = db.holder(&name) {
                // It may be gone already.
                killed += usize::from(
                    killer
                        .batch_execute(&format!("KILL CONNECTION {holder}"))
                        .is_ok(),
                );
            }
            thread::sleep(Duration::from_millis(3));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let (done, unknown) = (done.load(Ordering::SeqCst), unknown.load(Ordering::SeqCst));
    let value = usize::try_from(db.value(1)).unwrap();
    assert!(killed > 20, "{killed} sessions were killed");
    assert!(
        (done..=done + unknown).contains(&value),
        "{done} commits were reported and {unknown} may have been, but the row says {value}"
    );
    until("the lock is free", || db.holder(&name).is_none());
    db.assert_idle(locks);
}

fn waiters_that_give_up_disturb_nobody(db: &Db) {
    db.counter(1);
    let locks = &db.locks(2);
    let given_up = &AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for _ in 0..20 {
                    if thread < 4 {
                        add_one(locks).unwrap();
                    } else {
                        let mut counter = Counter { id: 1, value: 0 };
                        let request = counter.lock().timeout(Duration::from_micros(700));
                        let run = request.try_run_from(locks, |_, _| Ok::<_, LockError>(()));
                        given_up.fetch_add(usize::from(run.unwrap().is_none()), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(given_up.load(Ordering::SeqCst) > 0, "nobody gave up");
    assert_eq!(db.value(1), 80);
    db.assert_idle(locks);
}

fn a_row_deleted_meanwhile_is_told_to_each(db: &Db) {
    db.counter(1);
    let locks = &db.locks(2);
    thread::scope(|scope| {
        Counter { id: 1, value: 0 }
            .with_lock_from(locks, |_, conn| {
                for _ in 0..5 {
                    scope.spawn(|| {
                        let error = add_one(locks).unwrap_err();
                        let error = LockError::in_diesel(&error);
                        assert!(matches!(error, Some(LockError::Gone { .. })), "{error:?}");
                    });
                }
                until_in_line(locks, 5);
                conn.batch_execute("DELETE FROM counters")
            })
            .unwrap();
    });
    db.assert_idle(locks);
}

/// Each waits no longer than it asked for, or than the pool lets it.
fn all_fail_in(locks: &Locks, limit: Duration) {
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let start = Instant::now();
                let request = LockName::named("job")
                    .lock()
                    .timeout(Duration::from_millis(600));
                let error = request.acquire_from(locks).unwrap_err();
                // The first have waited for a connection, the last for their turn.
                assert!(
                    matches!(error, LockError::Pool { .. } | LockError::Timeout { .. }),
                    "{error:?}"
                );
                assert!(start.elapsed() < limit, "{:?}", start.elapsed());
            });
        }
    });
    let start = Instant::now();
    let error = LockName::named("job")
        .lock()
        .try_acquire_from(locks)
        .unwrap_err();
    assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    assert!(error.to_string().contains("=job"), "{error}");
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    assert_eq!(locks.state().names, 0);
}

fn a_pool_that_cannot_connect_is_told_in_time(_: &Db) {
    let nowhere = ConnectionManager::<MysqlConnection>::new("mysql://root@127.0.0.1:1/none");
    let pool = Pool::builder()
        .max_size(2)
        .connection_timeout(Duration::from_millis(200))
        .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
        .build_unchecked(nowhere);
    all_fail_in(&LockPool::new(pool), Duration::from_secs(2));
}

fn a_pool_in_use_is_told_in_time(db: &Db) {
    let pool = Pool::builder()
        .max_size(1)
        .connection_timeout(Duration::from_millis(200))
        .build(ConnectionManager::<MysqlConnection>::new(db.url()))
        .unwrap();
    let locks = LockPool::new(pool);
    let in_use = locks.pool().get().unwrap();
    all_fail_in(&locks, Duration::from_secs(2));
    let plain = locks.pool();
    let error = LockName::named("job")
        .lock()
        .acquire_from(plain)
        .unwrap_err();
    assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    drop(in_use);
    LockName::named("job")
        .lock()
        .acquire_from(&locks)
        .unwrap()
        .release()
        .unwrap();
    db.assert_idle(&locks);
}

/// Whoever put it back so may have done anything: the row is read, and the session ends.
fn a_connection_put_back_locked_is_thrown_away(db: &Db) {
    let mut counter = db.counter(1);
    let name = counter.lock_name();
    let written = name.written(&db.schema);
    let (pool, events) = db.pool(1);
    let locks = LockPool::new(pool);
    db.execute("UPDATE counters SET value = 7");
    let put_back_locked = |locks: &Locks| {
        let lock = format!("DO GET_LOCK('{written}', 0)");
        let mut conn = locks.pool().get().unwrap();
        conn.batch_execute(&lock).unwrap();
        session_id(&mut conn)
    };
    let read = |counter: &Counter| {
        assert_eq!(counter.value, 7, "a stale copy");
        Ok::<_, LockError>(())
    };
    for discarded in 1..=3 {
        put_back_locked(&locks);
        counter.value = 0;
        let run = match discarded {
            1 => counter.with_lock_from(&locks, |counter, _| read(counter)),
            2 => counter.with_lock_from(locks.pool(), |counter, _| read(counter)),
            _ => LockAll::of(&mut counter).run_from(&locks, |counter, _| read(counter)),
        };
        run.unwrap();
        until("the connection is discarded", || {
            events.counts().2 == discarded
        });
        until("the server has freed the lock", || {
            db.holder(&name).is_none()
        });
    }

    // Nor is it handed on, not even where there is no need to give it back.
    let locks = db.locks(2);
    let session = put_back_locked(&locks);
    thread::scope(|scope| {
        let held = name.lock().acquire_from(&locks).unwrap();
        let next = scope.spawn(|| {
            let request = name.lock();
            let next = request.hold_from(&locks, |conn| Ok::<_, LockError>(session_id(conn)));
            assert_ne!(next.unwrap(), session);
        });
        until_in_line(&locks, 1);
        held.release().unwrap();
        next.join().unwrap();
    });
    db.assert_idle(&locks);
}

fn a_refused_name_is_told(db: &Db) {
    let locks = db.locks(1);
    let refused = &LockName::exact("job").unwrap().scope("x");
    let nothing = |_: &mut MysqlConnection| Ok::<_, LockError>(());
    for run in [
        refused.lock().hold_from(&locks, nothing),
        refused.lock().hold_from(locks.pool(), nothing),
        lock_all(refused, &mut db.conn(), |_, _| Ok(())),
        LockAll::of([refused, refused]).run_from(&locks, |_, _| Ok(())),
    ] {
        assert!(matches!(run, Err(LockError::InvalidName { .. })), "{run:?}");
    }
    db.assert_idle(&locks);
}
