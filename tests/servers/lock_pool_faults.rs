//! `LockPool` when things break: nobody hangs, nobody gets a lock that is not held, nothing goes back locked.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_advisory_lock::prelude::*;

use crate::support::{Counter, Db, Locks, session_id, until};

cases![
    a_holder_panics_with_thirty_in_line,
    a_holder_that_lost_its_lock_is_told_and_hands_on_nothing,
    a_connection_that_dies_on_the_way_is_told,
    sessions_killed_at_any_moment_hang_nobody,
    waiters_that_give_up_disturb_nobody,
    a_row_deleted_meanwhile_is_told_to_each,
    a_pool_that_cannot_connect_is_told_in_time,
    a_pool_in_use_is_told_in_time,
    a_connection_put_back_locked_is_thrown_away,
    a_refused_name_does_not_queue,
];

fn add_one(locks: &Locks) -> QueryResult<()> {
    Counter { id: 1, value: 0 }
        .lock()
        .transaction_from(locks, |counter, conn| {
            counter.value += 1;
            counter.save(conn).map(drop)
        })
}

fn until_waiting(locks: &Locks, waiting: usize) {
    until("they wait in line", || locks.state().waiting == waiting);
}

fn a_holder_panics_with_thirty_in_line(db: &Db) {
    let mut counter = db.counter(1);
    let locks = &db.locks(2);
    thread::scope(|scope| {
        let panics = || {
            counter
                .lock()
                .transaction_from(locks, |counter, conn| -> QueryResult<()> {
                    counter.value = 1_000;
                    counter.save(conn)?;
                    for _ in 0..30 {
                        scope.spawn(|| add_one(locks).unwrap());
                    }
                    until_waiting(locks, 30);
                    resume_unwind(Box::new("on purpose"))
                })
        };
        catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    });
    assert_eq!(db.value(1), 30);
    db.assert_idle(locks);
}

/// The lock went while the closure ran: with the session, or by a release behind our back.
fn a_holder_that_lost_its_lock_is_told_and_hands_on_nothing(db: &Db) {
    db.counter(1);
    let written = Counter { id: 1, value: 0 }.lock_name().written(&db.schema);
    let locks = &db.locks(2);
    for kill in [true, false] {
        thread::scope(|scope| {
            let run = Counter { id: 1, value: 0 }.with_lock_from(locks, |_, conn| {
                for _ in 0..5 {
                    scope.spawn(|| add_one(locks).unwrap());
                }
                until_waiting(locks, 5);
                if kill {
                    db.execute(&format!("KILL CONNECTION {}", session_id(conn)));
                } else {
                    conn.batch_execute(&format!("DO RELEASE_LOCK('{written}')"))
                        .unwrap();
                }
                Ok::<_, LockError>(())
            });
            assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
        });
    }
    assert_eq!(db.value(1), 10);
    db.assert_idle(locks);
}

/// Confirmed by a COMMIT, and dead before the next has read its row.
fn a_connection_that_dies_on_the_way_is_told(db: &Db) {
    db.counter(1);
    let locks = &db.locks(1);
    let failed = AtomicUsize::new(0);
    thread::scope(|scope| {
        let mut held = Counter { id: 1, value: 0 }
            .lock()
            .acquire_from(locks)
            .unwrap();
        let session = session_id(&mut held);
        // Stops the one that is handed the lock before its first statement.
        let row = &mut db.conn();
        row.batch_execute("LOCK TABLES counters WRITE").unwrap();
        for _ in 0..5 {
            scope.spawn(|| {
                failed.fetch_add(usize::from(add_one(locks).is_err()), Ordering::SeqCst);
            });
        }
        until_waiting(locks, 5);
        held.release().unwrap();
        until_waiting(locks, 4);
        db.execute(&format!("KILL CONNECTION {session}"));
        row.batch_execute("UNLOCK TABLES").unwrap();
    });
    assert_eq!(failed.load(Ordering::SeqCst), 1);
    assert_eq!(db.value(1), 4);
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
                until_waiting(locks, 5);
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
    let lock = format!("DO GET_LOCK('{written}', 0)");
    db.execute("UPDATE counters SET value = 7");
    for discarded in 1..=3 {
        locks.pool().get().unwrap().batch_execute(&lock).unwrap();
        counter.value = 0;
        let read = match discarded {
            1 => counter.with_lock_from(&locks, |counter, _| Ok::<_, LockError>(counter.value)),
            2 => counter.with_lock_from(locks.pool(), |counter, _| Ok(counter.value)),
            _ => LockAll::of(&mut counter).run_from(&locks, |counter, _| Ok(counter.value)),
        };
        assert_eq!(read.unwrap(), 7, "a stale copy");
        until("the connection is discarded", || {
            events.counts().2 == discarded
        });
        until("the server has freed the lock", || {
            db.holder(&name).is_none()
        });
    }
    db.assert_idle(&locks);
}

fn a_refused_name_does_not_queue(db: &Db) {
    let locks = db.locks(1);
    let refused = LockName::exact("job").unwrap().scope("x");
    let error = refused.lock().acquire_from(&locks).unwrap_err();
    assert!(matches!(error, LockError::InvalidName { .. }), "{error:?}");
    let error = lock_all([&refused], &mut db.conn(), |_, _| Ok::<_, LockError>(())).unwrap_err();
    assert!(matches!(error, LockError::InvalidName { .. }), "{error:?}");
    let all = LockAll::of([&refused, &refused]);
    let error = all
        .run_from(&locks, |_, _| Ok::<_, LockError>(()))
        .unwrap_err();
    assert!(matches!(error, LockError::InvalidName { .. }), "{error:?}");
    db.assert_idle(&locks);
}
