//! A statement of the program's own whose future was dropped: diesel-async then answers the next
//! statement with its result.

use diesel::IntoSql;
use diesel::sql_types::BigInt;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::RunQueryDsl;
use server_test::server_test;

use crate::server::{self, Conn};
use crate::suite::support::{Db, poll_times};

async fn select_one(conn: &mut Conn) -> diesel::QueryResult<i64> {
    diesel::select(1_i64.into_sql::<BigInt>())
        .get_result(conn)
        .await
}

/// The result is 1, as that of a lock that is granted.
#[server_test]
fn result_of_a_statement_that_was_cut_does_not_grant_a_lock(db: &Db) {
    db.run(async {
        let name = LockName::named("job");
        let mut conn = db.conn().await;
        // The statements are prepared.
        assert_eq!(select_one(&mut conn).await, Ok(1));
        let held = name.lock().acquire(&mut conn).await.unwrap();
        held.release().await.unwrap();
        let mut elsewhere = db.conn().await;
        let holder = server::session_id(&mut elsewhere).await;
        let held = name.lock().acquire(&mut elsewhere).await.unwrap();
        assert!(poll_times(select_one(&mut conn), 1).await.is_none());
        let error = name
            .lock()
            .try_run(&mut conn, async |_, _| -> diesel::QueryResult<()> {
                panic!("the lock is held elsewhere")
            });
        let error = LockError::try_from(error.await.unwrap_err()).unwrap();
        assert!(matches!(error, LockError::Database { .. }), "{error:?}");
        assert_eq!(db.holder(&name).await, Some(holder));
        held.release().await.unwrap();
        db.wait_until_free(&name).await;
    });
}
