//! A timeout through a `LockPool` names what the request waited for.

use std::time::{Duration, Instant};

use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{Outcome, TimeoutCause};
use server_test::{both, server_test};

use super::support::{Counter, Db, Locks, wait_until};
use crate::api::pool::{self, PooledConnection};
use crate::api::{block_on, thread};
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

#[both]
async fn nothing(_: &mut Counter, _: &mut Conn) -> Result<(), LockError> {
    Ok(())
}

/// Without the check, some of these requests would wait forever for the closure that makes them.
#[server_test(serial)]
async fn nested_call_through_the_same_lock_pool_fails_at_once(db: &Db) {
    db.counter(1).await;
    let locks = &db.locks(4).await;
    let nested = async || {
        let counter = &mut Counter { id: 1, value: 0 };
        let start = Instant::now();
        let other = LockName::named("other");
        for result in [
            locks.run(counter.lock(), nothing).await,
            locks.run(counter.lock().wait_forever(), nothing).await,
            locks
                .transaction(counter.lock().wait_forever(), nothing)
                .await,
            locks
                .run(lock_all((&mut *counter, &other)), async |_, _| Ok(()))
                .await,
            locks
                .run(
                    lock_all((&mut *counter, &other)).wait_forever(),
                    async |_, _| Ok(()),
                )
                .await,
            locks.acquire(counter.lock().wait_forever()).await.map(drop),
        ] {
            assert_cause(result, TimeoutCause::EnclosingCall);
        }
        let tried = locks.try_run(counter.lock(), nothing).await;
        assert_eq!(tried.unwrap(), None);
        assert!(start.elapsed() < MOMENT, "{:?}", start.elapsed());
        Ok::<_, LockError>(())
    };
    let counter = &mut Counter { id: 1, value: 0 };
    locks
        .run(counter.lock(), async |_, _| nested().await)
        .await
        .unwrap();
    locks
        .transaction(counter.lock(), async |_, _| nested().await)
        .await
        .unwrap();
    locks
        .run(
            lock_all((&mut *counter, LockName::named("job"))),
            async |_, _| nested().await,
        )
        .await
        .unwrap();
    db.assert_idle(locks).await;
}

#[server_test]
async fn timeout_of_a_nested_call_names_the_enclosing_call(db: &Db) {
    let mut counter = db.counter(1).await;
    let locks = &db.locks(1).await;
    let timeout = Duration::from_millis(200);
    let nested = async || {
        let mut copy = Counter { id: 1, value: 0 };
        let start = Instant::now();
        let request = copy.lock().timeout(timeout);
        assert_cause(
            locks.run(request, nothing).await,
            TimeoutCause::EnclosingCall,
        );
        let set = lock_all(&mut copy).timeout(timeout);
        assert_cause(
            locks.run(set, async |_, _| Ok(())).await,
            TimeoutCause::EnclosingCall,
        );
        let request = copy.lock().timeout(timeout);
        assert_cause(
            LockPool::new(locks.pool().clone())
                .run(request, nothing)
                .await,
            TimeoutCause::EnclosingCall,
        );
        assert!(start.elapsed() >= 3 * timeout);
        Ok::<_, LockError>(())
    };
    let conn = &mut db.conn().await;
    counter
        .with_lock(conn, async |_, _| nested().await)
        .await
        .unwrap();
    lock_all(&mut counter)
        .run(conn, async |_, _| nested().await)
        .await
        .unwrap();
    db.assert_idle(locks).await;
}

/// A lock pool whose only connection is in use, and that connection.
#[both]
async fn exhausted(db: &Db) -> (Locks, PooledConnection) {
    let locks = db.locks(1).await;
    let in_use = pool::checked_out(locks.pool()).await;
    (locks, in_use)
}

#[server_test]
async fn timeout_behind_an_exhausted_pool_names_the_pool(db: &Db) {
    db.counter(1).await;
    let (locks, in_use) = &exhausted(db).await;
    let timeout = Duration::from_millis(300);
    thread::scope(async |scope| {
        let waiters: Vec<_> = (0..6)
            .map(|waiter| {
                scope.spawn(async move || {
                    let counter = &mut Counter { id: 1, value: 0 };
                    match waiter % 3 {
                        0 => locks.run(counter.lock().timeout(timeout), nothing).await,
                        1 => {
                            locks
                                .run(
                                    lock_all((counter, LockName::named("job"))).timeout(timeout),
                                    async |_, _| Ok(()),
                                )
                                .await
                        }
                        _ => {
                            locks
                                .transaction(counter.lock().timeout(timeout), nothing)
                                .await
                        }
                    }
                })
            })
            .collect();
        for waiter in waiters {
            let error = waiter.join().await.unwrap().unwrap_err();
            assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
            assert_eq!(error.outcome(), Outcome::NothingHappened);
        }
    })
    .await;
    assert_eq!(locks.state().names, 0);
    let _ = in_use;
}

/// The set in front has the permit of `job`, and waits for the row's request, which waits for the
/// pool.
#[server_test]
async fn timeout_behind_a_set_that_waits_for_the_pool_names_the_pool(db: &Db) {
    db.counter(1).await;
    let (locks, in_use) = &exhausted(db).await;
    let job = LockName::named("job");
    let counter = || Counter { id: 1, value: 0 };
    let long = Duration::from_secs(2);
    thread::scope(async |scope| {
        let row = scope.spawn(async || locks.run(counter().lock().timeout(long), nothing).await);
        wait_until("the row's request waits for the pool", async || {
            locks.state().names == 1
        })
        .await;
        let set = scope.spawn(async || {
            let counter = &mut counter();
            let set = lock_all((counter, &job)).timeout(long);
            locks.run(set, async |_, _| Ok(())).await
        });
        wait_until("the set waits for the row", async || {
            locks.state().names == 2
        })
        .await;
        let request = job.lock().timeout(Duration::from_millis(50));
        let error = locks.acquire(request).await.map(drop).unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
        for in_front in [row, set] {
            in_front.join().await.unwrap().unwrap_err();
        }
    })
    .await;
    let _ = in_use;
}

#[server_test]
async fn timeout_behind_another_session_names_that_session(db: &Db) {
    db.counter(1).await;
    let locks = &db.locks(1).await;
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let holder = &mut db.conn().await;
    let session = session_id(holder).await;
    let held = name.lock().acquire(holder).await.unwrap();
    let ask = async |ms| {
        let request = name.lock().timeout(Duration::from_millis(ms));
        locks.acquire(request).await.map(drop)
    };
    thread::scope(async |scope| {
        let first = scope.spawn(async || ask(600).await);
        db.wait_until_sessions_wait(1).await;
        let behind = scope.spawn(async || ask(200).await);
        let error = behind.join().await.unwrap().unwrap_err();
        assert_cause(Err::<(), _>(error), TimeoutCause::Session);
        let error = first.join().await.unwrap().unwrap_err();
        assert_eq!(
            error.holder().map(|holder| holder.connection_id),
            Some(session as u64)
        );
        assert_cause(Err::<(), _>(error), TimeoutCause::Session);
    })
    .await;
    let set = lock_all((name, LockName::named("job"))).timeout(Duration::from_millis(50));
    let error = locks
        .run(set, async |_, _| Ok::<_, LockError>(()))
        .await
        .unwrap_err();
    assert!(error.holder().is_some(), "{error:?}");
    assert_cause(Err::<(), _>(error), TimeoutCause::Session);
    held.release().await.unwrap();
    db.assert_idle(locks).await;
}

#[server_test]
async fn timeout_behind_another_request_names_the_queue(db: &Db) {
    db.counter(1).await;
    let locks = &db.locks(2).await;
    let name = &Counter { id: 1, value: 0 }.lock_name();
    let timeout = Duration::from_millis(50);
    let ask = async || {
        let request = name.lock().timeout(timeout);
        let set = lock_all(name).timeout(timeout);
        [
            locks.acquire(request).await.map(drop),
            locks.run(set, async |_, _| Ok(())).await,
        ]
    };
    // A future of the closure's own would be a nested call.
    let ask_on_another_thread = || {
        let results = std::thread::scope(|scope| scope.spawn(|| block_on(ask)).join());
        for result in results.unwrap() {
            assert_cause(result, TimeoutCause::Queue);
        }
        Ok::<_, LockError>(())
    };
    locks
        .run(name.lock(), async |_, _| ask_on_another_thread())
        .await
        .unwrap();
    let job = LockName::named("job");
    locks
        .run(lock_all((name, &job)), async |_, _| ask_on_another_thread())
        .await
        .unwrap();
    // A guard runs no closure: another call on its thread is another request.
    let held = locks.acquire(name.lock()).await.unwrap();
    ask_on_another_thread().unwrap();
    let request = name.lock().timeout(timeout);
    assert_cause(locks.acquire(request).await.map(drop), TimeoutCause::Queue);
    held.release().await.unwrap();
    db.assert_idle(locks).await;
}

#[server_test(serial)]
async fn request_without_a_wait_fails_at_once_on_an_exhausted_pool(db: &Db) {
    db.counter(1).await;
    let (locks, in_use) = &exhausted(db).await;
    let counter = &mut Counter { id: 1, value: 0 };
    let job = LockName::named("job");
    let unit = |result: Result<Option<()>, LockError>| result.map(drop);
    let start = Instant::now();
    for result in [
        locks.run(counter.lock().no_wait(), nothing).await,
        LockPool::new(locks.pool().clone())
            .run(counter.lock().no_wait(), nothing)
            .await,
        locks.transaction(counter.lock().no_wait(), nothing).await,
        unit(locks.try_run(counter.lock(), nothing).await),
        unit(
            LockPool::new(locks.pool().clone())
                .try_run(counter.lock(), nothing)
                .await,
        ),
        unit(locks.try_transaction(counter.lock(), nothing).await),
        locks.acquire(job.lock().no_wait()).await.map(drop),
        locks.try_acquire(job.lock()).await.map(drop),
        locks
            .run(lock_all((&mut *counter, &job)).no_wait(), async |_, _| {
                Ok(())
            })
            .await,
        unit(
            locks
                .try_run(lock_all((&mut *counter, &job)), async |_, _| Ok(()))
                .await,
        ),
        unit(
            LockPool::new(locks.pool().clone())
                .try_run(lock_all((&mut *counter, &job)), async |_, _| Ok(()))
                .await,
        ),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, LockError::Pool { .. }), "{error:?}");
    }
    assert!(start.elapsed() < MOMENT, "{:?}", start.elapsed());
    let _ = in_use;
}

#[server_test]
async fn request_without_a_wait_lets_the_pool_open_a_connection(db: &Db) {
    db.counter(1).await;
    let empty = || LockPool::new(pool::empty(&db.url()));
    let counter = &mut Counter { id: 1, value: 0 };
    let request = counter.lock().no_wait();
    empty().run(request, nothing).await.unwrap();
    let tried = LockPool::new(empty().pool().clone())
        .try_run(counter.lock(), nothing)
        .await;
    assert_eq!(tried.unwrap(), Some(()));
    let set = lock_all((counter, LockName::named("job")));
    assert_eq!(
        empty()
            .try_run(set, async |_, _| Ok::<_, LockError>(()))
            .await
            .unwrap(),
        Some(())
    );
}
