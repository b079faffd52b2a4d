//! What only PostgreSQL has: locks until COMMIT, and shared locks.

use diesel_advisory_lock::prelude::*;
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use server_test::server_test;

use crate::server::Conn;
use crate::suite::support::Db;

#[server_test]
async fn lock_until_commit_ends_with_the_transaction(db: &Db) {
    let (mut conn, mut other) = (db.conn().await, db.conn().await);
    let mut counter = db.counter(1).await;
    let name = counter.lock_name();
    conn.transaction(async |conn| {
        counter.lock().until_commit(conn).await?;
        counter.value += 1;
        counter.save(conn).await?;
        let taken = name
            .lock()
            .try_run(&mut other, async |_, _| Ok::<_, LockError>(()));
        assert!(taken.await?.is_none());
        diesel::QueryResult::Ok(())
    })
    .await
    .unwrap();
    db.assert_free(&name).await;
    assert_eq!(db.value(1).await, 1);
}

#[server_test]
async fn lock_until_commit_without_a_transaction_is_refused(db: &Db) {
    let mut conn = db.conn().await;
    let name = LockName::named("job");
    let error = name.lock().until_commit(&mut conn).await.unwrap_err();
    assert!(
        matches!(error, LockError::NoTransaction { .. }),
        "{error:?}"
    );
    db.assert_free(&name).await;
    // Nor is an open one mistaken, which diesel-async does not know of.
    conn.batch_execute("BEGIN").await.unwrap();
    name.lock().until_commit(&mut conn).await.unwrap();
    assert!(db.holder(&name).await.is_some());
    conn.batch_execute("COMMIT").await.unwrap();
    db.assert_free(&name).await;
}

#[server_test]
async fn readers_share_a_lock_and_exclude_a_writer(db: &Db) {
    let (mut one, mut two, mut three) = (db.conn().await, db.conn().await, db.conn().await);
    let name = LockName::named("report");
    let run = name.lock().shared().run(&mut one, async |_, _: &mut Conn| {
        let shared = name.lock().shared().try_acquire(&mut two).await?;
        let exclusive = name.lock().try_acquire(&mut three).await?;
        assert!(shared.is_some() && exclusive.is_none());
        shared.unwrap().release().await
    });
    run.await.unwrap();
    db.assert_free(&name).await;
}
