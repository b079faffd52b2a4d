//! A timeout through a `LockPool` names what the request waited for.

use std::thread;
use std::time::{Duration, Instant};

use diesel::r2d2::ConnectionManager;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{Outcome, TimeoutCause};
use server_test::server_test;

use super::support::{Counter, Db, Locks, Pool, wait_until};
use crate::server::{Conn, session_id};

const MOMENT: Duration = Duration::from_millis(100);

#[track_caller]
fn assert_cause<R: std::fmt::Debug>(result: Result<R, LockError>, expected: TimeoutCause) {
    let error = result.unwrap_err();
    let LockError::Timeout { cause, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*cause, expected, "{error}");
    assert_eq!(error.outcome(), Outcome::NothingHappened);
    let is_enclosing = expected == TimeoutCause::EnclosingCall;
    assert_eq!(error.is_retryable(), !is_enclosing);
}

fn nothing(_: &mut Counter, _: &mut Conn) -> Result<(), LockError> {
    Ok(())
}

fn nothing_for_all<L>(_: L, _: &mut Conn) -> Result<(), LockError> {
    Ok(())
}

/// Without the check, some of these requests would wait forever for the closure that makes them.
#[server_test(serial)]
fn nested_call_through_the_same_lock_pool_fails_at_once(db: &Db) {
    db.counter(1);
    let locks = &db.locks(4);
    let nested = || {
        let counter = &mut Counter { id: 1, value: 0 };
        let start = Instant::now();
        let other = LockName::named("other");
        for result in [
            locks.run(counter.lock(), nothing),
            locks.run(counter.lock().wait_forever(), nothing),
            locks.transaction(counter.lock().wait_forever(), nothing),
            locks.run(lock_all((&mut *counter, &other)), nothing_for_all),
            locks.run(
                lock_all((&mut *counter, &other)).wait_forever(),
                nothing_for_all,
            ),
            locks.acquire(counter.lock().wait_forever()).map(drop),
        ] {
            assert_cause(result, TimeoutCause::EnclosingCall);
        }
        let tried = locks.try_run(counter.lock(), nothing);
        assert_eq!(tried.unwrap(), None);
        assert!(start.elapsed() < MOMENT, "{:?}", start.elapsed());
        Ok::<_, LockError>(())
    };
    let counter = &mut Counter { id: 1, value: 0 };
    locks.run(counter.lock(), |_, _| nested()).unwrap();
    locks.transaction(counter.lock(), |_, _| nested()).unwrap();
    locks
        .run(lock_all((&mut *counter, LockName::named("job"))), |_, _| {
            nested()
        })
        .unwrap();
    db.assert_idle(locks);
}

#[server_test]
fn timeout_of_a_nested_call_names_the_enclosing_call(db: &Db) {
    let mut counter = db.counter(1);
    let locks = &db.locks(1);
    let timeout = Duration::from_millis(200);
    let nested = || {
        let mut copy = Counter { id: 1, value: 0 };
        let start = Instant::now();
        let request = copy.lock().timeout(timeout);
        assert_cause(locks.run(request, nothing), TimeoutCause::EnclosingCall);
        let set = lock_all(&mut copy).timeout(timeout);
        assert_cause(locks.run(set, nothing_for_all), TimeoutCause::EnclosingCall);
        let request = copy.lock().timeout(timeout);
        assert_cause(
            LockPool::new(locks.pool().clone()).run(request, nothing),
            TimeoutCause::EnclosingCall,
        );
        assert!(start.elapsed() >= 3 * timeout);
        Ok::<_, LockError>(())
    };
    let conn = &mut db.conn();
    counter.with_lock(conn, |_, _| nested()).unwrap();
    lock_all(&mut counter).run(conn, |_, _| nested()).unwrap();
    db.assert_idle(locks);
}

/// A lock pool whose only connection is in use, and that connection.
fn exhausted(db: &Db) -> (Locks, impl Sized) {
    let locks = db.locks(1);
    let in_use = locks.pool().get().unwrap();
    (locks, in_use)
}

#[server_test]
fn timeout_behind_an_exhausted_pool_names_the_pool(db: &Db) {
    db.counter(1);
    let (locks, in_use) = &exhausted(db);
    let timeout = Duration::from_millis(300);
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..6)
            .map(|waiter| {
                scope.spawn(move || {
                    let counter = &mut Counter { id: 1, value: 0 };
                    match waiter % 3 {
                        0 => locks.run(counter.lock().timeout(timeout), nothing),
                        1 => locks.run(
                            lock_all((counter, LockName::named("job"))).timeout(timeout),
                            nothing_for_all,
                        ),
                        _ => locks.transaction(counter.lock().timeout(timeout), nothing),
                    }
                })
            })
            .collect();
        for waiter in waiters {
            let error = waiter.join().unwrap().unwrap_err();
            assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
            assert_eq!(error.outcome(), Outcome::NothingHappened);
        }
    });
    assert_eq!(locks.state().names, 0);
    let _ = in_use;
}

/// The set in front has the permit of `job`, and waits for the row's request, which waits for the
/// pool.
#[server_test]
fn timeout_behind_a_set_that_waits_for_the_pool_names_the_pool(db: &Db) {
    db.counter(1);
    let (locks, in_use) = &exhausted(db);
    let job = LockName::named("job");
    let counter = || Counter { id: 1, value: 0 };
    let long = Duration::from_secs(2);
    thread::scope(|scope| {
        let row = scope.spawn(|| locks.run(counter().lock().timeout(long), nothing));
        wait_until("the row's request waits for the pool", || {
            locks.state().names == 1
        });
        let set = scope.spawn(|| {
            let counter = &mut counter();
            let set = lock_all((counter, &job)).timeout(long);
            locks.run(set, nothing_for_all)
        });
        wait_until("the set waits for the row", || locks.state().names == 2);
        let request = job.lock().timeout(Duration::from_millis(50));
        let error = locks.acquire(request).map(drop).unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
        for in_front in [row, set] {
            in_front.join().unwrap().unwrap_err();
        }
    });
    let _ = in_use;
}

#[server_test]
fn timeout_behind_another_session_names_that_session(db: &Db) {
    db.counter(1);
    let locks = &db.locks(1);
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let holder = &mut db.conn();
    let session = session_id(holder);
    let held = name.lock().acquire(holder).unwrap();
    let ask = |ms| {
        let request = name.lock().timeout(Duration::from_millis(ms));
        locks.acquire(request).map(drop)
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(600));
        db.wait_until_sessions_wait(1);
        let behind = scope.spawn(|| ask(200));
        let error = behind.join().unwrap().unwrap_err();
        assert_cause(Err::<(), _>(error), TimeoutCause::Session);
        let error = first.join().unwrap().unwrap_err();
        assert_eq!(
            error.holder().map(|holder| holder.connection_id),
            Some(session as u64)
        );
        assert_cause(Err::<(), _>(error), TimeoutCause::Session);
    });
    let set = lock_all((name, LockName::named("job"))).timeout(Duration::from_millis(50));
    let error = locks.run(set, nothing_for_all).unwrap_err();
    assert!(error.holder().is_some(), "{error:?}");
    assert_cause(Err::<(), _>(error), TimeoutCause::Session);
    held.release().unwrap();
    db.assert_idle(locks);
}

#[server_test]
fn timeout_behind_another_request_names_the_queue(db: &Db) {
    db.counter(1);
    let locks = &db.locks(2);
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let timeout = Duration::from_millis(50);
    let ask_on_another_thread = || {
        thread::scope(|scope| {
            let request = name.lock().timeout(timeout);
            let asking = scope.spawn(|| locks.acquire(request).map(drop));
            assert_cause(asking.join().unwrap(), TimeoutCause::Queue);
            let set = lock_all(name).timeout(timeout);
            let asking = scope.spawn(|| locks.run(set, nothing_for_all));
            assert_cause(asking.join().unwrap(), TimeoutCause::Queue);
        });
        Ok::<_, LockError>(())
    };
    locks
        .run(name.lock(), |_, _| ask_on_another_thread())
        .unwrap();
    let job = LockName::named("job");
    locks
        .run(lock_all((name, &job)), |_, _| ask_on_another_thread())
        .unwrap();
    // A guard runs no closure: another call on its thread is another request.
    let held = locks.acquire(name.lock()).unwrap();
    ask_on_another_thread().unwrap();
    let request = name.lock().timeout(timeout);
    assert_cause(locks.acquire(request).map(drop), TimeoutCause::Queue);
    held.release().unwrap();
    db.assert_idle(locks);
}

#[server_test(serial)]
fn request_without_a_wait_fails_at_once_on_an_exhausted_pool(db: &Db) {
    db.counter(1);
    let (locks, in_use) = &exhausted(db);
    let counter = &mut Counter { id: 1, value: 0 };
    let job = LockName::named("job");
    let unit = |result: Result<Option<()>, LockError>| result.map(drop);
    let start = Instant::now();
    for result in [
        locks.run(counter.lock().no_wait(), nothing),
        LockPool::new(locks.pool().clone()).run(counter.lock().no_wait(), nothing),
        locks.transaction(counter.lock().no_wait(), nothing),
        unit(locks.try_run(counter.lock(), nothing)),
        unit(LockPool::new(locks.pool().clone()).try_run(counter.lock(), nothing)),
        unit(locks.try_transaction(counter.lock(), nothing)),
        locks.acquire(job.lock().no_wait()).map(drop),
        locks.try_acquire(job.lock()).map(drop),
        locks.run(lock_all((&mut *counter, &job)).no_wait(), nothing_for_all),
        unit(locks.try_run(lock_all((&mut *counter, &job)), nothing_for_all)),
        unit(
            LockPool::new(locks.pool().clone())
                .try_run(lock_all((&mut *counter, &job)), nothing_for_all),
        ),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    }
    assert!(start.elapsed() < MOMENT, "{:?}", start.elapsed());
    let _ = in_use;
}

#[server_test]
fn request_without_a_wait_lets_the_pool_open_a_connection(db: &Db) {
    db.counter(1);
    let empty = || {
        let pool = Pool::builder()
            .min_idle(Some(0))
            .max_size(1)
            .build(ConnectionManager::new(db.url()))
            .unwrap();
        LockPool::new(pool)
    };
    let counter = &mut Counter { id: 1, value: 0 };
    let request = counter.lock().no_wait();
    empty().run(request, nothing).unwrap();
    let tried = LockPool::new(empty().pool().clone()).try_run(counter.lock(), nothing);
    assert_eq!(tried.unwrap(), Some(()));
    let set = lock_all((counter, LockName::named("job")));
    assert_eq!(empty().try_run(set, nothing_for_all).unwrap(), Some(()));
}
