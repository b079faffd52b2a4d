//! [`Driver`]: what the crate requires of a connection. All code above it is written once, as async
//! functions. A blocking connection returns futures that are ready at once, and [`ready`] polls
//! them.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use diesel::backend::Backend;
use diesel::connection::TransactionManagerStatus;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use diesel::connection::{
    AnsiTransactionManager, Connection, InstrumentationEvent, SimpleConnection, TransactionManager,
};
use diesel::deserialize::FromSqlRow;
use diesel::expression::QueryMetadata;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{SingleValue, Untyped};
use diesel::{QueryableByName, RunQueryDsl};

/// One connection to a server, and the session behind it.
pub trait Driver: Send {
    /// Diesel's backend.
    type Db: Backend + 'static;

    /// Whether [`batch`](Self::batch) takes one round trip, as a prepared statement does.
    const BATCH_IS_ONE_ROUND_TRIP: bool = true;

    /// Runs one statement that returns no rows.
    fn execute<Q>(&mut self, query: Q) -> impl Future<Output = QueryResult<usize>> + Send
    where
        Q: QueryFragment<Self::Db> + QueryId + Send;

    /// Runs one statement of one column, and returns its only row, or `NotFound`.
    fn load_one<Q, R>(&mut self, query: Q) -> impl Future<Output = QueryResult<R>> + Send
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Self::Db> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Self::Db> + Send + 'static,
        Self::Db: QueryMetadata<Q::SqlType>;

    /// Like [`load_one`](Self::load_one), for a query that may follow a statement of the caller's.
    /// Returns an error if the connection still had an answer to come, so that this would not be
    /// the query's. SQL for further columns can be appended to the query.
    fn load_one_in_turn<Q, R>(&mut self, query: Q) -> impl Future<Output = QueryResult<R>> + Send
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Self::Db> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Self::Db> + Send + 'static,
        Self::Db: QueryMetadata<Q::SqlType>,
    {
        self.load_one(query)
    }

    /// Returns whether the connection has no answer to come, after a statement that failed.
    fn answers_in_turn(&mut self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }

    /// Runs one statement, and returns all its rows, whose columns are known by their names.
    fn load_all<Q, R>(&mut self, query: Q) -> impl Future<Output = QueryResult<Vec<R>>> + Send
    where
        Q: Query<SqlType = Untyped> + QueryFragment<Self::Db> + QueryId + Send,
        R: QueryableByName<Self::Db> + Send + 'static;

    /// Like [`load_one`](Self::load_one). Also returns whether the server has a transaction open
    /// after the statement, if the client library knows.
    fn load_one_and_transaction<Q, R>(
        &mut self,
        query: Q,
    ) -> impl Future<Output = (QueryResult<R>, Option<bool>)> + Send
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Self::Db> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Self::Db> + Send + 'static,
        Self::Db: QueryMetadata<Q::SqlType>;

    /// Runs SQL text that is not prepared.
    fn batch(&mut self, sql: &str) -> impl Future<Output = QueryResult<()>> + Send;

    /// Begins a transaction, or a savepoint in an open one.
    fn begin(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Begins a transaction by SQL text, on a connection without one.
    fn begin_with(&mut self, sql: &str) -> impl Future<Output = QueryResult<()>> + Send;

    /// Commits the innermost transaction or savepoint. If that fails, a transaction is rolled back,
    /// and a savepoint may be. Returns `RollbackErrorOnCommit` if that fails, too.
    fn commit(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Commits by SQL text that ends with COMMIT, in a transaction without savepoints. On an error,
    /// the transaction is open or rolled back.
    fn commit_with(&mut self, sql: &str) -> impl Future<Output = QueryResult<()>> + Send;

    /// Rolls back the innermost transaction or savepoint.
    fn roll_back(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Returns Diesel's state of the open transactions.
    fn transaction_status(&mut self) -> &mut TransactionManagerStatus;

    /// Returns whether Diesel considers the connection broken.
    fn is_broken(&mut self) -> bool;

    /// Removes the caller's instrumentation.
    fn silence(&mut self);

    /// The address of the connection, which distinguishes it from others in this process.
    fn address(&mut self) -> usize;
}

/// Returns the output of a future of a blocking connection.
///
/// # Panics
///
/// If the future is not ready, which cannot happen with a blocking connection.
// Inlined, since a call would copy the future: 3% of the client's instructions of a lock.
#[inline(always)]
pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a blocking connection is always ready"),
    }
}

/// Implements [`Driver`] for a blocking connection. `$loaded` says how a row is loaded together
/// with the state of the server's transaction, and `$batch_is_one_round_trip` what text costs.
#[cfg(any(feature = "mysql", feature = "postgres"))]
macro_rules! blocking_driver {
    ($connection:ty, $loaded:path, $batch_is_one_round_trip:literal) => {
        impl Driver for $connection {
            type Db = <$connection as Connection>::Backend;

            const BATCH_IS_ONE_ROUND_TRIP: bool = $batch_is_one_round_trip;

            async fn execute<Q>(&mut self, query: Q) -> QueryResult<usize>
            where
                Q: QueryFragment<Self::Db> + QueryId + Send,
            {
                RunQueryDsl::execute(Statement(query), self)
            }

            async fn load_one<Q, R>(&mut self, query: Q) -> QueryResult<R>
            where
                Q: Query<SqlType: SingleValue> + QueryFragment<Self::Db> + QueryId + Send,
                R: FromSqlRow<Q::SqlType, Self::Db> + Send + 'static,
                Self::Db: QueryMetadata<Q::SqlType>,
            {
                RunQueryDsl::get_result(Statement(query), self)
            }

            async fn load_all<Q, R>(&mut self, query: Q) -> QueryResult<Vec<R>>
            where
                Q: Query<SqlType = Untyped> + QueryFragment<Self::Db> + QueryId + Send,
                R: QueryableByName<Self::Db> + Send + 'static,
            {
                RunQueryDsl::get_results(Statement(query), self)
            }

            async fn load_one_and_transaction<Q, R>(
                &mut self,
                query: Q,
            ) -> (QueryResult<R>, Option<bool>)
            where
                Q: Query<SqlType: SingleValue> + QueryFragment<Self::Db> + QueryId + Send,
                R: FromSqlRow<Q::SqlType, Self::Db> + Send + 'static,
                Self::Db: QueryMetadata<Q::SqlType>,
            {
                $loaded(self, query)
            }

            async fn batch(&mut self, sql: &str) -> QueryResult<()> {
                self.batch_execute(sql)
            }

            async fn begin(&mut self) -> QueryResult<()> {
                AnsiTransactionManager::begin_transaction(self)
            }

            async fn begin_with(&mut self, sql: &str) -> QueryResult<()> {
                AnsiTransactionManager::begin_transaction_sql(self, sql)
            }

            async fn commit(&mut self) -> QueryResult<()> {
                AnsiTransactionManager::commit_transaction(self)
            }

            /// Only PostgreSQL has such text, and its client library knows that the transaction has
            /// ended.
            async fn commit_with(&mut self, sql: &str) -> QueryResult<()> {
                self.batch_execute(sql)
            }

            async fn roll_back(&mut self) -> QueryResult<()> {
                AnsiTransactionManager::rollback_transaction(self)
            }

            fn transaction_status(&mut self) -> &mut TransactionManagerStatus {
                AnsiTransactionManager::transaction_manager_status_mut(self)
            }

            fn is_broken(&mut self) -> bool {
                AnsiTransactionManager::is_broken_transaction_manager(self)
            }

            fn silence(&mut self) {
                self.set_instrumentation(|_: InstrumentationEvent<'_>| {});
            }

            fn address(&mut self) -> usize {
                std::ptr::from_ref(self).addr()
            }
        }
    };
}

#[cfg(feature = "mysql")]
blocking_driver!(
    diesel::mysql::MysqlConnection,
    load_without_transaction,
    false
);
#[cfg(feature = "postgres")]
blocking_driver!(diesel::pg::PgConnection, load_with_transaction, true);

/// Diesel does not pass on the server's state, which MySQL reports with each answer.
#[cfg(feature = "mysql")]
fn load_without_transaction<Q, R>(
    conn: &mut diesel::mysql::MysqlConnection,
    query: Q,
) -> (QueryResult<R>, Option<bool>)
where
    Q: Query<SqlType: SingleValue> + QueryFragment<diesel::mysql::Mysql> + QueryId,
    R: FromSqlRow<Q::SqlType, diesel::mysql::Mysql> + 'static,
    diesel::mysql::Mysql: QueryMetadata<Q::SqlType>,
{
    (RunQueryDsl::get_result(Statement(query), conn), None)
}

/// PostgreSQL reports the state of its transaction with each answer. Diesel keeps it to itself, but
/// corrects its own count of transactions if the server has none.
///
/// So the statement runs with a count of one. It is still one afterwards if the server has a
/// transaction open that Diesel does not know of. The rows are loaded one by one, since Diesel then
/// reads the state after the last of them.
#[cfg(feature = "postgres")]
fn load_with_transaction<Q, R>(
    conn: &mut diesel::pg::PgConnection,
    query: Q,
) -> (QueryResult<R>, Option<bool>)
where
    Q: Query<SqlType: SingleValue> + QueryFragment<diesel::pg::Pg> + QueryId,
    R: FromSqlRow<Q::SqlType, diesel::pg::Pg> + 'static,
    diesel::pg::Pg: QueryMetadata<Q::SqlType>,
{
    use diesel::connection::TransactionDepthChange::{DecreaseDepth, IncreaseDepth};

    let change = |conn: &mut diesel::pg::PgConnection, change| match conn.transaction_status() {
        TransactionManagerStatus::Valid(status) => status.change_transaction_depth(change),
        TransactionManagerStatus::InError => Ok(()),
    };
    let depth = |conn: &mut diesel::pg::PgConnection| {
        let depth = conn.transaction_status().transaction_depth();
        depth.map(|depth| depth.is_some())
    };
    if depth(conn) != Ok(false) {
        return (RunQueryDsl::get_result(Statement(query), conn), Some(true));
    }
    if let Err(error) = change(conn, IncreaseDepth) {
        return (Err(error), None);
    }
    let loaded = load_row_by_row(conn, query);
    if loaded.is_err() {
        // Diesel has not read the end of the answer to a statement that failed. The next answer has
        // the state, too; that to an empty statement is an error.
        let _ = conn.batch_execute("");
    }
    let is_open = depth(conn).ok();
    match is_open {
        Some(true) => match change(conn, DecreaseDepth) {
            Ok(()) => (loaded, is_open),
            Err(error) => (loaded.and(Err(error)), is_open),
        },
        _ => (loaded, is_open),
    }
}

#[cfg(feature = "postgres")]
fn load_row_by_row<Q, R>(conn: &mut diesel::pg::PgConnection, query: Q) -> QueryResult<R>
where
    Q: Query<SqlType: SingleValue> + QueryFragment<diesel::pg::Pg> + QueryId,
    R: FromSqlRow<Q::SqlType, diesel::pg::Pg> + 'static,
    diesel::pg::Pg: QueryMetadata<Q::SqlType>,
{
    use diesel::connection::LoadConnection;
    use diesel::pg::PgRowByRowLoadingMode;

    let mut rows = LoadConnection::<PgRowByRowLoadingMode>::load(conn, Statement(query))?;
    let row = rows.next().ok_or(diesel::result::Error::NotFound)??;
    let row = R::build_from_row(&row).map_err(diesel::result::Error::DeserializationError)?;
    // A statement may be canceled after its last row. Diesel would swallow that error.
    match rows.next() {
        None | Some(Ok(_)) => Ok(row),
        Some(Err(error)) => Err(error),
    }
}

/// Implements `RunQueryDsl` for any query of this crate.
pub struct Statement<Q>(pub Q);

impl<Q, DB> QueryFragment<DB> for Statement<Q>
where
    Q: QueryFragment<DB>,
    DB: Backend,
{
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl<Q: QueryId> QueryId for Statement<Q> {
    type QueryId = Q::QueryId;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: Query> Query for Statement<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> RunQueryDsl<C> for Statement<Q> {}
