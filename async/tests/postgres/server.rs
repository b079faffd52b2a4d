//! What the suite needs of PostgreSQL: the connection type, and everything that takes its SQL.

use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel_advisory_lock_async::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

pub(crate) use diesel_async::AsyncPgConnection as Conn;

/// Whether the server knows of a raw BEGIN.
pub(crate) fn reports_raw_begin(_: &str) -> bool {
    true
}

/// A query of a hundred million rows, which the server sends as it makes them.
pub(crate) const MANY_ROWS: &str = "SELECT generate_series(1, 100000000::bigint) AS n";

#[derive(diesel::QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = BigInt, column_name = "n")]
    _number: i64,
}

/// A statement that takes a second.
pub(crate) const SLEEP: &str = "SELECT pg_sleep(1)";

/// Texts by which a proxy recognises the library's statements.
pub(crate) mod statement {
    pub(crate) const ACQUIRE: &str = "pg_try_advisory_lock";
    pub(crate) const RELOAD: &str = "FROM \"counters\"";
    pub(crate) const VERIFY: &str = "WITH wanted";
    pub(crate) const RELEASE: &str = "pg_advisory_unlock";
}

/// Of a `.transaction` whose statements have been prepared, with a reload and no statement of its own.
pub(crate) const ROUND_TRIPS_OF_TRANSACTION: u64 = 3;

/// Whether the lock of a `.transaction` that waits is held by the transaction.
pub(crate) const TRANSACTION_HOLDS_ITS_LOCK: bool = true;

/// Options of a URL.
pub(crate) const OVER_TCP: &str = "";

pub(crate) const DEFAULT_PORT: u16 = 5432;

pub(crate) async fn create_database(conn: &mut Conn, name: &str) {
    let sql = format!("CREATE DATABASE {name}");
    conn.batch_execute(&sql).await.unwrap();
}

pub(crate) async fn session_id(conn: &mut Conn) -> i64 {
    let id = diesel::select(sql::<BigInt>("pg_backend_pid()::bigint"));
    id.get_result(conn).await.unwrap()
}

const OF_THIS_DATABASE: &str = "locktype = 'advisory' \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn key(name: &LockName) -> i64 {
    // Named locks begin with `=`, and have no schema.
    name.postgres_key(match name.to_string().starts_with('=') {
        true => "",
        false => "public",
    })
}

pub(crate) async fn holder(conn: &mut Conn, _database: &str, name: &LockName) -> Option<i64> {
    let key = key(name);
    let sql_text = format!(
        "(SELECT min(pid)::bigint FROM pg_locks WHERE {OF_THIS_DATABASE} AND granted \
         AND (classid::bigint << 32 | objid::bigint) = {key})"
    );
    let holder = diesel::select(sql::<Nullable<BigInt>>(&sql_text));
    holder.get_result(conn).await.unwrap()
}

/// Ends another session, or this one.
pub(crate) async fn kill_session(conn: &mut Conn, session: i64) {
    // The server answers the end of this session with an error.
    let _ = conn
        .batch_execute(&format!("SELECT pg_terminate_backend({session})"))
        .await;
}

/// Ends the statement that another session runs.
pub(crate) async fn kill_statement(conn: &mut Conn, session: i64) {
    let sql = format!("SELECT pg_cancel_backend({session})");
    conn.batch_execute(&sql).await.unwrap();
}

pub(crate) async fn release_raw(conn: &mut Conn, _database: &str, name: &LockName) {
    let sql = format!("SELECT pg_advisory_unlock({})", key(name));
    conn.batch_execute(&sql).await.unwrap();
}

pub(crate) async fn has_session(conn: &mut Conn, session: i64) -> bool {
    let sql_text = format!("EXISTS (SELECT FROM pg_stat_activity WHERE pid = {session})");
    let found = diesel::select(sql::<Bool>(&sql_text));
    found.get_result(conn).await.unwrap()
}

/// How many sessions of this database wait for a lock.
pub(crate) async fn waiting_sessions(conn: &mut Conn, _database: &str) -> i64 {
    let sql_text =
        format!("(SELECT count(*) FROM pg_locks WHERE {OF_THIS_DATABASE} AND NOT granted)");
    let count = diesel::select(sql::<BigInt>(&sql_text));
    count.get_result(conn).await.unwrap()
}
