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

/// A statement that takes a second.
pub(crate) const SLEEP: &str = "DO SLEEP(1)";

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

/// Makes `.transaction` forms acquire the lock before BEGIN, as they always do here.
pub(crate) const LOCK_BEFORE_BEGIN: &str = "DO 1";

/// Releases all locks of the session.
pub(crate) const RELEASE_ALL: &str = "DO RELEASE_ALL_LOCKS()";

/// In seconds.
pub(crate) async fn idle_timeout(conn: &mut Conn) -> i64 {
    let seconds = sql::<BigInt>("CAST(@@SESSION.wait_timeout AS SIGNED)");
    diesel::select(seconds).get_result(conn).await.unwrap()
}

pub(crate) async fn set_idle_timeout(conn: &mut Conn, seconds: i64) {
    let sql = format!("SET SESSION wait_timeout = {seconds}");
    conn.batch_execute(&sql).await.unwrap();
}
