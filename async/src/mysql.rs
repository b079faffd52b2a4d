//! MySQL and MariaDB by `AsyncMysqlConnection`.

use std::future::Future;

use diesel::deserialize::FromSqlRow;
use diesel::expression::QueryMetadata;
use diesel::mysql::Mysql;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::SingleValue;
use diesel_advisory_lock::__core::MySql;
use diesel_async::AsyncMysqlConnection;

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

    fn cancel_statement(&self) -> impl Future<Output = ()> + Send + 'static {
        let token = self.cancel_token();
        async move {
            let _ = token.cancel_query().await;
        }
    }
}
