//! Holders and waiters: `pg_locks` and `pg_stat_activity`.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Untyped};

use super::key::{Key, Target};
use super::query::TextQuery;
use crate::backend::{HeldLock, InspectError, LockStatus};
use crate::driver::Driver;
use crate::session::{Activity, Session};
use crate::telemetry;

/// A session. The columns of its activity are NULL if the account may not see it.
#[derive(QueryableByName)]
struct Process {
    #[diesel(sql_type = Integer)]
    pid: i32,
    #[diesel(sql_type = Nullable<Text>)]
    user_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    host_name: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    seconds: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    statement: Option<String>,
}

/// The columns of [`Process`] but the first, from `pg_stat_activity AS a`.
const PROCESS: &str = "a.usename::text AS user_name, coalesce(host(a.client_addr) || ':' || \
     a.client_port, 'local') AS host_name, extract(epoch FROM clock_timestamp() - \
     a.state_change)::bigint AS seconds, CASE WHEN a.state = 'active' THEN left(a.query, 1000) \
     END AS statement";

/// The locks of a key, as a FROM item and a condition.
fn locks_of(target: &Target) -> (String, &'static str) {
    (
        format!("pg_catalog.pg_locks AS l, {}", target.from_item()),
        target.columns().is_listed,
    )
}

/// Returns a session that holds a lock.
pub(super) async fn holder<D: Driver<Db = Pg>>(driver: &mut D, key: &Key) -> Option<Session> {
    let (from, is_listed) = locks_of(&key.resolved());
    let sql = format!(
        "SELECT l.pid, {PROCESS} FROM {from} LEFT JOIN LATERAL (SELECT * FROM \
         pg_catalog.pg_stat_activity WHERE pid = l.pid) AS a ON true WHERE l.locktype = 'advisory' \
         AND l.granted AND l.pid IS NOT NULL AND l.pid <> pg_backend_pid() AND l.database = \
         (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
         AND {is_listed} ORDER BY l.pid LIMIT 1"
    );
    let failed = |error: &diesel::result::Error| {
        telemetry::holder_lookup_failed(key.as_ref(), error);
    };
    let query = TextQuery::<Untyped>::new(sql);
    let processes: Vec<Process> = driver.load_all(query).await.inspect_err(failed).ok()?;
    processes.into_iter().next().map(session)
}

fn session(process: Process) -> Session {
    let Process {
        pid,
        user_name,
        host_name,
        seconds,
        statement,
    } = process;
    let activity = user_name.zip(seconds).map(|(user, seconds)| Activity {
        user,
        host: host_name.unwrap_or_default(),
        elapsed: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        statement,
    });
    Session::new(u64::from(pid.unsigned_abs()), activity)
}

pub(super) async fn status<D: Driver<Db = Pg>>(
    driver: &mut D,
    target: Target,
) -> QueryResult<LockStatus> {
    #[derive(QueryableByName)]
    struct Holder {
        #[diesel(sql_type = Integer)]
        pid: i32,
        #[diesel(sql_type = diesel::sql_types::Bool)]
        is_here: bool,
    }
    let (from, is_listed) = locks_of(&target);
    let sql = format!(
        "SELECT l.pid, l.pid = pg_backend_pid() AS is_here FROM {from} WHERE \
         l.locktype = 'advisory' AND l.granted AND l.pid IS NOT NULL AND l.database = \
         (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
         AND {is_listed} ORDER BY is_here DESC, l.pid LIMIT 1"
    );
    let holders: Vec<Holder> = driver.load_all(TextQuery::<Untyped>::new(sql)).await?;
    Ok(match holders.first() {
        None => LockStatus::Free,
        Some(holder) if holder.is_here => LockStatus::HeldHere,
        Some(holder) => LockStatus::HeldBy {
            connection_id: u64::from(holder.pid.unsigned_abs()),
        },
    })
}

pub(super) async fn held_locks<D: Driver<Db = Pg>>(
    _driver: &mut D,
) -> Result<Vec<HeldLock>, InspectError> {
    Ok(Vec::new())
}
