//! [`Driver`]: what the crate requires of a connection. All code above it is written once, as async
//! functions. A blocking connection returns futures that are ready at once, and [`ready`] polls
//! them.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use diesel::backend::Backend;
use diesel::connection::{
    Connection, InstrumentationEvent, LoadConnection, TransactionManager, TransactionManagerStatus,
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

    /// Runs one statement, and returns all its rows, whose columns are known by their names.
    fn load_all<Q, R>(&mut self, query: Q) -> impl Future<Output = QueryResult<Vec<R>>> + Send
    where
        Q: Query<SqlType = Untyped> + QueryFragment<Self::Db> + QueryId + Send,
        R: QueryableByName<Self::Db> + Send + 'static;

    /// Runs SQL text that is not prepared.
    fn batch(&mut self, sql: &str) -> impl Future<Output = QueryResult<()>> + Send;

    /// Begins a transaction, or a savepoint in an open one.
    fn begin(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Commits the innermost transaction or savepoint.
    fn commit(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Rolls back the innermost transaction or savepoint.
    fn roll_back(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Returns Diesel's state of the open transactions.
    fn transaction_status(&mut self) -> &mut TransactionManagerStatus;

    /// Returns whether Diesel considers the connection broken.
    fn is_broken(&mut self) -> bool;

    /// Removes the caller's instrumentation.
    fn silence(&mut self);
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

/// Polls a future once, and returns its output if it is ready.
pub(crate) fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

impl<C> Driver for C
where
    C: Connection + LoadConnection,
    C::Backend: 'static,
{
    type Db = C::Backend;

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

    async fn batch(&mut self, sql: &str) -> QueryResult<()> {
        self.batch_execute(sql)
    }

    async fn begin(&mut self) -> QueryResult<()> {
        C::TransactionManager::begin_transaction(self)
    }

    async fn commit(&mut self) -> QueryResult<()> {
        C::TransactionManager::commit_transaction(self)
    }

    async fn roll_back(&mut self) -> QueryResult<()> {
        C::TransactionManager::rollback_transaction(self)
    }

    fn transaction_status(&mut self) -> &mut TransactionManagerStatus {
        C::TransactionManager::transaction_manager_status_mut(self)
    }

    fn is_broken(&mut self) -> bool {
        C::TransactionManager::is_broken_transaction_manager(self)
    }

    fn silence(&mut self) {
        self.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    }
}

/// Implements `RunQueryDsl` for any query of this crate.
struct Statement<Q>(Q);

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
