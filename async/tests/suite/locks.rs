//! The calls, without faults.

use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel_advisory_lock_async::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db};
use crate::server::{self, Conn};

#[server_test]
fn with_lock_reloads_the_row_and_returns_the_value(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        db.counter(1).await;
        let mut counter = Counter::stale(1);
        assert_eq!(counter.with_lock(&mut conn, Counter::add_one).await, Ok(1));
        let mut stale = Counter::stale(1);
        let value = stale.with_lock(&mut conn, async |counter, conn| {
            let session = server::session_id(conn).await;
            assert_eq!(db.holder(&counter.lock_name()).await, Some(session));
            counter.add_one(conn).await
        });
        assert_eq!(value.await, Ok(2));
        assert_eq!(stale.value, 2);
        db.assert_free(&stale.lock_name()).await;
    });
}

/// A generic function, as in a library.
async fn locked_value<T>(model: &mut T, conn: &mut Conn) -> QueryResult<()>
where
    T: Lockable + diesel_advisory_lock_async::Reload<Conn>,
{
    model.with_lock(conn, async |_, _| Ok(())).await
}

#[server_test]
fn calls_are_send_and_generic(db: &Db) {
    db.run(async {
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
    });
}

#[server_test]
fn taken_lock_returns_none_or_a_timeout_with_its_holder(db: &Db) {
    db.run(async {
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
    });
}

#[server_test]
fn sets_lock_and_reload_all_of_their_rows(db: &Db) {
    db.run(async {
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
    });
}

#[server_test]
fn nested_call_keeps_the_changes_of_its_own_model_alone(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let mut counter = db.counter(1).await;
        let ran = counter.with_lock(&mut conn, async |counter, conn| {
            counter.value = 7;
            counter
                .with_lock(conn, async |counter, _| {
                    assert_eq!(counter.value, 7);
                    QueryResult::Ok(())
                })
                .await?;
            let mut copy = counter.clone();
            copy.with_lock(conn, async |copy, _| {
                assert_eq!(copy.value, 0);
                QueryResult::Ok(())
            })
            .await?;
            assert!(db.holder(&counter.lock_name()).await.is_some());
            QueryResult::Ok(())
        });
        ran.await.unwrap();
        db.assert_free(&counter.lock_name()).await;
    });
}

#[server_test]
fn error_before_the_body_leaves_nothing_locked(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let mut missing = Counter::stale(9);
        let error = missing.lock().acquire(&mut conn).await.unwrap_err();
        assert!(matches!(error, LockError::RowNotFound { .. }), "{error:?}");
        let ran = missing
            .lock()
            .transaction(&mut conn, Counter::add_one)
            .await;
        let error = ran.unwrap_err();
        let error = LockError::in_diesel(&error);
        assert!(
            matches!(error, Some(LockError::RowNotFound { .. })),
            "{error:?}"
        );
        db.assert_free(&missing.lock_name()).await;
        // The session was not ended for it.
        let mut counter = db.counter(9).await;
        counter
            .with_lock(&mut conn, Counter::add_one)
            .await
            .unwrap();
    });
}

#[server_test]
fn lost_session_is_reported(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let name = LockName::named("job");
        let ran = name.lock().run(&mut conn, async |_, conn| {
            let session = server::session_id(conn).await;
            server::kill_session(&mut db.conn().await, session).await;
            Ok(())
        });
        let error = ran.await.unwrap_err();
        assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
    });
}

/// In particular, it is not taken for an open transaction.
#[server_test]
fn call_on_a_lost_connection_is_a_database_error(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        for id in 1..=2 {
            db.counter(id).await;
        }
        let session = server::session_id(&mut conn).await;
        let mut other = db.conn().await;
        server::kill_session(&mut other, session).await;
        while server::has_session(&mut other, session).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let error = LockName::named("job").lock().acquire(&mut conn).await;
        let error = error.unwrap_err();
        assert!(matches!(error, LockError::Database { .. }), "{error:?}");
        let (mut one, mut two) = (Counter::stale(1), Counter::stale(2));
        let error = lock_all((&mut one, &mut two)).acquire(&mut conn).await;
        let error = error.unwrap_err();
        assert!(matches!(error, LockError::Database { .. }), "{error:?}");
    });
}
