//! PostgreSQL: the connection, the statements that differ from those of other servers, and the
//! operations that only this server has.

#[cfg(feature = "async")]
pub(crate) mod asynchronous;
mod session_changes;
mod shared;
mod until_commit;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_advisory_lock::LockName;
use stress_check::history::OpFault;
use test_server::ServerKind;

use crate::model::{DATABASE, Target, initial_rows};
use crate::work::{Entry, entry};
use crate::worker::Op;

pub(crate) type Conn = PgConnection;

pub(crate) fn is_supported(kind: ServerKind) -> bool {
    kind.is_postgres()
}

pub(crate) static OPERATIONS: &[Entry] = &[
    entry::<until_commit::UntilCommit>(),
    entry::<until_commit::TryUntilCommit>(),
    entry::<until_commit::UntilCommitSet>(),
    entry::<until_commit::Crossing>(),
    entry::<shared::Run>(),
    entry::<shared::TryRun>(),
    entry::<shared::Transaction>(),
    entry::<shared::Acquire>(),
    entry::<shared::Set>(),
    entry::<shared::UntilCommit>(),
    entry::<shared::InExclusive>(),
    entry::<shared::Upgrade>(),
    entry::<session_changes::RawBegin>(),
    entry::<session_changes::RawBeginInBody>(),
    entry::<session_changes::StatementTimeout>(),
    entry::<session_changes::Settings>(),
    entry::<session_changes::DiscardAll>(),
];

/// Restores the defaults of a session.
pub(crate) const DEFAULTS: &str = "ROLLBACK; RESET statement_timeout; RESET search_path";

pub(crate) const LOAD_COUNTER: &str = "SELECT id, value FROM counters WHERE id = $1";

/// A lock that a session acquires without the library, in addition to the library's own, is not
/// noticed at the release. So no call leaks one.
pub(crate) const ACQUIRE_BY_SQL: Option<fn(&LockName) -> String> = None;

/// The schema of the tables.
const SCHEMA: &str = "public";

/// Returns the URL for the sessions of a worker, and what the names of their sources start with:
/// some workers have transactions above READ COMMITTED.
pub(crate) fn sessions_of_worker(url: &str, worker: u32) -> (String, &'static str) {
    match worker % 4 {
        2 => (
            format!("{url}?options=-c%20default_transaction_isolation%3Drepeatable%5C%20read"),
            "repeatable-read-",
        ),
        // A sequential scan would make all transactions conflict.
        3 => (
            format!(
                "{url}?options=-c%20default_transaction_isolation%3Dserializable\
                 %20-c%20enable_seqscan%3Doff"
            ),
            "serializable-",
        ),
        _ => (url.to_owned(), ""),
    }
}

/// Creates the database with all counters at 0.
pub(crate) fn create(server_url: &str) -> anyhow::Result<()> {
    let (counters, labels) = initial_rows();
    let mut conn = Conn::establish(server_url)?;
    conn.batch_execute(&format!("CREATE DATABASE {DATABASE}"))?;
    let (server, _) = server_url.rsplit_once('/').unwrap_or_default();
    let mut conn = Conn::establish(&format!("{server}/{DATABASE}"))?;
    conn.batch_execute(&format!(
        "CREATE TABLE counters (id bigint PRIMARY KEY, value bigint NOT NULL);
         INSERT INTO counters VALUES {counters};
         CREATE COLLATION case_insensitive
             (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE labels (name text COLLATE case_insensitive PRIMARY KEY);
         INSERT INTO labels VALUES {labels};"
    ))?;
    Ok(())
}

/// The number of a lock.
fn key(name: &LockName, target: Target) -> i64 {
    name.postgres_key(match target {
        Target::Job(_) => "",
        _ => SCHEMA,
    })
}

/// The number of a lock in `pg_locks`.
const LISTED_KEY: &str = "(classid::bigint << 32 | objid::bigint)";

/// The rows of `pg_locks` that are held advisory locks.
const HELD: &str = "locktype = 'advisory' AND objsubid = 1 AND granted AND pid IS NOT NULL";

fn is_shared(operation: &str) -> bool {
    operation.starts_with("shared")
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

pub(crate) fn holder_sql(target: Target, operation: &str) -> String {
    let names = target.names();
    let keys: Vec<_> = names
        .iter()
        .map(|name| key(name, target).to_string())
        .collect();
    let mode = match is_shared(operation) {
        true => "ShareLock",
        false => "ExclusiveLock",
    };
    format!(
        "SELECT pg_backend_pid()::bigint AS session, CASE WHEN \
         (SELECT count(DISTINCT {LISTED_KEY}) FROM pg_locks WHERE {HELD} AND mode = '{mode}' \
         AND pid = pg_backend_pid() AND {LISTED_KEY} IN ({keys})) = {count} \
         THEN pg_backend_pid()::bigint \
         ELSE (SELECT min(pid)::bigint FROM pg_locks WHERE {HELD} AND pid <> pg_backend_pid() \
         AND {LISTED_KEY} IN ({keys})) END AS holder",
        keys = keys.join(", "),
        count = keys.len(),
    )
}

#[derive(QueryableByName)]
pub(crate) struct Answer {
    #[diesel(sql_type = Bool)]
    pub(crate) answer: bool,
}

/// Releases the lock of a call without the library. A lock of a transaction ends only with it.
pub(crate) fn steal(op: &Op<'_>, conn: &mut Conn) -> QueryResult<()> {
    let mut ask = |sql: String| -> QueryResult<bool> {
        let answer: Answer = diesel::sql_query(sql).get_result(conn)?;
        Ok(answer.answer)
    };
    op.inject(OpFault::Theft);
    ask(unlock_sql(op.target, op.operation))?;
    if ask(holds_sql(op.target))? {
        op.inject(OpFault::VainTheft);
        if op.random_below(2) == 0 {
            op.inject(OpFault::Theft);
            conn.batch_execute("ROLLBACK; BEGIN")?;
        }
    }
    Ok(())
}

pub(crate) fn unlock_sql(target: Target, operation: &str) -> String {
    let key = key(&target.name(), target);
    let suffix = if is_shared(operation) { "_shared" } else { "" };
    format!("SELECT pg_advisory_unlock{suffix}({key}) AS answer")
}

/// Whether the session holds the lock.
fn holds_sql(target: Target) -> String {
    let key = key(&target.name(), target);
    format!(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE {HELD} AND pid = pg_backend_pid() \
         AND {LISTED_KEY} = {key}) AS answer"
    )
}

/// All locks of the stress test, as a FROM item.
fn all_locks() -> String {
    let rows = Target::all().map(|target| {
        let name = target.name();
        format!("('{name}', ({})::bigint)", key(&name, target))
    });
    let rows: Vec<_> = rows.collect();
    format!("(VALUES {}) AS known (name, key)", rows.join(", "))
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
    format!(
        "SELECT pg_backend_pid()::bigint AS session, coalesce((SELECT string_agg(name, '+') \
         FROM {}, pg_locks WHERE {HELD} AND {LISTED_KEY} = key AND pid = pg_backend_pid()), '') \
         AS names",
        all_locks()
    )
}

/// A worker's session.
#[derive(QueryableByName)]
pub(crate) struct Session {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Bool)]
    waits: bool,
}

impl Session {
    pub(crate) fn waits_for_a_lock(&self) -> bool {
        self.waits
    }
}

/// The sessions of the workers.
pub(crate) fn sessions(conn: &mut Conn) -> QueryResult<Vec<Session>> {
    diesel::sql_query(format!(
        "SELECT pid::bigint AS id, \
         coalesce(wait_event_type = 'Lock' AND wait_event = 'advisory', false) AS waits \
         FROM pg_stat_activity WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid() \
         AND backend_type = 'client backend'"
    ))
    .load(conn)
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    session: i64,
}

/// The locks that are held, and the sessions that hold them.
pub(crate) fn holders(conn: &mut Conn) -> QueryResult<Vec<(String, i64)>> {
    let held: Vec<Held> = diesel::sql_query(format!(
        "SELECT name, pid::bigint AS session FROM {}, pg_locks WHERE {HELD} \
         AND {LISTED_KEY} = key",
        all_locks()
    ))
    .load(conn)?;
    Ok(held.into_iter().map(|it| (it.name, it.session)).collect())
}

/// Ends a session. Returns `false` if it has ended before.
pub(crate) fn end_session(conn: &mut Conn, session: i64) -> bool {
    signal(conn, "pg_terminate_backend", session)
}

/// Interrupts the statement of a session. Returns `false` if the session has ended.
pub(crate) fn interrupt(conn: &mut Conn, session: i64) -> bool {
    signal(conn, "pg_cancel_backend", session)
}

fn signal(conn: &mut Conn, function: &str, session: i64) -> bool {
    // The number may be that of a process of the server itself, which has no session.
    let query = diesel::sql_query(format!(
        "SELECT CASE WHEN EXISTS (SELECT FROM pg_stat_activity WHERE pid = {session} \
         AND datname = '{DATABASE}') THEN {function}({session}) ELSE false END AS answer"
    ));
    let answer: QueryResult<Answer> = query.get_result(conn);
    answer.is_ok_and(|it| it.answer)
}

/// Makes the server end new sessions that are idle for a second, or no more.
pub(crate) fn set_idle_timeout(conn: &mut Conn, is_short: bool) -> QueryResult<()> {
    for setting in [
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
    ] {
        let change = match is_short {
            true => format!("SET {setting} = '1s'"),
            false => format!("RESET {setting}"),
        };
        conn.batch_execute(&format!("ALTER DATABASE {DATABASE} {change}"))?;
    }
    Ok(())
}
