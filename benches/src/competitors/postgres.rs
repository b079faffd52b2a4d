//! The alternatives on PostgreSQL, with this crate's keys.

mod c_client;
mod sql_query;
mod sqlx_lock;

pub(crate) use c_client::CClient;
pub(crate) use sql_query::SqlQuery;
pub(crate) use sqlx_lock::SqlxLock;
