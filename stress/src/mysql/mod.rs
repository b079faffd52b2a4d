//! MySQL and MariaDB: the connection, the statements that differ from those of other servers, and
//! the operations that only these servers have.

#[cfg(feature = "async")]
pub(crate) mod asynchronous;
mod settings;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_advisory_lock::LockName;
use stress_check::history::OpFault;
use test_server::ServerKind;

use crate::model::{DATABASE, Target, initial_rows};
use crate::work::{Entry, entry};
use crate::worker::Op;

pub(crate) type Conn = MysqlConnection;

pub(crate) fn is_supported(kind: ServerKind) -> bool {
    !kind.is_postgres()
}

pub(crate) static OPERATIONS: &[Entry] = &[
    entry::<settings::Settings>(),
    entry::<settings::SettingsInBody>(),
    entry::<settings::SettingsInTransaction>(),
];

/// Restores the defaults of a session.
pub(crate) const DEFAULTS: &str = "SET autocommit = 1, completion_type = 'NO_CHAIN'";

pub(crate) const LOAD_COUNTER: &str = "SELECT id, value FROM counters WHERE id = ?";

/// Acquires a lock without the library.
pub(crate) const ACQUIRE_BY_SQL: Option<fn(&LockName) -> String> =
    Some(|name| format!("DO GET_LOCK('{}', 0)", name.full_name(DATABASE)));

/// Returns the URL for the sessions of a worker, and what the names of their sources start with.
pub(crate) fn sessions_of_worker(url: &str, _worker: u32) -> (String, &'static str) {
    (url.to_owned(), "")
}

/// Creates the database with all counters at 0.
pub(crate) fn create(server_url: &str) -> anyhow::Result<()> {
    let (counters, labels) = initial_rows();
    Conn::establish(server_url)?.batch_execute(&format!(
        "CREATE DATABASE {DATABASE};
         CREATE TABLE {DATABASE}.counters (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)
             ENGINE = InnoDB;
         INSERT INTO {DATABASE}.counters VALUES {counters};
         CREATE TABLE {DATABASE}.labels (name VARCHAR(20) PRIMARY KEY)
             CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci ENGINE = InnoDB;
         INSERT INTO {DATABASE}.labels VALUES {labels};"
    ))?;
    Ok(())
}

/// A session, and the holder of a call's locks.
#[derive(QueryableByName)]
pub(crate) struct Holder {
    #[diesel(sql_type = BigInt)]
    pub(crate) session: i64,
    /// This session if it holds all locks.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) holder: Option<i64>,
}

/// Asks the server for this session and for the holder of a call's locks.
pub(crate) fn holder(op: &Op<'_>, conn: &mut Conn) -> QueryResult<Holder> {
    diesel::sql_query(holder_sql(op.target, op.operation)).get_result(conn)
}

pub(crate) fn holder_sql(target: Target, _operation: &str) -> String {
    let conditions = target.names().into_iter().map(|name| {
        let full_name = name.full_name(DATABASE);
        format!("IS_USED_LOCK('{full_name}') <=> CONNECTION_ID()")
    });
    let ours = conditions.collect::<Vec<_>>().join(" AND ");
    let first = target.name().full_name(DATABASE);
    format!(
        "SELECT CAST(CONNECTION_ID() AS SIGNED) AS session, \
         CAST(IF({ours}, CONNECTION_ID(), \
         NULLIF(IS_USED_LOCK('{first}'), CONNECTION_ID())) AS SIGNED) AS holder"
    )
}

/// Releases the lock of a call without the library.
pub(crate) fn steal(op: &Op<'_>, conn: &mut Conn) -> QueryResult<()> {
    op.inject(OpFault::Theft);
    diesel::sql_query(unlock_sql(op.target, op.operation)).execute(conn)?;
    Ok(())
}

pub(crate) fn unlock_sql(target: Target, _operation: &str) -> String {
    let full_name = target.name().full_name(DATABASE);
    format!("DO RELEASE_LOCK('{full_name}')")
}

#[derive(QueryableByName)]
pub(crate) struct HeldBy {
    #[diesel(sql_type = BigInt)]
    pub(crate) session: i64,
    #[diesel(sql_type = Text)]
    pub(crate) names: String,
}

/// A session's number, and the locks that it holds.
pub(crate) fn held_by(conn: &mut Conn) -> QueryResult<(i64, String)> {
    let held: HeldBy = diesel::sql_query(held_by_sql()).get_result(conn)?;
    Ok((held.session, held.names))
}

pub(crate) fn held_by_sql() -> String {
    let columns: Vec<_> = Target::all()
        .map(|target| {
            let name = target.name();
            let full_name = name.full_name(DATABASE);
            format!("IF(IS_USED_LOCK('{full_name}') <=> CONNECTION_ID(), '{name}', NULL)")
        })
        .collect();
    format!(
        "SELECT CAST(CONNECTION_ID() AS SIGNED) AS session, CONCAT_WS('+', {}) AS names",
        columns.join(", ")
    )
}

/// A worker's session.
#[derive(QueryableByName)]
pub(crate) struct Session {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    state: Option<String>,
}

impl Session {
    /// MySQL and MariaDB have the same name for this state.
    pub(crate) fn waits_for_a_lock(&self) -> bool {
        self.state.as_deref() == Some("User lock")
    }
}

/// The sessions of the workers.
pub(crate) fn sessions(conn: &mut Conn) -> QueryResult<Vec<Session>> {
    diesel::sql_query(format!(
        "SELECT CAST(id AS SIGNED) AS id, state AS state FROM information_schema.processlist \
         WHERE db = '{DATABASE}' AND id <> CONNECTION_ID()"
    ))
    .load(conn)
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

/// The locks that are held, and the session that holds each.
pub(crate) fn holders(conn: &mut Conn) -> QueryResult<Vec<(String, i64)>> {
    let columns: Vec<_> = Target::all()
        .map(|target| {
            let name = target.name();
            let full_name = name.full_name(DATABASE);
            format!("CONCAT('{name} ', IS_USED_LOCK('{full_name}'))")
        })
        .collect();
    let query = format!("SELECT CONCAT_WS(',', {}) AS answer", columns.join(", "));
    let Answer { answer } = diesel::sql_query(query).get_result(conn)?;
    let holders = answer.split(',').filter_map(|part| part.split_once(' '));
    Ok(holders
        .filter_map(|(name, session)| Some((name.to_owned(), session.parse().ok()?)))
        .collect())
}

/// Ends a session. Returns `false` if it has ended before.
pub(crate) fn end_session(conn: &mut Conn, session: i64) -> bool {
    conn.batch_execute(&format!("KILL CONNECTION {session}"))
        .is_ok()
}

/// Interrupts the statement of a session. Returns `false` if the session has ended.
pub(crate) fn interrupt(conn: &mut Conn, session: i64) -> bool {
    conn.batch_execute(&format!("KILL QUERY {session}")).is_ok()
}

/// Makes the server end new sessions that are idle for a second, or no more.
pub(crate) fn set_idle_timeout(conn: &mut Conn, is_short: bool) -> QueryResult<()> {
    let seconds = if is_short { 1 } else { 28_800 };
    conn.batch_execute(&format!("SET GLOBAL wait_timeout = {seconds}"))
}
