//! What the suite needs of MySQL and MariaDB: the connection type, and everything that takes SQL or
//! settings of these servers.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_advisory_lock::inspect::HeldLock;
use diesel_advisory_lock::prelude::*;
use server_test::both;

pub(crate) use crate::Conn;
use crate::api::{RunQueryDsl, SimpleConnection};
pub(crate) use diesel::mysql::Mysql as Backend;
pub(crate) use test_server::ServerKind;

use crate::suite::support::Db;

mod account;

pub(crate) use account::Account;

pub(crate) fn is_mariadb(db: &Db) -> bool {
    db.kind() == ServerKind::Mariadb
}

/// The port of a URL that has none.
pub(crate) const DEFAULT_PORT: u16 = 3306;

/// The database of a session that has no schema.
pub(crate) const NO_SCHEMA: &str = "";

/// A URL at which no server listens.
pub(crate) const UNREACHABLE_URL: &str = "mysql://root@127.0.0.1:1/none";

/// The table `users`, whose key ignores case and trailing blanks in comparisons.
pub(crate) const CREATE_USERS: &str = "CREATE TABLE users \
     (name VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, \
     logins BIGINT NOT NULL)";

/// Parts of the library's statements, by which a case recognises them.
pub(crate) mod statement {
    pub(crate) const ACQUIRE: &str = "GET_LOCK";
    pub(crate) const WAIT: &str = "waits for lock";
    pub(crate) const BEGIN: &str = "BEGIN";
    pub(crate) const RELOAD: &str = "FROM `counters`";
    pub(crate) const UPDATE: &str = "UPDATE `counters`";
    pub(crate) const VERIFY: &str = "CASE WHEN NOT (IS_USED_LOCK";
    /// On blocking connections the BEGIN, too, has the word COMMIT in it.
    pub(crate) const COMMIT: &str = match crate::api::DROP_ENDS_SESSION {
        true => "COMMIT",
        false => "COMMIT AND NO CHAIN",
    };
    pub(crate) const RELEASE: &str = "RELEASE_LOCK";
    /// The steps of a `.transaction` that waits for its lock.
    pub(crate) const OF_TRANSACTION: &[&str] = &[WAIT, BEGIN, RELOAD, UPDATE, VERIFY, COMMIT];
    pub(crate) const IDLE_TIMEOUT: [&str; 2] =
        ["@@SESSION.wait_timeout", "SET SESSION wait_timeout"];
}

#[both]
pub(crate) async fn create_database(conn: &mut Conn, name: &str) {
    let sql = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
    conn.batch_execute(&sql).await.unwrap();
}

#[both]
pub(crate) async fn drop_database(conn: &mut Conn, name: &str) {
    conn.batch_execute(&format!("DROP DATABASE {name}"))
        .await
        .unwrap();
}

/// The lock is always acquired before the transaction begins.
#[both]
pub(crate) async fn lock_before_begin(_: &mut Conn, _database: &str) {}

/// Whether a nested lock in a transaction is held until the end of the transaction.
pub(crate) const NESTED_LOCKS_END_WITH_TRANSACTION: bool = false;

/// Whether the release notices that raw SQL has acquired the lock once more.
pub(crate) const NOTICES_RAW_LOCKS: bool = true;

/// Whether the key of a document can be this text.
pub(crate) fn can_store_key(key: &str) -> bool {
    key.chars().count() <= 700
}

/// The full name of a lock for sessions of this database.
pub(crate) fn full_name(database: &str, name: &LockName) -> String {
    name.full_name(database)
}

// Sessions

#[both]
pub(crate) async fn session_id(conn: &mut Conn) -> i64 {
    diesel::select(sql::<BigInt>("CAST(CONNECTION_ID() AS SIGNED)"))
        .get_result(conn)
        .await
        .unwrap()
}

/// Ends another session.
#[both]
pub(crate) async fn kill_session(conn: &mut Conn, session: i64) -> QueryResult<()> {
    conn.batch_execute(&format!("KILL CONNECTION {session}"))
        .await
}

/// The server resolves a deadlock of locks within this time.
pub(crate) const DEADLOCK_LIMIT: Duration = Duration::from_secs(1);

/// Cancels the statement that another session runs.
#[both]
pub(crate) async fn kill_statement(conn: &mut Conn, session: i64) -> QueryResult<()> {
    conn.batch_execute(&format!("KILL QUERY {session}")).await
}

/// Whether a server of this kind cancels even a statement that takes no time. MariaDB does not
/// check for a kill during statements as short as the library's.
pub(crate) fn kills_short_statements(kind: ServerKind) -> bool {
    kind == ServerKind::Mysql
}

#[both]
pub(crate) async fn has_session(conn: &mut Conn, session: i64) -> bool {
    is_in_state(conn, session, "%").await
}

#[both]
pub(crate) async fn waits_for_lock(conn: &mut Conn, session: i64) -> bool {
    is_in_state(conn, session, "User lock").await
}

/// Whether the session is in a state that is `LIKE` this one.
#[both]
pub(crate) async fn is_in_state(conn: &mut Conn, session: i64, state: &str) -> bool {
    let count: i64 = diesel::select(
        sql::<BigInt>("(SELECT COUNT(*) FROM information_schema.processlist WHERE id = ")
            .bind::<BigInt, _>(session)
            .sql(" AND COALESCE(state, '') LIKE ")
            .bind::<Text, _>(state)
            .sql(")"),
    )
    .get_result(conn)
    .await
    .unwrap();
    count == 1
}

/// How many sessions of this database wait for a lock.
#[both]
pub(crate) async fn waiting_sessions(conn: &mut Conn, database: &str) -> i64 {
    diesel::select(
        sql::<BigInt>(
            "(SELECT COUNT(*) FROM information_schema.processlist \
              WHERE state = 'User lock' AND db = ",
        )
        .bind::<Text, _>(database)
        .sql(")"),
    )
    .get_result(conn)
    .await
    .unwrap()
}

// Locks

/// The session that holds the lock.
#[both]
pub(crate) async fn lock_holder(conn: &mut Conn, full_name: &str) -> Option<i64> {
    diesel::select(
        sql::<Nullable<BigInt>>("CAST(IS_USED_LOCK(")
            .bind::<Text, _>(full_name)
            .sql(") AS SIGNED)"),
    )
    .get_result(conn)
    .await
    .unwrap()
}

/// Acquires a lock without a wait, or once more. Does nothing if another session holds the lock.
#[both]
pub(crate) async fn acquire(conn: &mut Conn, full_name: &str) -> QueryResult<()> {
    conn.batch_execute(&format!("DO GET_LOCK('{full_name}', 0)"))
        .await
}

/// Waits for a lock for up to 45 seconds, and acquires it.
#[both]
pub(crate) async fn wait_and_acquire(conn: &mut Conn, full_name: &str) -> QueryResult<()> {
    conn.batch_execute(&format!("DO GET_LOCK('{full_name}', 45)"))
        .await
}

#[both]
pub(crate) async fn release(conn: &mut Conn, full_name: &str) -> QueryResult<()> {
    conn.batch_execute(&format!("DO RELEASE_LOCK('{full_name}')"))
        .await
}

#[both]
pub(crate) async fn release_all(conn: &mut Conn) -> QueryResult<()> {
    conn.batch_execute("DO RELEASE_ALL_LOCKS()").await
}

/// Installs the plugin that reports locks and their holders on MariaDB.
#[both]
pub(crate) async fn enable_lock_inspection(conn: &mut Conn, kind: ServerKind) {
    if kind == ServerKind::Mariadb {
        conn.batch_execute(
            "INSTALL PLUGIN IF NOT EXISTS metadata_lock_info SONAME 'metadata_lock_info'",
        )
        .await
        .unwrap_or_else(|error| {
            panic!("{error}\nRun `cargo xtask setup --server mariadb`, which installs the plugin.")
        });
    }
}

/// Whether a server of this kind reports how long a lock has been held. MySQL reports only how long
/// the holder has been idle.
pub(crate) fn reports_age_of_locks(kind: ServerKind) -> bool {
    kind == ServerKind::Mariadb
}

/// Whether a lock that is listed is one of the library's, of a session in this database.
pub(crate) fn is_of_library(database: &str, lock: &HeldLock) -> bool {
    lock.name.is_in(database)
}

/// Whether this is the lock of that name.
pub(crate) fn is_lock(lock: &HeldLock, full_name: &str) -> bool {
    lock.name.as_str() == full_name
}

/// Whether the name of a lock is known without a session that waits for it.
pub(crate) const LISTS_NAMES_WITHOUT_WAITERS: bool = true;

// Limits of a session

/// How long the session may be idle.
#[both]
pub(crate) async fn idle_timeout(conn: &mut Conn) -> Duration {
    let seconds: i64 = diesel::select(sql::<BigInt>("CAST(@@SESSION.wait_timeout AS SIGNED)"))
        .get_result(conn)
        .await
        .unwrap();
    Duration::from_secs(seconds.unsigned_abs())
}

#[both]
pub(crate) async fn set_idle_timeout(conn: &mut Conn, timeout: Duration) {
    let seconds = timeout.as_secs();
    conn.batch_execute(&format!("SET SESSION wait_timeout = {seconds}"))
        .await
        .unwrap();
}

/// Limits a session's statements to 0.1 s.
pub(crate) fn statement_limit(kind: ServerKind) -> &'static str {
    match kind {
        ServerKind::Mariadb => "SET max_statement_time = 0.1",
        _ => "SET max_execution_time = 100",
    }
}

/// Settings of a session that could cut a wait short, or turn its timeout into another error.
pub(crate) fn limits(kind: ServerKind) -> [&'static str; 2] {
    [statement_limit(kind), "SET max_error_count = 0"]
}

// Statements that take time

/// A statement that takes 1.5 s and returns no row.
pub(crate) const SLEEP: &str = "DO SLEEP(1.5)";

/// An expression that takes 2 s.
pub(crate) const SLEEPING_EXPRESSION: &str = "SLEEP(2)";

/// Whether the server has refused to write a row that has changed since the transaction's snapshot,
/// as MariaDB does from 11.6.2 on.
pub(crate) fn is_snapshot_conflict(error: &diesel::result::Error) -> bool {
    error.to_string().contains("changed")
}

/// Makes other sessions that read the table wait until [`unblock_tables`].
#[both]
pub(crate) async fn block_table(conn: &mut Conn, table: &str) {
    conn.batch_execute(&format!("LOCK TABLES {table} WRITE"))
        .await
        .unwrap();
}

#[both]
pub(crate) async fn unblock_tables(conn: &mut Conn) {
    conn.batch_execute("UNLOCK TABLES").await.unwrap();
}
