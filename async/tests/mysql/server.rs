//! What the suite needs of MySQL and MariaDB: the connection type, and everything that takes their
//! SQL.

use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel_advisory_lock_async::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

pub(crate) use diesel_async::AsyncMysqlConnection as Conn;

/// Whether the server knows of a raw BEGIN.
pub(crate) fn reports_raw_begin(kind: &str) -> bool {
    kind == "mariadb"
}

/// A query of a hundred million rows.
pub(crate) const MANY_ROWS: &str = "WITH digits AS (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 \
    UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 \
    UNION SELECT 9) \
    SELECT a.n AS n FROM digits a, digits b, digits c, digits d, digits e, digits f, digits g, \
    digits h";

#[derive(diesel::QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = BigInt, column_name = "n")]
    _number: i64,
}

/// A statement that takes a second.
pub(crate) const SLEEP: &str = "DO SLEEP(1)";

/// Texts by which a proxy recognises the library's statements.
pub(crate) mod statement {
    pub(crate) const ACQUIRE: &str = "GET_LOCK";
    pub(crate) const RELOAD: &str = "FROM `counters`";
    pub(crate) const VERIFY: &str = "CASE WHEN NOT (IS_USED_LOCK";
    pub(crate) const RELEASE: &str = "RELEASE_LOCK";
}

/// Of a `.transaction` whose statements have been prepared, with a reload and no statement of its own.
pub(crate) const ROUND_TRIPS_OF_TRANSACTION: u64 = 6;

/// Whether the lock of a `.transaction` that waits is held by the transaction.
pub(crate) const TRANSACTION_HOLDS_ITS_LOCK: bool = false;

/// Options of a URL. Otherwise the client goes on over the server's Unix socket.
pub(crate) const OVER_TCP: &str = "?prefer_socket=false";

pub(crate) const DEFAULT_PORT: u16 = 3306;

pub(crate) async fn create_database(conn: &mut Conn, name: &str) {
    let sql = format!("CREATE DATABASE {name}");
    conn.batch_execute(&sql).await.unwrap();
}

/// The full name of a lock in this database.
fn full_name(database: &str, name: &LockName) -> String {
    name.full_name(database)
}

pub(crate) async fn session_id(conn: &mut Conn) -> i64 {
    let id = diesel::select(sql::<BigInt>("CONNECTION_ID()"));
    id.get_result(conn).await.unwrap()
}

pub(crate) async fn holder(conn: &mut Conn, database: &str, name: &LockName) -> Option<i64> {
    let name = full_name(database, name);
    let holder = diesel::select(sql::<Nullable<BigInt>>(&format!("IS_USED_LOCK('{name}')")));
    holder.get_result(conn).await.unwrap()
}

/// Ends another session, or this one.
pub(crate) async fn kill_session(conn: &mut Conn, session: i64) {
    // The server answers the end of this session with an error.
    let _ = conn.batch_execute(&format!("KILL {session}")).await;
}

/// Ends the statement that another session runs.
pub(crate) async fn kill_statement(conn: &mut Conn, session: i64) {
    let sql = format!("KILL QUERY {session}");
    conn.batch_execute(&sql).await.unwrap();
}

pub(crate) async fn release_raw(conn: &mut Conn, database: &str, name: &LockName) {
    let sql = format!("DO RELEASE_LOCK('{}')", full_name(database, name));
    conn.batch_execute(&sql).await.unwrap();
}

pub(crate) async fn has_session(conn: &mut Conn, session: i64) -> bool {
    let sql_text =
        format!("EXISTS (SELECT * FROM information_schema.processlist WHERE id = {session})");
    let found = diesel::select(sql::<Bool>(&sql_text));
    found.get_result(conn).await.unwrap()
}

/// How many sessions of this database wait for a lock.
pub(crate) async fn waiting_sessions(conn: &mut Conn, database: &str) -> i64 {
    let sql_text = format!(
        "(SELECT COUNT(*) FROM information_schema.processlist \
         WHERE state = 'User lock' AND db = '{database}')"
    );
    let count = diesel::select(sql::<BigInt>(&sql_text));
    count.get_result(conn).await.unwrap()
}
