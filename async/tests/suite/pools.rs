//! Connections from pools of deadpool and bb8.

use std::time::Duration;

use diesel_advisory_lock_async::prelude::*;
use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool};
use server_test::server_test;

use super::support::{Counter, Db};
use crate::server::{self, Conn};

/// Uses a connection of a pool of one, cuts a call on it, and uses the pool again.
macro_rules! cut_on_a_connection_of {
    ($db:expr, $pool:expr) => {
        $db.run(async {
            let db = $db;
            let pool = $pool.await;
            let mut counter = db.counter(1).await;
            let name = counter.lock_name();
            let mut conn = pool.get().await.unwrap();
            let session = server::session_id(&mut conn).await;
            counter
                .with_lock(&mut conn, Counter::add_one)
                .await
                .unwrap();
            drop(conn);
            let mut conn = pool.get().await.unwrap();
            assert_eq!(
                server::session_id(&mut conn).await,
                session,
                "it was returned"
            );
            let ran = counter
                .lock()
                .transaction(&mut conn, async |counter, conn| {
                    counter.add_one(conn).await?;
                    conn.batch_execute(server::SLEEP).await
                });
            let cut = tokio::time::timeout(Duration::from_millis(200), ran).await;
            cut.unwrap_err();
            drop(conn);
            db.wait_until_free(&name).await;
            let mut conn = pool.get().await.unwrap();
            assert_ne!(
                server::session_id(&mut conn).await,
                session,
                "it was discarded"
            );
            let value = counter.with_lock(&mut conn, Counter::add_one).await;
            assert_eq!(value, Ok(2), "the transaction that was cut is rolled back");
        })
    };
}

#[server_test]
fn connection_of_deadpool_is_discarded_after_a_cut(db: &Db) {
    cut_on_a_connection_of!(db, async {
        let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
        deadpool::Pool::builder(manager)
            .max_size(1)
            .build()
            .unwrap()
    });
}

#[server_test]
fn connection_of_bb8_is_discarded_after_a_cut(db: &Db) {
    cut_on_a_connection_of!(db, async {
        let manager = AsyncDieselConnectionManager::<Conn>::new(db.url());
        bb8::Pool::builder()
            .max_size(1)
            .build(manager)
            .await
            .unwrap()
    });
}
