//! The service as its clients and its operator meet it: a process, HTTP and signals.

#[cfg(feature = "mysql")]
type MysqlConnection = diesel_async::async_connection_wrapper::AsyncConnectionWrapper<
    diesel_async::AsyncMysqlConnection,
>;
#[cfg(feature = "postgres")]
type PgConnection =
    diesel_async::async_connection_wrapper::AsyncConnectionWrapper<diesel_async::AsyncPgConnection>;

mod load;
mod shutdown;
mod statuses;
mod support;
#[path = "../../../shared/test_database.rs"]
mod test_database;
