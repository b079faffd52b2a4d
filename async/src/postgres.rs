//! PostgreSQL by `AsyncPgConnection`.

use std::future::Future;

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
use futures_util::future::join;

use crate::connection::{LockConnection, lock_source};
use crate::driver;

/// A query that marks its transaction. The mark is a setting, which lasts until the end of the
/// transaction, and without an open one until the end of the statement.
struct Marking<Q>(Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Marking<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql("), pg_catalog.set_config('diesel_advisory_lock.open', '1', true)");
        Ok(())
    }
}

impl<Q: QueryId<QueryId: 'static>> QueryId for Marking<Q> {
    type QueryId = Marking<Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: Query> Query for Marking<Q> {
    type SqlType = Q::SqlType;
}

/// Whether the mark still lasts. As a type of its own it is prepared once, which SQL text is not.
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
    /// PostgreSQL reports with each answer. So two statements are sent in one round trip: the query,
    /// which marks the transaction, and one that looks for the mark. Without an open transaction,
    /// each runs in its own.
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
        let mut loading = conn;
        // The query is polled first, and so it is sent first. While diesel-async prepares it, the
        // other statement waits.
        let load = driver::load_one(&mut loading, Marking(query));
        match join(load, is_marked(conn)).await {
            (Ok(loaded), Ok(is_open)) => (Ok(loaded), Some(is_open)),
            // It is unknown, so the caller must not rely on what was loaded.
            (Ok(_), Err(error)) => (Err(error), None),
            // The server has refused the query, which would have aborted an open transaction.
            (Err(error @ DieselError::DatabaseError(..)), Ok(is_open)) => {
                (Err(error), Some(is_open))
            }
            (Err(error), Ok(is_open)) => (Err(error), is_open.then_some(true)),
            // An aborted transaction refuses both. Or both were canceled, or the connection is lost.
            (Err(error), Err(_)) => match is_marked(conn).await {
                Ok(is_open) => (Err(error), Some(is_open)),
                Err(_) => (Err(error), is_alive(conn).await.then_some(true)),
            },
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
