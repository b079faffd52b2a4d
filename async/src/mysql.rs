//! MySQL and MariaDB by `AsyncMysqlConnection`.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::expression::QueryMetadata;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::row::{Field, Row};
use diesel::sql_types::{BigInt, SingleValue};
use diesel_advisory_lock::__core::{MySql, Statement};
use diesel_async::{AsyncConnectionCore, AsyncMysqlConnection, SimpleAsyncConnection};
use futures_util::TryStreamExt;

use crate::connection::{LockConnection, lock_source};
use crate::driver;

lock_source!(AsyncMysqlConnection);

impl LockConnection for AsyncMysqlConnection {
    type Server = MySql;

    const END_SESSION: &'static str = "KILL CONNECTION_ID()";

    /// diesel-async does not pass on the server's state, which MySQL reports with each answer.
    async fn load_one_and_transaction<Q, R>(&mut self, query: Q) -> (QueryResult<R>, Option<bool>)
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Mysql> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Mysql> + Send + 'static,
        Mysql: QueryMetadata<Q::SqlType>,
    {
        (driver::load_one(self, query).await, None)
    }

    /// If the future of a statement was dropped, the next statement gets that one's answer. So the
    /// answer has a number that no other one has.
    async fn load_one_in_turn<Q, R>(&mut self, query: Q) -> QueryResult<R>
    where
        Q: Query<SqlType: SingleValue> + QueryFragment<Mysql> + QueryId + Send,
        R: FromSqlRow<Q::SqlType, Mysql> + Send + 'static,
        Mysql: QueryMetadata<Q::SqlType>,
    {
        let number = next_number();
        let rows = self.load(Statement(Numbered { query, number })).await?;
        let mut rows = pin!(rows);
        let mut first = None;
        // To the end, since the rest would be read before the next statement.
        while let Some(row) = rows.try_next().await? {
            if first.is_none() {
                let found = row.get(1).and_then(|field| {
                    let found = FromSql::<BigInt, Mysql>::from_nullable_sql(field.value());
                    found.ok()
                });
                if found != Some(number) {
                    return Err(DieselError::DeserializationError(NOT_IN_TURN.into()));
                }
                first = Some(R::build_from_row(&row).map_err(DieselError::DeserializationError)?);
            }
        }
        first.ok_or(DieselError::NotFound)
    }

    /// The error that this statement raises has a number that no other one has.
    async fn answers_in_turn(&mut self) -> bool {
        let number = next_number().to_string();
        let raise = format!("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{number}'");
        match self.batch_execute(&raise).await {
            Err(DieselError::DatabaseError(_, raised)) => raised.message().contains(&number),
            _ => false,
        }
    }

    fn cancel_statement(&self) -> impl Future<Output = ()> + Send + 'static {
        let token = self.cancel_token();
        async move {
            let _ = token.cancel_query().await;
        }
    }
}

const NOT_IN_TURN: &str = "the server answered another statement: the future of a statement on \
     this connection was dropped, so the connection must not be used any more";

fn next_number() -> i64 {
    static NEXT: LazyLock<AtomicI64> =
        LazyLock::new(|| AtomicI64::new((RandomState::new().hash_one(0) >> 2) as i64));
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A query with a further column, which is this number.
struct Numbered<Q> {
    query: Q,
    number: i64,
}

impl<Q: QueryFragment<Mysql>> QueryFragment<Mysql> for Numbered<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(", CAST(");
        out.push_bind_param::<BigInt, _>(&self.number)?;
        out.push_sql(" AS SIGNED)");
        Ok(())
    }
}

impl<Q: QueryId<QueryId: 'static>> QueryId for Numbered<Q> {
    type QueryId = Numbered<Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: Query> Query for Numbered<Q> {
    type SqlType = Q::SqlType;
}
