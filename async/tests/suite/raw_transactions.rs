//! Transactions that diesel-async does not know of.

use diesel_advisory_lock::prelude::*;
use diesel_async::SimpleAsyncConnection;
use server_test::server_test;

use super::support::Db;
use crate::server::{self, ServerKind};

#[server_test]
async fn raw_begin_is_refused(db: &Db) {
    if db.kind() == ServerKind::Mysql {
        // It does not tell of a raw BEGIN.
        return;
    }
    let mut conn = db.conn().await;
    let name = LockName::named("job");
    conn.batch_execute("BEGIN").await.unwrap();
    for _ in 0..2 {
        let error = name.lock().acquire(&mut conn).await.unwrap_err();
        assert!(
            matches!(error, LockError::OpenTransaction { .. }),
            "{error:?}"
        );
    }
    let ran = name.lock().transaction(&mut conn, async |_, _| Ok(()));
    let error: LockError = ran.await.unwrap_err();
    assert!(
        matches!(error, LockError::OpenTransaction { .. }),
        "{error:?}"
    );
    // The transaction is usable.
    server::session_id(&mut conn).await;
    conn.batch_execute("COMMIT").await.unwrap();
    let held = name.lock().acquire(&mut conn).await.unwrap();
    held.release().await.unwrap();
    db.assert_free(&name).await;
}
