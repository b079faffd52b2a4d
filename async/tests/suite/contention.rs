//! Many tasks and one lock. The control is in `transactions`.

use diesel::QueryResult;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Counter, Db};
use crate::server::Conn;

const TASKS: i64 = 8;
const CALLS: i64 = 100;

/// Increments counter 1 by `call` in several tasks, and returns its value.
async fn increments<F>(db: &Db, call: impl Fn(Conn) -> F) -> i64
where
    F: Future<Output = QueryResult<()>> + Send + 'static,
{
    db.counter(1).await;
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        tasks.push(tokio::spawn(call(db.conn().await)));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    db.value(1).await
}

#[server_test]
async fn no_increment_under_a_lock_is_lost(db: &Db) {
    let value = increments(db, async |mut conn| {
        for _ in 0..CALLS {
            Counter::stale(1)
                .with_lock(&mut conn, Counter::add_one)
                .await?;
        }
        Ok(())
    });
    assert_eq!(value.await, TASKS * CALLS);
}

#[server_test]
async fn no_increment_in_a_transaction_is_lost(db: &Db) {
    let value = increments(db, async |mut conn| {
        for _ in 0..CALLS {
            let mut counter = Counter::stale(1);
            counter
                .lock()
                .transaction(&mut conn, Counter::add_one)
                .await?;
        }
        Ok(())
    });
    assert_eq!(value.await, TASKS * CALLS);
}
