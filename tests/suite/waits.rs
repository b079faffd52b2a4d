//! A wait ends at its timeout, and no setting of the session cuts it short.

use std::time::{Duration, Instant};

use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::support::{Counter, Db, Locks, assert_times_out};
use crate::api::{SimpleConnection, pool, thread};
use crate::server::{self, Conn, session_id};

const TOLERANCE: Duration = Duration::from_millis(100);

fn assert_about(waited: Duration, asked: Duration, what: &str) {
    assert!(
        waited >= asked && waited < asked + TOLERANCE,
        "{what}: asked for {asked:?}, waited {waited:?}"
    );
}

#[server_test(serial)]
async fn timeout_of_a_name_returns_on_time(db: &Db) {
    let name = LockName::named("job");
    let (holder, waiter) = (&mut db.conn().await, &mut db.conn().await);
    let _held = name.lock().acquire(holder).await.unwrap();
    for asked in [0, 50, 300, 1_000, 1_500].map(Duration::from_millis) {
        let start = Instant::now();
        let result = name.lock().timeout(asked).acquire(waiter).await;
        let elapsed = start.elapsed();
        let Err(LockError::Timeout { waited, .. }) = result else {
            panic!("{result:?}");
        };
        assert_about(elapsed, asked, "clock");
        assert_about(waited, asked, "error");
    }
    let start = Instant::now();
    let result = name.lock().no_wait().acquire(waiter).await;
    assert!(
        matches!(result, Err(LockError::Timeout { .. })),
        "{result:?}"
    );
    assert_about(start.elapsed(), Duration::ZERO, "no_wait");
}

#[server_test(serial)]
async fn timeout_of_a_model_returns_on_time(db: &Db) {
    let mut counter = db.counter(1).await;
    let (holder, waiter) = (&mut db.conn().await, &mut db.conn().await);
    let _held = counter.lock_name().lock().acquire(holder).await.unwrap();
    let asked = Duration::from_millis(250);
    let result = counter
        .lock()
        .timeout(asked)
        .run(waiter, async |_, _| Ok::<_, LockError>(()))
        .await;
    let Err(error @ LockError::Timeout { waited, .. }) = &result else {
        panic!("{result:?}");
    };
    assert_about(*waited, asked, "error");
    assert!(error.to_string().contains("counters:1"), "{error}");
}

#[server_test(serial)]
async fn try_form_waits_only_for_its_timeout(db: &Db) {
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    let (holder, conn) = (&mut db.conn().await, &mut db.conn().await);
    let held = name.lock().acquire(holder).await.unwrap();

    let start = Instant::now();
    assert_eq!(
        counter
            .try_with_lock(conn, async |_, _| Ok::<_, LockError>(()))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        counter
            .lock()
            .try_run(conn, async |_, _| Ok::<_, LockError>(()))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        counter
            .lock()
            .try_transaction(conn, async |_, _| Ok::<_, LockError>(()))
            .await
            .unwrap(),
        None
    );
    assert!(counter.lock().try_acquire(conn).await.unwrap().is_none());
    assert!(name.lock().try_acquire(conn).await.unwrap().is_none());
    assert_eq!(
        name.lock()
            .try_run(conn, async |_, _| Ok::<_, LockError>(()))
            .await
            .unwrap(),
        None
    );
    assert_about(start.elapsed(), Duration::ZERO, "try_");

    let start = Instant::now();
    let asked = Duration::from_millis(300);
    assert!(
        name.lock()
            .timeout(asked)
            .try_acquire(conn)
            .await
            .unwrap()
            .is_none()
    );
    assert_about(start.elapsed(), asked, "try_ with a timeout");

    held.release().await.unwrap();
    assert_eq!(
        counter
            .try_with_lock(conn, async |_, _| Ok::<_, LockError>(7))
            .await
            .unwrap(),
        Some(7)
    );
    assert_eq!(
        name.lock()
            .try_run(conn, async |_, _| Ok::<_, LockError>(7))
            .await
            .unwrap(),
        Some(7)
    );
}

#[server_test(serial)]
async fn free_lock_is_acquired_at_once(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn().await;
    for request in [
        name.lock(),
        name.lock().wait_forever(),
        name.lock().no_wait(),
        name.lock().timeout(Duration::from_millis(1_500)),
        name.lock().timeout(Duration::MAX),
        name.lock().timeout(Duration::from_nanos(1)),
    ] {
        let start = Instant::now();
        request
            .acquire(conn)
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        assert_about(start.elapsed(), Duration::ZERO, "free");
    }
}

#[server_test(serial)]
async fn waiter_acquires_the_lock_when_it_is_released(db: &Db) {
    let name = LockName::named("job");
    for request in [
        name.lock(),
        name.lock().wait_forever(),
        name.lock().timeout(Duration::MAX),
        name.lock().timeout(Duration::from_millis(20_500)),
    ] {
        let mut waiter = db.conn().await;
        let waiter_id = session_id(&mut waiter).await;
        thread::scope(async |scope| {
            let holder = &mut db.conn().await;
            let held = name.lock().acquire(holder).await.unwrap();
            let waiting = scope.spawn(async || {
                let held = request.acquire(&mut waiter).await?;
                let since = Instant::now();
                held.release().await.map(|()| since)
            });
            db.wait_until_blocked(waiter_id).await;
            let released = Instant::now();
            held.release().await.unwrap();
            let granted = waiting.join().await.unwrap().unwrap();
            assert_about(granted - released, Duration::ZERO, "the next holder");
        })
        .await;
    }
}

/// A finite wait and one without a timeout.
#[server_test(serial)]
async fn statement_limit_of_the_session_does_not_cut_a_wait(db: &Db) {
    let name = LockName::named("job");
    let (holder, waiter) = (&mut db.conn().await, &mut db.conn().await);
    waiter
        .batch_execute(server::statement_limit(db.kind()))
        .await
        .unwrap();
    let timeout = Duration::from_millis(600);
    assert_times_out(db, &name, timeout, async || {
        name.lock().timeout(timeout).acquire(waiter).await.map(drop)
    })
    .await;
    let held = name.lock().acquire(holder).await.unwrap();
    thread::scope(async |scope| {
        let waiting =
            scope.spawn(async || name.lock().wait_forever().acquire(waiter).await.map(drop));
        thread::sleep(Duration::from_millis(500)).await;
        assert!(!waiting.is_finished());
        held.release().await.unwrap();
        waiting.join().await.unwrap().unwrap();
    })
    .await;
}

/// Calls `wait`, on a connection or through a lock pool, under each setting that could cut the wait
/// short.
#[both]
async fn under_each_limit(
    db: &Db,
    wait: impl AsyncFn(&mut Conn, &Locks, Duration) -> Result<(), LockError>,
) {
    let name = Counter { id: 1, value: 0 }.lock_name();
    db.counter(1).await;
    let holder = &mut db.conn().await;
    let timeout = Duration::from_millis(500);
    for limit in server::limits(db.kind()) {
        let conn = &mut db.conn().await;
        conn.batch_execute(limit).await.unwrap();
        let locks = &db.locks(1).await;
        let mut pooled = pool::checked_out(locks.pool()).await;
        pooled.batch_execute(limit).await.unwrap();
        drop(pooled);
        let held = name.lock().acquire(holder).await.unwrap();
        let start = Instant::now();
        let error = wait(conn, locks, timeout).await.unwrap_err();
        assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
        assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());
        held.release().await.unwrap();
        wait(conn, locks, timeout).await.unwrap();
        db.assert_idle(locks).await;
    }
}

#[server_test(serial)]
async fn limits_of_the_session_do_not_cut_a_wait_through_a_lock_pool(db: &Db) {
    under_each_limit(db, async |_, locks, timeout| {
        let mut counter = Counter { id: 1, value: 0 };
        let request = counter.lock().timeout(timeout);
        locks.run(request, async |_, _| Ok(())).await
    })
    .await;
}

#[server_test(serial)]
async fn limits_of_the_session_do_not_cut_a_wait_of_a_set(db: &Db) {
    let set = |timeout| {
        let names = [
            Counter { id: 1, value: 0 }.lock_name(),
            LockName::named("a"),
        ];
        lock_all(names).timeout(timeout)
    };
    under_each_limit(db, async |conn, _, timeout| {
        set(timeout).run(conn, async |_, _| Ok(())).await
    })
    .await;
    db.execute("DELETE FROM counters").await;
    under_each_limit(db, async |_, locks, timeout| {
        locks.run(set(timeout), async |_, _| Ok(())).await
    })
    .await;
}
