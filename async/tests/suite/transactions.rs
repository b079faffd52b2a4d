//! Locks inside of transactions that diesel-async does not see.

use diesel::QueryResult;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::{AsyncConnection, SimpleAsyncConnection};
use server_test::server_test;

use super::support::Db;
use crate::server;

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
