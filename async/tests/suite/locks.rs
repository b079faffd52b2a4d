//! The calls, without faults.

use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db};
use crate::server::{self, Conn};

/// A generic function, as in a library.
async fn locked_value<T>(model: &mut T, conn: &mut Conn) -> QueryResult<()>
where
    T: Lockable + diesel_advisory_lock::Reload<Conn>,
{
    model.with_lock(conn, async |_, _| Ok(())).await
}

#[server_test]
async fn calls_are_send_and_generic(db: &Db) {
    let mut conn = db.conn().await;
    db.counter(1).await;
    let task = tokio::spawn(async move {
        let mut counter = Counter::stale(1);
        locked_value(&mut counter, &mut conn).await?;
        let ran = counter
            .lock()
            .transaction(&mut conn, Counter::add_one)
            .await;
        let mut held = LockName::named("job").lock().acquire(&mut conn).await?;
        held.verify().await?;
        held.release().await?;
        ran
    });
    assert_eq!(task.await.unwrap(), Ok(1));
}

#[server_test]
async fn taken_lock_returns_none_or_a_timeout_with_its_holder(db: &Db) {
    let (mut one, mut two) = (db.conn().await, db.conn().await);
    let name = LockName::named("job");
    let session = server::session_id(&mut one).await;
    let held = name.lock().acquire(&mut one).await.unwrap();
    let tried = name
        .lock()
        .try_run(&mut two, async |_, _| Ok::<_, LockError>(()));
    assert!(tried.await.unwrap().is_none());
    assert!(name.lock().try_acquire(&mut two).await.unwrap().is_none());
    let since = Instant::now();
    let wait = Duration::from_millis(300);
    let error = name
        .lock()
        .timeout(wait)
        .acquire(&mut two)
        .await
        .unwrap_err();
    assert!(since.elapsed() >= wait, "{:?}", since.elapsed());
    assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
    let holder = error.holder().unwrap().connection_id;
    assert_eq!(i64::try_from(holder), Ok(session));
    held.release().await.unwrap();
    // The connection lives on.
    name.lock()
        .acquire(&mut two)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    db.assert_free(&name).await;
}

#[server_test]
async fn sets_lock_and_reload_all_of_their_rows(db: &Db) {
    let mut conn = db.conn().await;
    for id in 1..=3 {
        db.counter(id).await;
    }
    let (mut one, mut two) = (Counter::stale(1), Counter::stale(2));
    let mut rest = [Counter::stale(3)];
    let audit = LockName::named("audit");
    let set = lock_all((&mut two, &mut one, &mut rest[..], &audit));
    let sum = set.transaction(&mut conn, async |(two, one, rest, _), conn| {
        assert_eq!((one.value, two.value, rest[0].value), (0, 0, 0));
        assert!(db.holder(&audit).await.is_some());
        one.add_one(conn).await?;
        rest[0].add_one(conn).await?;
        two.add_one(conn).await
    });
    assert_eq!(sum.await, Ok(1));
    for id in 1..=3 {
        assert_eq!(db.value(id).await, 1);
        db.assert_free(&Counter::stale(id).lock_name()).await;
    }
    db.assert_free(&audit).await;
}

#[server_test]
async fn lost_session_is_reported(db: &Db) {
    let mut conn = db.conn().await;
    let name = LockName::named("job");
    let ran = name.lock().run(&mut conn, async |_, conn| {
        let session = server::session_id(conn).await;
        db.kill_session(session).await;
        Ok(())
    });
    let error = ran.await.unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
}

/// In particular, it is not taken for an open transaction.
#[server_test]
async fn call_on_a_lost_connection_is_a_database_error(db: &Db) {
    let mut conn = db.conn().await;
    for id in 1..=2 {
        db.counter(id).await;
    }
    let session = server::session_id(&mut conn).await;
    db.kill_session(session).await;
    while db.has_session(session).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let error = LockName::named("job").lock().acquire(&mut conn).await;
    let error = error.unwrap_err();
    assert!(matches!(error, LockError::Database { .. }), "{error:?}");
    let (mut one, mut two) = (Counter::stale(1), Counter::stale(2));
    let error = lock_all((&mut one, &mut two)).acquire(&mut conn).await;
    let error = error.unwrap_err();
    assert!(matches!(error, LockError::Database { .. }), "{error:?}");
}
