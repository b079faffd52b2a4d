//! Many tasks and one lock.

use diesel::QueryResult;
use diesel_advisory_lock_async::prelude::*;
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
fn no_increment_under_a_lock_is_lost(db: &Db) {
    db.run(async {
        let value = increments(db, async |mut conn| {
            for _ in 0..CALLS {
                Counter::stale(1)
                    .with_lock(&mut conn, Counter::add_one)
                    .await?;
            }
            Ok(())
        });
        assert_eq!(value.await, TASKS * CALLS);
    });
}

#[server_test]
fn no_increment_in_a_transaction_is_lost(db: &Db) {
    db.run(async {
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
    });
}

/// The control: without a lock, increments are lost.
#[server_test]
fn increments_without_a_lock_are_lost(db: &Db) {
    use diesel::QueryDsl;
    use diesel_async::RunQueryDsl;

    use super::support::counters;

    db.run(async {
        let value = increments(db, async |mut conn| {
            for _ in 0..CALLS {
                let counter = counters::table.find(1).first::<(i64, i64)>(&mut conn);
                let (id, value) = counter.await?;
                Counter { id, value }.add_one(&mut conn).await?;
            }
            Ok(())
        });
        assert!(value.await < TASKS * CALLS);
    });
}
