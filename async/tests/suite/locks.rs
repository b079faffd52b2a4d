//! Calls in tasks, and calls that fail before their body.

use std::time::Duration;

use diesel::QueryResult;
use diesel_advisory_lock_async::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db};
use crate::server::{self, Conn};

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
