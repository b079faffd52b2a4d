//! [`Via`]: a connection of diesel-async, as the core of the library uses it.

use std::future::Future;
use std::pin::pin;

use diesel::QueryableByName;
use diesel::connection::{InstrumentationEvent, TransactionManagerStatus};
use diesel::deserialize::FromSqlRow;
use diesel::expression::QueryMetadata;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{SingleValue, Untyped};
use diesel_advisory_lock::__core::{Driver, LockDriver, Statement};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection,
    TransactionManager,
};
use futures_util::TryStreamExt;

use crate::cancel;
use crate::connection::{LockConnection, LockSource};

/// A source of a connection, through which the core uses the connection. The type of a connection
/// is another crate's, and so is the trait.
pub struct Via<S>(pub(crate) S);

impl<S: LockSource> Via<S> {
    pub(crate) fn conn(&mut self) -> &mut S::Connection {
        self.0.connection()
    }
}

impl<S: LockSource> Via<S> {
    /// Gives an error the kind that it has on a blocking connection.
    async fn with_kind<T>(&mut self, result: QueryResult<T>) -> QueryResult<T> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(self.conn().with_kind(error).await),
        }
    }
}

/// The backend of a source's connection, in Diesel.
type Db<S> = <<S as LockSource>::Connection as AsyncConnectionCore>::Backend;

impl<S: LockSource> Driver for Via<S> {
    type Db = Db<S>;

    async fn execute<Q>(&mut self, query: Q) -> QueryResult<usize>
    where
        Q: QueryFragment<Self::Db> + QueryId + Send,
    {
        let executed = self.conn().execute_returning_count(Statement(query)).await;
        self.with_kind(executed).await
    }

    async fn load_one<Q, R>(&mut self, query: Q) -> QueryResult<R>
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Self::Db> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Self::Db> + Send + 'static,
        Self::Db: QueryMetadata<Q::SqlType>,
    {
        let loaded = load_one(self.conn(), query).await;
        self.with_kind(loaded).await
    }

    fn load_one_in_turn<Q, R>(&mut self, query: Q) -> impl Future<Output = QueryResult<R>> + Send
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Self::Db> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Self::Db> + Send + 'static,
        Self::Db: QueryMetadata<Q::SqlType>,
    {
        self.conn().load_one_in_turn(query)
    }

    fn answers_in_turn(&mut self) -> impl Future<Output = bool> + Send {
        self.conn().answers_in_turn()
    }

    async fn load_all<Q, R>(&mut self, query: Q) -> QueryResult<Vec<R>>
    where
        Q: Query<SqlType = Untyped> + QueryFragment<Self::Db> + QueryId + Send,
        R: QueryableByName<Self::Db> + Send + 'static,
    {
        let loaded = load_all(self.conn(), query).await;
        self.with_kind(loaded).await
    }

    async fn load_one_and_transaction<Q, R>(&mut self, query: Q) -> (QueryResult<R>, Option<bool>)
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Self::Db> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Self::Db> + Send + 'static,
        Self::Db: QueryMetadata<Q::SqlType>,
    {
        let (loaded, is_open) = self.conn().load_one_and_transaction(query).await;
        (self.with_kind(loaded).await, is_open)
    }

    async fn batch(&mut self, sql: &str) -> QueryResult<()> {
        let run = self.conn().batch_execute(sql).await;
        self.with_kind(run).await
    }

    async fn begin(&mut self) -> QueryResult<()> {
        AnsiTransactionManager::begin_transaction(self.conn()).await
    }

    async fn begin_with(&mut self, sql: &str) -> QueryResult<()> {
        let begun = AnsiTransactionManager::begin_transaction_sql(self.conn(), sql).await;
        self.with_kind(begun).await
    }

    /// After a COMMIT that failed, diesel-async considers the transaction ended, even if the
    /// connection is lost or the transaction is still open. Diesel rolls it back, and returns
    /// `RollbackErrorOnCommit` if that fails too. So does this.
    async fn commit(&mut self) -> QueryResult<()> {
        let depth = self.transaction_status().transaction_depth()?;
        let committed = AnsiTransactionManager::commit_transaction(self.conn()).await;
        let (commit_error, depth) = match (committed, depth) {
            (Err(error @ DieselError::RollbackErrorOnCommit { .. }), _) => return Err(error),
            (Err(error), Some(depth)) => (error, depth),
            (committed, _) => return committed,
        };
        let roll_back = match depth.get() {
            1 => "ROLLBACK".to_owned(),
            depth => format!("ROLLBACK TO SAVEPOINT diesel_savepoint_{}", depth - 1),
        };
        match self.conn().batch_execute(&roll_back).await {
            Ok(()) => Err(commit_error),
            Err(rollback_error) => {
                self.transaction_status().set_in_error();
                Err(DieselError::RollbackErrorOnCommit {
                    rollback_error: Box::new(rollback_error),
                    commit_error: Box::new(commit_error),
                })
            }
        }
    }

    async fn commit_with(&mut self, sql: &str) -> QueryResult<()> {
        self.batch(sql).await?;
        // Unlike Diesel, diesel-async does not know that the transaction has ended.
        *self.transaction_status() = TransactionManagerStatus::default();
        Ok(())
    }

    async fn roll_back(&mut self) -> QueryResult<()> {
        AnsiTransactionManager::rollback_transaction(self.conn()).await
    }

    fn transaction_status(&mut self) -> &mut TransactionManagerStatus {
        let is_broken = self.is_broken();
        let status = AnsiTransactionManager::transaction_manager_status_mut(self.conn());
        // The future of a BEGIN, COMMIT or ROLLBACK was dropped, so a transaction may be open. The
        // status alone does not tell.
        if is_broken && matches!(status.transaction_depth(), Ok(None)) {
            status.set_in_error();
        }
        status
    }

    fn is_broken(&mut self) -> bool {
        AnsiTransactionManager::is_broken_transaction_manager(self.conn())
    }

    fn silence(&mut self) {
        self.conn()
            .set_instrumentation(|_: InstrumentationEvent<'_>| {});
    }

    fn address(&mut self) -> usize {
        std::ptr::from_ref(self.conn()).addr()
    }
}

impl<S: LockSource> LockDriver for Via<S> {
    type Server = <S::Connection as LockConnection>::Server;

    fn abandon(&mut self) {
        cancel::end_session(self.conn());
    }
}

/// Runs one statement of one column, and returns its only row, or `NotFound`.
pub(crate) async fn load_one<C, Q, R>(conn: &mut C, query: Q) -> QueryResult<R>
where
    C: AsyncConnectionCore,
    Q: Query<SqlType: SingleValue> + QueryFragment<C::Backend> + QueryId + Send,
    R: FromSqlRow<Q::SqlType, C::Backend> + Send + 'static,
    C::Backend: QueryMetadata<Q::SqlType>,
{
    let rows = conn.load(Statement(query)).await?;
    let mut rows = pin!(rows);
    let mut first = None;
    // To the end, since the rest would be read before the next statement.
    while let Some(row) = rows.try_next().await? {
        if first.is_none() {
            first = Some(R::build_from_row(&row).map_err(DieselError::DeserializationError)?);
        }
    }
    first.ok_or(DieselError::NotFound)
}

/// Runs one statement, and returns all its rows, whose columns are known by their names.
async fn load_all<C, Q, R>(conn: &mut C, query: Q) -> QueryResult<Vec<R>>
where
    C: AsyncConnectionCore,
    Q: Query<SqlType = Untyped> + QueryFragment<C::Backend> + QueryId + Send,
    R: QueryableByName<C::Backend> + Send + 'static,
{
    let rows = conn.load(Statement(query)).await?;
    let mut rows = pin!(rows);
    let mut loaded = Vec::new();
    while let Some(row) = rows.try_next().await? {
        loaded.push(R::build(&row).map_err(DieselError::DeserializationError)?);
    }
    Ok(loaded)
}
