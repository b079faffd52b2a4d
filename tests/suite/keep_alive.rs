//! `keep_alive`, for locks held longer than the server keeps an idle session; and `verify`.

use std::time::Duration;

use diesel_advisory_lock::{LockPolicy, prelude::*};
use server_test::{both, server_test};

use super::support::{Db, Locks, wait_until_queued};
use crate::api::{DROP_ENDS_SESSION, pool, thread};
use crate::server::{self, Conn, session_id};

const SECOND: Duration = Duration::from_secs(1);

/// A connection whose idle timeout is `seconds`.
#[both]
pub(crate) async fn limited(db: &Db, seconds: u64) -> Conn {
    let mut conn = db.conn().await;
    server::set_idle_timeout(&mut conn, Duration::from_secs(seconds)).await;
    conn
}

#[both]
pub(crate) async fn idle_seconds(conn: &mut Conn) -> u64 {
    server::idle_timeout(conn).await.as_secs()
}

#[both]
async fn seconds_under_lock<T>(_: T, conn: &mut Conn) -> Result<u64, LockError> {
    Ok(idle_seconds(conn).await)
}

#[server_test]
async fn idle_hold_past_the_timeout_loses_the_lock(db: &Db) {
    let conn = &mut limited(db, 1).await;
    let held = LockName::named("job").lock().acquire(conn).await.unwrap();
    thread::sleep(3 * SECOND).await;
    let error = held.release().await.unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
}

#[server_test]
async fn idle_hold_with_keep_alive_keeps_the_lock(db: &Db) {
    let conn = &mut limited(db, 1).await;
    let mut counter = db.counter(1).await;
    let request = counter.lock().keep_alive(10 * SECOND);
    request
        .run(conn, async |_, _| {
            thread::sleep(3 * SECOND).await;
            Ok::<_, LockError>(())
        })
        .await
        .unwrap();
    assert_eq!(idle_seconds(conn).await, 1);
}

#[server_test]
async fn idle_timeout_is_raised_and_restored(db: &Db) {
    let conn = &mut limited(db, 100).await;
    let name = LockName::named("job");
    let for_seconds = |seconds| name.lock().keep_alive(Duration::from_secs(seconds));
    let seen = for_seconds(600).run(conn, seconds_under_lock).await;
    assert_eq!(seen.unwrap(), 600);
    assert_eq!(idle_seconds(conn).await, 100);
    // A timeout that is long enough is not changed.
    let seen = for_seconds(60).run(conn, seconds_under_lock).await;
    assert_eq!(seen.unwrap(), 100);
    assert_eq!(idle_seconds(conn).await, 100);
    // It is also restored if the guard is dropped, or if the closure fails.
    let held = name.lock().keep_alive(600 * SECOND).acquire(conn).await;
    if DROP_ENDS_SESSION {
        held.unwrap().release().await.unwrap();
    } else {
        drop(held.unwrap());
    }
    assert_eq!(idle_seconds(conn).await, 100);
    let failed = name
        .lock()
        .keep_alive(600 * SECOND)
        .run(conn, async |_, _| {
            Err::<(), LockError>(LockName::exact("").unwrap_err())
        })
        .await;
    assert!(matches!(failed, Err(LockError::InvalidName { .. })));
    assert_eq!(idle_seconds(conn).await, 100);
    // A policy sets it. An option of the request takes precedence.
    let policy = LockPolicy::new().keep_alive(600 * SECOND);
    let by_policy = name.lock().policy(policy);
    let seen = by_policy.run(conn, seconds_under_lock).await;
    assert_eq!(seen.unwrap(), 600);
    let own = name.lock().keep_alive(700 * SECOND).policy(policy);
    assert_eq!(own.run(conn, seconds_under_lock).await.unwrap(), 700);
    assert_eq!(idle_seconds(conn).await, 100);
}

#[server_test]
async fn nested_keep_alive_restores_the_outer_one(db: &Db) {
    let conn = &mut limited(db, 100).await;
    let name = LockName::named("job");
    let mut outer = name
        .lock()
        .keep_alive(200 * SECOND)
        .acquire(conn)
        .await
        .unwrap();
    let mut inner = name
        .lock()
        .keep_alive(300 * SECOND)
        .acquire(&mut outer)
        .await
        .unwrap();
    assert_eq!(idle_seconds(&mut inner).await, 300);
    inner.release().await.unwrap();
    assert_eq!(idle_seconds(&mut outer).await, 200);
    outer.release().await.unwrap();
    assert_eq!(idle_seconds(conn).await, 100);
}

#[server_test]
async fn keep_alive_of_a_set_raises_the_idle_timeout_once(db: &Db) {
    let conn = &mut limited(db, 1).await;
    let names = ["a", "b", "c"].map(LockName::named);
    let all = lock_all(names.to_vec()).keep_alive(600 * SECOND);
    let seen = all
        .run(conn, async |_, conn| {
            Ok::<_, LockError>(idle_seconds(conn).await)
        })
        .await;
    assert_eq!(seen.unwrap(), 600);
    assert_eq!(idle_seconds(conn).await, 1);
}

#[server_test]
async fn keep_alive_is_not_handed_off_with_the_lock(db: &Db) {
    let locks = &db.locks(1).await;
    let mut conn = pool::checked_out(locks.pool()).await;
    server::set_idle_timeout(&mut conn, 100 * SECOND).await;
    drop(conn);
    let name = &LockName::named("job");
    let seen = async |locks: &Locks, keep_alive: Option<u64>| {
        let mut request = name.lock();
        if let Some(seconds) = keep_alive {
            request = request.keep_alive(Duration::from_secs(seconds));
        }
        locks
            .run(request, async |_, conn| {
                Ok::<_, LockError>(idle_seconds(conn).await)
            })
            .await
            .unwrap()
    };
    let first = name.lock().keep_alive(1_000 * SECOND);
    let mut first = locks.acquire(first).await.unwrap();
    thread::scope(async |scope| {
        // Requests that are queued when the server grants the lock are handed it in turn.
        let others = [Some(2_000), None, Some(3_000), None];
        let mut queued = Vec::new();
        for (nth, seconds) in (1..).zip(others) {
            queued.push(scope.spawn(async move || seen(locks, seconds).await));
            wait_until_queued(locks, nth).await;
        }
        assert_eq!(idle_seconds(&mut first).await, 1_000);
        first.release().await.unwrap();
        let mut seen = Vec::new();
        for request in queued {
            seen.push(request.join().await.unwrap());
        }
        assert_eq!(seen, [2_000, 100, 3_000, 100]);
    })
    .await;
    let mut conn = pool::checked_out(locks.pool()).await;
    assert_eq!(idle_seconds(&mut conn).await, 100);
    drop(conn);
    db.assert_idle(locks).await;
}

#[server_test]
async fn verify_of_a_held_lock_succeeds(db: &Db) {
    let conn = &mut db.conn().await;
    let mut held = LockName::named("job").lock().acquire(conn).await.unwrap();
    held.verify().await.unwrap();
    held.verify().await.unwrap();
    held.release().await.unwrap();
}

#[server_test]
async fn verify_of_a_lost_lock_returns_lost(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn().await;
    let mut held = name.lock().acquire(conn).await.unwrap();
    server::release_all(&mut held).await.unwrap();
    let other = &mut db.conn().await;
    let others = name.lock().acquire(other).await.unwrap();
    let error = held.verify().await.unwrap_err();
    assert!(
        matches!(error, LockError::Lost { source: None, .. }),
        "{error:?}"
    );
    drop(held);
    others.release().await.unwrap();

    let conn = &mut db.conn().await;
    let id = session_id(conn).await;
    let mut held = name.lock().acquire(conn).await.unwrap();
    db.kill_session(id).await;
    let error = held.verify().await.unwrap_err();
    let LockError::Lost { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(source.is_some());
}

#[server_test]
async fn verify_of_a_lost_pooled_lock_returns_lost(db: &Db) {
    let (pool, events) = db.pool(1).await;
    let name = LockName::named("job");
    let locks = LockPool::new(pool);
    let mut held = locks.acquire(name.lock()).await.unwrap();
    held.verify().await.unwrap();
    server::release_all(&mut held).await.unwrap();
    let error = held.verify().await.unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
    drop(held);
    assert_eq!(events.discarded(), 1);
}
