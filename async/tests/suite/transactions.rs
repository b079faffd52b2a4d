//! Transactions under a lock, and locks inside of transactions.

use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use server_test::server_test;

use super::support::{Counter, Db};
use crate::server;

#[server_test]
fn error_of_the_body_rolls_back(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let mut counter = db.counter(1).await;
        let ran = counter
            .lock()
            .transaction(&mut conn, async |counter, conn| {
                counter.add_one(conn).await?;
                Err::<(), _>(DieselError::RollbackTransaction)
            });
        assert_eq!(ran.await, Err(DieselError::RollbackTransaction));
        assert_eq!(db.value(1).await, 0);
        db.assert_free(&counter.lock_name()).await;
        let ran = counter
            .lock()
            .transaction(&mut conn, Counter::add_one)
            .await;
        assert_eq!((ran, db.value(1).await), (Ok(1), 1));
    });
}

#[server_test]
fn transaction_left_open_is_rolled_back_and_reported(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let mut counter = db.counter(1).await;
        let mut held = counter.lock().acquire(&mut conn).await.unwrap();
        use diesel_async::{AnsiTransactionManager, TransactionManager};
        AnsiTransactionManager::begin_transaction(&mut *held)
            .await
            .unwrap();
        counter.add_one(&mut held).await.unwrap();
        let error = held.release().await.unwrap_err();
        assert!(
            matches!(error, LockError::TransactionLeftOpen { .. }),
            "{error:?}"
        );
        assert_eq!(db.value(1).await, 0);
        db.assert_free(&counter.lock_name()).await;
    });
}

#[server_test]
fn open_transaction_is_refused(db: &Db) {
    db.run(async {
        let mut conn = db.conn().await;
        let name = LockName::named("job");
        let refused = conn.transaction(async |conn| {
            let error = name.lock().acquire(conn).await.unwrap_err();
            assert!(
                matches!(error, LockError::OpenTransaction { .. }),
                "{error:?}"
            );
            // The transaction is usable.
            server::session_id(conn).await;
            QueryResult::Ok(())
        });
        refused.await.unwrap();
        db.assert_free(&name).await;
        if server::reports_raw_begin(db.kind) {
            conn.batch_execute("BEGIN").await.unwrap();
            for _ in 0..2 {
                let error = name.lock().acquire(&mut conn).await.unwrap_err();
                assert!(
                    matches!(error, LockError::OpenTransaction { .. }),
                    "{error:?}"
                );
            }
            let ran = name
                .lock()
                .transaction(&mut conn, async |_, _| Ok(()))
                .await;
            let error: LockError = ran.unwrap_err();
            assert!(
                matches!(error, LockError::OpenTransaction { .. }),
                "{error:?}"
            );
            conn.batch_execute("COMMIT").await.unwrap();
            name.lock()
                .acquire(&mut conn)
                .await
                .unwrap()
                .release()
                .await
                .unwrap();
        }
        db.assert_free(&name).await;
    });
}
