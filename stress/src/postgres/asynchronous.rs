//! PostgreSQL by diesel-async, and the operations that only it has.

use std::slice;

use diesel::QueryResult;
use diesel_advisory_lock_async::{LockDsl, LockSource, Lockable};
use diesel_async::{AnsiTransactionManager, RunQueryDsl, TransactionManager};

use crate::async_worker::Operation;
use futures_util::FutureExt;

use crate::async_worker::op::{Op, body};
use crate::model::{Counter, Target};
use crate::work::{Locks, WaitFor};
use crate::worker::{Done, Reached, WorkError};

pub(crate) type Conn = diesel_async::AsyncPgConnection;

pub(crate) static OPERATIONS: &[Operation] = &[
    Operation::new("until_commit", Locks::Row, WaitFor::Chosen, 8),
    Operation::new("try_until_commit", Locks::Row, WaitFor::Nothing, 4),
    Operation::new("shared.run", Locks::Row, WaitFor::Chosen, 6).may_lose_lock(),
    Operation::new("shared.transaction", Locks::Row, WaitFor::Chosen, 6).may_lose_lock(),
    Operation::new("shared.acquire", Locks::Job, WaitFor::Chosen, 4).may_lose_lock(),
];

pub(crate) fn url(url: &str) -> String {
    url.to_owned()
}

/// Whether the session still holds the lock after [`unlock_sql`](super::unlock_sql).
pub(crate) async fn still_holds(conn: &mut Conn, target: Target) -> QueryResult<bool> {
    let answer = diesel::sql_query(super::holds_sql(target)).get_result(conn);
    let answer: super::Answer = answer.await?;
    Ok(answer.answer)
}

pub(crate) async fn run<S: LockSource<Connection = Conn>>(op: &Op, conn: &mut S) -> Done {
    let mut counter = op.counter();
    match op.operation {
        "until_commit" | "try_until_commit" => {
            let conn = conn.connection();
            AnsiTransactionManager::begin_transaction(conn).await?;
            match until_commit(op, &mut counter, conn).await {
                Ok(Reached::End) => AnsiTransactionManager::commit_transaction(conn)
                    .await
                    .map(|()| Reached::End)
                    .map_err(WorkError::Commit),
                done => {
                    roll_back(conn).await;
                    done
                }
            }
        }
        "shared.run" => {
            let lock = counter.lock().timeout(op.wait).shared();
            let ran = lock.run(conn, async |_, conn| body(op, conn, &mut []).await);
            ran.boxed().await?;
            Ok(Reached::End)
        }
        "shared.transaction" => {
            let lock = counter.lock().timeout(op.wait).shared();
            let ran = lock.transaction(conn, async |_, conn| body(op, conn, &mut []).await);
            ran.boxed().await?;
            Ok(Reached::End)
        }
        "shared.acquire" => {
            let name = op.target.name();
            let mut held = name
                .lock()
                .timeout(op.wait)
                .shared()
                .acquire(conn)
                .boxed()
                .await?;
            body(op, held.connection(), &mut []).await?;
            held.release().await?;
            Ok(Reached::End)
        }
        other => unreachable!("no operation is called {other}"),
    }
}

async fn until_commit(op: &Op, counter: &mut Counter, conn: &mut Conn) -> Done {
    match op.operation {
        "until_commit" => counter.lock().timeout(op.wait).until_commit(conn).await?,
        _ if counter.lock().try_until_commit(conn).await?.is_none() => {
            return Ok(Reached::Contended);
        }
        _ => {}
    }
    body(op, conn, slice::from_mut(counter)).await?;
    Ok(Reached::End)
}

/// Rolls back, or marks the connection as broken.
async fn roll_back(conn: &mut Conn) {
    // Faults may interrupt more than one statement.
    for _ in 0..10 {
        if AnsiTransactionManager::rollback_transaction(conn)
            .await
            .is_ok()
        {
            return;
        }
    }
    AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
}
