//! PostgreSQL by `AsyncPgConnection`.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use diesel::deserialize::FromSqlRow;
use diesel::expression::QueryMetadata;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError, QueryResult};
use diesel::sql_types::{Bool, SingleValue};
use diesel_advisory_lock::__core::Postgres;
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
};
use futures_util::future::join3;

use crate::connection::{LockConnection, lock_source};
use crate::driver;

/// A setting that lasts until the end of a transaction, and without one until the end of the
/// statement that sets it.
const MARK: &str = "SELECT pg_catalog.set_config('diesel_advisory_lock.open', '1', true)";

/// Whether [`MARK`] still lasts. As a type of its own it is prepared once, which SQL text is not.
#[derive(QueryId)]
struct IsMarked;

impl QueryFragment<Pg> for IsMarked {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT coalesce(pg_catalog.current_setting('diesel_advisory_lock.open', true), '') \
             = '1'",
        );
        Ok(())
    }
}

impl Query for IsMarked {
    type SqlType = Bool;
}

lock_source!(AsyncPgConnection);

impl LockConnection for AsyncPgConnection {
    type Server = Postgres;

    /// An aborted transaction runs nothing but ROLLBACK.
    const END_SESSION: &'static str =
        "ROLLBACK; SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())";

    /// Neither diesel-async nor its client passes on the state of the server's transaction, which
    /// PostgreSQL reports with each answer. So three statements are sent in one round trip: one
    /// that marks the transaction, the query, and one that looks for the mark. Without an open
    /// transaction, each runs in its own.
    async fn load_one_and_transaction<Q, R>(&mut self, query: Q) -> (QueryResult<R>, Option<bool>)
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Pg> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Pg> + Send + 'static,
        Pg: QueryMetadata<Q::SqlType>,
    {
        let status = AnsiTransactionManager::transaction_manager_status_mut(self);
        if !matches!(status.transaction_depth(), Ok(None)) {
            return (driver::load_one(self, query).await, Some(true));
        }
        let conn = &*self;
        let (mut marking, mut loading) = (conn, conn);
        let mut mark = pin!(marking.batch_execute(MARK));
        let mut marked = None;
        // The first poll sends the statement, which must be the first of the three.
        poll_fn(|context| {
            if let Poll::Ready(result) = mark.as_mut().poll(context) {
                marked = Some(result);
            }
            Poll::Ready(())
        })
        .await;
        let load = driver::load_one(&mut loading, query);
        let is_marked = is_marked(conn);
        let rest_of_mark = async {
            match marked {
                Some(marked) => marked,
                None => mark.await,
            }
        };
        let (marked, loaded, is_marked) = join3(rest_of_mark, load, is_marked).await;
        match (marked, is_marked, loaded) {
            (Ok(()), Ok(is_marked), loaded) => (loaded, Some(is_marked)),
            // An aborted transaction refuses all three. So does a connection that is lost.
            (Err(_), Err(_), Err(error)) => (Err(error), is_alive(conn).await.then_some(true)),
            // It is unknown, so the caller must not rely on what was loaded.
            (_, _, Err(error)) | (Err(error), _, Ok(_)) | (Ok(()), Err(error), Ok(_)) => {
                (Err(error), None)
            }
        }
    }

    /// The server's last message before it ends the session, such as "terminating connection due to
    /// administrator command", has the kind of any error.
    async fn with_kind(&mut self, error: DieselError) -> DieselError {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, information)
                if !is_alive(self).await =>
            {
                DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, information)
            }
            error => error,
        }
    }

    fn cancel_statement(&self) -> impl Future<Output = ()> + Send + 'static {
        let token = self.cancel_token();
        async move {
            let _ = token.cancel_query(tokio_postgres::NoTls).await;
        }
    }
}

async fn is_marked(mut conn: &AsyncPgConnection) -> QueryResult<bool> {
    driver::load_one(&mut conn, IsMarked).await
}

/// Whether the session still answers. An aborted transaction answers an empty statement, too. If
/// that statement is canceled, or answered by the end of the session, another one tells.
async fn is_alive(mut conn: &AsyncPgConnection) -> bool {
    for _ in 0..4 {
        match conn.batch_execute("").await {
            Err(DieselError::DatabaseError(DatabaseErrorKind::Unknown, _)) => {}
            answer => return answer.is_ok(),
        }
    }
    false
}
