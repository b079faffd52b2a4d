//! What the suite needs of PostgreSQL: the connection type, and everything that takes its SQL or
//! settings.

use std::time::Duration;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable};
use diesel_advisory_lock::inspect::{HeldLock, PostgresKey};
use diesel_advisory_lock::prelude::*;
use server_test::both;
use sha2::{Digest, Sha256};

pub(crate) use crate::Conn;
use crate::api::{RunQueryDsl, SimpleConnection};
pub(crate) use diesel::pg::Pg as Backend;
pub(crate) use test_server::ServerKind;

mod account;

pub(crate) use account::Account;

/// The port of a URL that has none.
pub(crate) const DEFAULT_PORT: u16 = 5432;

/// The database of a session that is in no case's database. Without a name, it would be the
/// account's, which may not exist.
pub(crate) const NO_SCHEMA: &str = "postgres";

/// A URL at which no server listens.
pub(crate) const UNREACHABLE_URL: &str = "postgres://root@127.0.0.1:1/none";

/// The table `users`, whose key ignores case in comparisons.
pub(crate) const CREATE_USERS: &str = "CREATE COLLATION ignores_case \
     (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
     CREATE TABLE users \
     (name VARCHAR(50) COLLATE ignores_case PRIMARY KEY, logins BIGINT NOT NULL)";

/// Parts of the library's statements, by which a case recognises them.
pub(crate) mod statement {
    pub(crate) const ACQUIRE: &str = "pg_try_advisory_lock";
    pub(crate) const WAIT: &str = "pg_advisory_lock(";
    pub(crate) const BEGIN: &str = "BEGIN";
    pub(crate) const RELOAD: &str = "FROM \"counters\"";
    pub(crate) const UPDATE: &str = "UPDATE \"counters\"";
    pub(crate) const VERIFY: &str = "WITH wanted";
    pub(crate) const COMMIT: &str = "COMMIT";
    pub(crate) const RELEASE: &str = "pg_advisory_unlock";
    /// The steps of a `.transaction` that waits for its lock.
    pub(crate) const OF_TRANSACTION: &[&str] = &[BEGIN, RELOAD, UPDATE, COMMIT];
    pub(crate) const IDLE_TIMEOUT: [&str; 2] = [
        "WHERE name = 'idle_session_timeout'",
        "set_config('idle_session_timeout'",
    ];
}

#[both]
pub(crate) async fn create_database(conn: &mut Conn, name: &str) {
    // The default writes each page to the write-ahead log, which takes twice the time. Before
    // version 15, there is no choice.
    let strategy = match server_version(conn).await >= 150_000 {
        true => "STRATEGY file_copy",
        false => "",
    };
    conn.batch_execute(&format!("CREATE DATABASE {name} {strategy}"))
        .await
        .unwrap();
    // As long as that of other servers.
    conn.batch_execute(&format!(
        "ALTER DATABASE {name} SET idle_session_timeout = '8h'"
    ))
    .await
    .unwrap();
}

#[both]
async fn server_version(conn: &mut Conn) -> i32 {
    diesel::select(sql::<Integer>("current_setting('server_version_num')::int"))
        .get_result(conn)
        .await
        .unwrap()
}

#[both]
pub(crate) async fn drop_database(conn: &mut Conn, name: &str) {
    conn.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .unwrap();
}

/// Above READ COMMITTED, the lock is acquired before the transaction begins.
#[both]
pub(crate) async fn lock_before_begin(conn: &mut Conn, database: &str) {
    conn.batch_execute(&format!(
        "ALTER DATABASE {database} SET default_transaction_isolation = 'repeatable read'"
    ))
    .await
    .unwrap();
}

/// Whether a nested lock in a transaction is held until the end of the transaction.
pub(crate) const NESTED_LOCKS_END_WITH_TRANSACTION: bool = true;

/// Only `pg_locks` could tell, and reading it takes longer the more locks the cluster has.
pub(crate) const NOTICES_RAW_LOCKS: bool = false;

/// Whether the key of a document can be this text.
pub(crate) fn can_store_key(key: &str) -> bool {
    key.chars().count() <= 700 && !key.contains('\0')
}

/// The full name of a lock of the database's tables, or of a lock without a table.
pub(crate) fn full_name(_database: &str, name: &LockName) -> String {
    // A hashed name without a table begins with a hyphen.
    match name.to_string().starts_with(['=', '-']) {
        true => name.full_name(""),
        false => name.full_name("public"),
    }
}

// Sessions

#[both]
pub(crate) async fn session_id(conn: &mut Conn) -> i64 {
    diesel::select(sql::<BigInt>("pg_backend_pid()::bigint"))
        .get_result(conn)
        .await
        .unwrap()
}

/// Ends another session, or this one.
#[both]
pub(crate) async fn kill_session(conn: &mut Conn, session: i64) -> QueryResult<()> {
    conn.batch_execute(&format!("SELECT pg_terminate_backend({session})"))
        .await
}

/// The server resolves a deadlock of locks within this time: `deadlock_timeout` is a second.
pub(crate) const DEADLOCK_LIMIT: Duration = Duration::from_secs(2);

/// Cancels the statement that another session runs.
#[both]
pub(crate) async fn kill_statement(conn: &mut Conn, session: i64) -> QueryResult<()> {
    conn.batch_execute(&format!("SELECT pg_cancel_backend({session})"))
        .await
}

/// Whether a server of this kind cancels even a statement that takes no time.
pub(crate) fn kills_short_statements(_: ServerKind) -> bool {
    false
}

#[both]
pub(crate) async fn has_session(conn: &mut Conn, session: i64) -> bool {
    exists(conn, &format!("pg_stat_activity WHERE pid = {session}")).await
}

#[both]
pub(crate) async fn waits_for_lock(conn: &mut Conn, session: i64) -> bool {
    exists(
        conn,
        &format!("pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = {session}"),
    )
    .await
}

#[both]
async fn exists(conn: &mut Conn, rows: &str) -> bool {
    diesel::select(sql::<Bool>(&format!("EXISTS (SELECT FROM {rows})")))
        .get_result(conn)
        .await
        .unwrap()
}

/// How many sessions of this database wait for a lock.
#[both]
pub(crate) async fn waiting_sessions(conn: &mut Conn, _database: &str) -> i64 {
    diesel::select(sql::<BigInt>(
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
    ))
    .get_result(conn)
    .await
    .unwrap()
}

// Locks

/// The key of a lock, computed without the library.
pub(crate) fn key_of(full_name: &str) -> i64 {
    let hash = Sha256::digest(full_name);
    i64::from_be_bytes(*hash.first_chunk().unwrap())
}

/// The session that holds the lock.
#[both]
pub(crate) async fn lock_holder(conn: &mut Conn, full_name: &str) -> Option<i64> {
    let key = key_of(full_name);
    let (high, low) = ((key >> 32) & 0xFFFF_FFFF, key & 0xFFFF_FFFF);
    diesel::select(sql::<Nullable<BigInt>>(&format!(
        "(SELECT min(pid)::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND objsubid = 1 AND classid = {high} AND objid = {low})"
    )))
    .get_result(conn)
    .await
    .unwrap()
}

/// Acquires a lock without a wait, or once more. Does nothing if another session holds the lock.
#[both]
pub(crate) async fn acquire(conn: &mut Conn, full_name: &str) -> QueryResult<()> {
    let key = key_of(full_name);
    conn.batch_execute(&format!("SELECT pg_try_advisory_lock({key})"))
        .await
}

/// Waits for a lock for up to 45 seconds, and acquires it.
#[both]
pub(crate) async fn wait_and_acquire(conn: &mut Conn, full_name: &str) -> QueryResult<()> {
    let key = key_of(full_name);
    conn.batch_execute(&format!(
        "SELECT set_config('lock_timeout', '45s', true), pg_advisory_lock({key})"
    ))
    .await
}

#[both]
pub(crate) async fn release(conn: &mut Conn, full_name: &str) -> QueryResult<()> {
    let key = key_of(full_name);
    conn.batch_execute(&format!("SELECT pg_advisory_unlock({key})"))
        .await
}

#[both]
pub(crate) async fn release_all(conn: &mut Conn) -> QueryResult<()> {
    conn.batch_execute("SELECT pg_advisory_unlock_all()").await
}

/// PostgreSQL always reports locks and their holders.
#[both]
pub(crate) async fn enable_lock_inspection(_: &mut Conn, _: ServerKind) {}

/// Whether a server of this kind reports how long a lock has been held.
pub(crate) fn reports_age_of_locks(_: ServerKind) -> bool {
    false
}

/// Whether a lock that is listed is one of the library's: not the one that a case has acquired by
/// SQL, under the database's name. Only locks of the session's database are listed.
pub(crate) fn is_of_library(database: &str, lock: &HeldLock) -> bool {
    !is_lock(lock, database)
}

/// Whether this is the lock of that name.
pub(crate) fn is_lock(lock: &HeldLock, full_name: &str) -> bool {
    lock.postgres_key == Some(PostgresKey::One(key_of(full_name)))
}

/// Whether the name of a lock is known without a session that waits for it.
pub(crate) const LISTS_NAMES_WITHOUT_WAITERS: bool = false;

// Limits of a session

/// How long the session may be idle.
#[both]
pub(crate) async fn idle_timeout(conn: &mut Conn) -> Duration {
    let ms: i64 = diesel::select(sql::<BigInt>(
        "(SELECT setting::bigint FROM pg_settings WHERE name = 'idle_session_timeout')",
    ))
    .get_result(conn)
    .await
    .unwrap();
    Duration::from_millis(ms.unsigned_abs())
}

#[both]
pub(crate) async fn set_idle_timeout(conn: &mut Conn, timeout: Duration) {
    let ms = timeout.as_millis();
    conn.batch_execute(&format!("SET idle_session_timeout = {ms}"))
        .await
        .unwrap();
}

/// Limits a session's statements to 0.1 s.
pub(crate) fn statement_limit(_: ServerKind) -> &'static str {
    "SET statement_timeout = 100"
}

/// Settings of a session that could cut a wait short, or turn its timeout into another error.
pub(crate) fn limits(kind: ServerKind) -> [&'static str; 2] {
    [statement_limit(kind), "SET lock_timeout = 100"]
}

// Statements that take time

/// A statement that takes 1.5 s.
pub(crate) const SLEEP: &str = "SELECT pg_sleep(1.5)";

/// An expression that takes 2 s.
pub(crate) const SLEEPING_EXPRESSION: &str = "(pg_sleep(2) IS NULL)::int";

/// Whether the server has refused to write a row that has changed since the transaction's snapshot.
pub(crate) fn is_snapshot_conflict(error: &diesel::result::Error) -> bool {
    matches!(
        error,
        diesel::result::Error::DatabaseError(
            diesel::result::DatabaseErrorKind::SerializationFailure,
            _
        )
    )
}

/// Makes other sessions that read the table wait until [`unblock_tables`].
#[both]
pub(crate) async fn block_table(conn: &mut Conn, table: &str) {
    conn.batch_execute(&format!("BEGIN; LOCK TABLE {table}"))
        .await
        .unwrap();
}

#[both]
pub(crate) async fn unblock_tables(conn: &mut Conn) {
    conn.batch_execute("COMMIT").await.unwrap();
}
