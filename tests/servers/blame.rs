//! A timeout through a `LockPool` names what the request really waited for.

use std::thread;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{Outcome, TimeoutCause};

use crate::support::{Case, Counter, Db, Locks, session_id, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_nested_call_through_the_same_lock_pool_fails_at_once).alone(),
        case!(a_nested_call_from_a_plain_lock_blames_the_enclosing_call),
        case!(waiters_behind_an_exhausted_pool_blame_the_pool),
        case!(waiters_behind_another_sessions_lock_blame_that_session),
        case!(waiters_behind_another_request_blame_the_queue),
        case!(a_request_without_a_wait_does_not_wait_for_an_exhausted_pool).alone(),
        case!(a_request_without_a_wait_waits_for_a_pool_that_grows),
    ]
}

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

fn nothing(_: &mut Counter, _: &mut MysqlConnection) -> Result<(), LockError> {
    Ok(())
}

fn nothing_for_all<L>(_: L, _: &mut MysqlConnection) -> Result<(), LockError> {
    Ok(())
}

/// Without the check, some of these would wait for themselves for ever.
fn a_nested_call_through_the_same_lock_pool_fails_at_once(db: &Db) {
    db.counter(1);
    let locks = &db.locks(4);
    let nested = || {
        let counter = &mut Counter { id: 1, value: 0 };
        let start = Instant::now();
        let other = LockName::named("other");
        for result in [
            counter.with_lock_from(locks, nothing),
            counter.lock().wait_forever().run_from(locks, nothing),
            counter
                .lock()
                .wait_forever()
                .transaction_from(locks, nothing),
            LockAll::of((&mut *counter, &other)).run_from(locks, nothing_for_all),
            LockAll::of((&mut *counter, &other))
                .wait_forever()
                .run_from(locks, nothing_for_all),
            counter.lock().wait_forever().acquire_from(locks).map(drop),
        ] {
            assert_cause(result, TimeoutCause::EnclosingCall);
        }
        let tried = counter.lock().try_run_from(locks, nothing);
        assert_eq!(tried.unwrap(), None);
        assert!(start.elapsed() < MOMENT, "{:?}", start.elapsed());
        Ok::<_, LockError>(())
    };
    let counter = &mut Counter { id: 1, value: 0 };
    counter.with_lock_from(locks, |_, _| nested()).unwrap();
    counter
        .lock()
        .transaction_from(locks, |_, _| nested())
        .unwrap();
    LockAll::of((&mut *counter, LockName::named("job")))
        .run_from(locks, |_, _| nested())
        .unwrap();
    db.assert_idle(locks);
}

fn a_nested_call_from_a_plain_lock_blames_the_enclosing_call(db: &Db) {
    let mut counter = db.counter(1);
    let locks = &db.locks(1);
    let timeout = Duration::from_millis(200);
    let nested = || {
        let mut copy = Counter { id: 1, value: 0 };
        let start = Instant::now();
        let request = copy.lock().timeout(timeout);
        assert_cause(
            request.run_from(locks, nothing),
            TimeoutCause::EnclosingCall,
        );
        let set = LockAll::of(&mut copy).timeout(timeout);
        assert_cause(
            set.run_from(locks, nothing_for_all),
            TimeoutCause::EnclosingCall,
        );
        let request = copy.lock().timeout(timeout);
        assert_cause(
            request.run_from(locks.pool(), nothing),
            TimeoutCause::EnclosingCall,
        );
        assert!(start.elapsed() >= 3 * timeout);
        Ok::<_, LockError>(())
    };
    let conn = &mut db.conn();
    counter.with_lock(conn, |_, _| nested()).unwrap();
    lock_all(&mut counter, conn, |_, _| nested()).unwrap();
    db.assert_idle(locks);
}

/// Over a pool whose only connection is in use.
fn exhausted(db: &Db) -> (Locks, impl Sized) {
    let locks = db.locks(1);
    let in_use = locks.pool().get().unwrap();
    (locks, in_use)
}

fn waiters_behind_an_exhausted_pool_blame_the_pool(db: &Db) {
    db.counter(1);
    let (locks, in_use) = &exhausted(db);
    let timeout = Duration::from_millis(300);
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..6)
            .map(|waiter| {
                scope.spawn(move || {
                    let counter = &mut Counter { id: 1, value: 0 };
                    match waiter % 3 {
                        0 => counter.lock().timeout(timeout).run_from(locks, nothing),
                        1 => LockAll::of((counter, LockName::named("job")))
                            .timeout(timeout)
                            .run_from(locks, nothing_for_all),
                        _ => counter
                            .lock()
                            .timeout(timeout)
                            .transaction_from(locks, nothing),
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

fn waiters_behind_another_sessions_lock_blame_that_session(db: &Db) {
    db.counter(1);
    let locks = &db.locks(1);
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let holder = &mut db.conn();
    let session = session_id(holder);
    let held = name.lock().acquire(holder).unwrap();
    let ask = |ms| {
        let request = name.lock().timeout(Duration::from_millis(ms));
        request.acquire_from(locks).map(drop)
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(600));
        until("the first asks the server", || db.waiting() == 1);
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
    let set = LockAll::of((name, LockName::named("job"))).timeout(Duration::from_millis(50));
    let error = set.run_from(locks, nothing_for_all).unwrap_err();
    assert!(error.holder().is_some(), "{error:?}");
    assert_cause(Err::<(), _>(error), TimeoutCause::Session);
    held.release().unwrap();
    db.assert_idle(locks);
}

fn waiters_behind_another_request_blame_the_queue(db: &Db) {
    db.counter(1);
    let locks = &db.locks(2);
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let timeout = Duration::from_millis(50);
    let ask_elsewhere = || {
        thread::scope(|scope| {
            let request = name.lock().timeout(timeout);
            let asking = scope.spawn(|| request.acquire_from(locks).map(drop));
            assert_cause(asking.join().unwrap(), TimeoutCause::Queue);
            let set = LockAll::of(name).timeout(timeout);
            let asking = scope.spawn(|| set.run_from(locks, nothing_for_all));
            assert_cause(asking.join().unwrap(), TimeoutCause::Queue);
        });
        Ok::<_, LockError>(())
    };
    name.lock().hold_from(locks, |_| ask_elsewhere()).unwrap();
    let job = LockName::named("job");
    LockAll::of((name, &job))
        .run_from(locks, |_, _| ask_elsewhere())
        .unwrap();
    // A guard runs no closure: another call on its thread is another request.
    let held = name.lock().acquire_from(locks).unwrap();
    ask_elsewhere().unwrap();
    let request = name.lock().timeout(timeout);
    assert_cause(request.acquire_from(locks).map(drop), TimeoutCause::Queue);
    held.release().unwrap();
    db.assert_idle(locks);
}

fn a_request_without_a_wait_does_not_wait_for_an_exhausted_pool(db: &Db) {
    db.counter(1);
    let (locks, in_use) = &exhausted(db);
    let counter = &mut Counter { id: 1, value: 0 };
    let job = LockName::named("job");
    let unit = |result: Result<Option<()>, LockError>| result.map(drop);
    let start = Instant::now();
    for result in [
        counter.lock().no_wait().run_from(locks, nothing),
        counter.lock().no_wait().run_from(locks.pool(), nothing),
        counter.lock().no_wait().transaction_from(locks, nothing),
        unit(counter.lock().try_run_from(locks, nothing)),
        unit(counter.lock().try_run_from(locks.pool(), nothing)),
        unit(counter.lock().try_transaction_from(locks, nothing)),
        job.lock().no_wait().acquire_from(locks).map(drop),
        job.lock().try_acquire_from(locks).map(drop),
        LockAll::of((&mut *counter, &job))
            .no_wait()
            .run_from(locks, nothing_for_all),
        unit(LockAll::of((&mut *counter, &job)).try_run_from(locks, nothing_for_all)),
        unit(LockAll::of((&mut *counter, &job)).try_run_from(locks.pool(), nothing_for_all)),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    }
    assert!(start.elapsed() < MOMENT, "{:?}", start.elapsed());
    let _ = in_use;
}

fn a_request_without_a_wait_waits_for_a_pool_that_grows(db: &Db) {
    db.counter(1);
    let empty = || {
        let pool = Pool::builder()
            .min_idle(Some(0))
            .max_size(1)
            .build(ConnectionManager::<MysqlConnection>::new(db.url()))
            .unwrap();
        LockPool::new(pool)
    };
    let counter = &mut Counter { id: 1, value: 0 };
    let request = counter.lock().no_wait();
    request.run_from(&empty(), nothing).unwrap();
    let tried = counter.lock().try_run_from(empty().pool(), nothing);
    assert_eq!(tried.unwrap(), Some(()));
    let set = LockAll::of((counter, LockName::named("job")));
    assert_eq!(
        set.try_run_from(&empty(), nothing_for_all).unwrap(),
        Some(())
    );
}
