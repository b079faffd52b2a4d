//! Holders and waiters: `pg_locks` and `pg_stat_activity`.
//!
//! The queries have no time limit: one would take further round trips, and a transaction of the
//! caller's would keep it. They read the server's memory and small catalogs, and wait for no lock
//! but an ACCESS EXCLUSIVE lock on one of these, which only maintenance takes.
//!
//! Source: the manual on [`pg_locks`][locks] and [`pg_stat_activity`][activity].
//!
//! [locks]: https://www.postgresql.org/docs/18/view-pg-locks.html
//! [activity]: https://www.postgresql.org/docs/18/monitoring-stats.html

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Untyped};

use super::key::{Key, Target};
use super::query::TextQuery;
use super::wait;
use crate::backend::{HeldLock, HoldDuration, InspectError, LockStatus};
use crate::driver::Driver;
use crate::name::{ParsedLockName, PostgresKey};
use crate::name_format::namespace_prefix;
use crate::session::{Activity, Session};
use crate::telemetry;

/// A session that holds a lock or waits for it. The columns of its activity are NULL if the account
/// may not see it.
#[derive(QueryableByName)]
struct Process {
    /// NULL for a prepared transaction.
    #[diesel(sql_type = Nullable<Integer>)]
    pid: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    user_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    host_name: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    seconds: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    statement: Option<String>,
}

/// The columns of [`Process`], from `pg_locks AS l` and `pg_stat_activity AS a`.
macro_rules! process {
    () => {
        concat!(
            "l.pid, a.usename::text AS user_name, coalesce(host(a.client_addr) || ':' || \
             a.client_port, 'local') AS host_name, CASE WHEN a.state_change IS NOT NULL THEN \
             floor(extract(epoch FROM clock_timestamp() - ",
            since!(),
            "))::bigint END AS seconds, CASE WHEN a.state NOT LIKE 'idle%' THEN \
             left(a.query, 1000) END AS statement"
        )
    };
}

/// Since when a waiter waits (14 and later), and a holder is idle or in its statement.
macro_rules! since {
    () => {
        "CASE WHEN l.granted THEN a.state_change ELSE coalesce((to_jsonb(l) ->> \
         'waitstart')::timestamptz, a.state_change) END"
    };
}

/// Whether a row of `pg_locks AS l` is an advisory lock of this database.
const IN_DATABASE: &str = "l.locktype = 'advisory' AND l.database = \
     (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

/// The locks of a key, as a FROM item and a condition.
fn locks_of(target: &Target) -> (String, &'static str) {
    (
        format!("pg_catalog.pg_locks AS l, {}", target.table_sql()),
        target.columns().is_listed,
    )
}

/// Returns another session that holds a lock.
pub(super) async fn holder<D: Driver<Db = Pg>>(driver: &mut D, key: &Key) -> Option<Session> {
    let (from, is_listed) = locks_of(&key.resolved());
    let sql = format!(
        concat!(
            "SELECT ",
            process!(),
            " FROM {} LEFT JOIN LATERAL (SELECT * FROM pg_catalog.pg_stat_activity \
             WHERE pid = l.pid) AS a ON true WHERE {} AND l.granted \
             AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() AND {} \
             ORDER BY a.state_change, l.pid LIMIT 1"
        ),
        from, IN_DATABASE, is_listed
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
    Session::new(connection_id(pid), activity)
}

fn connection_id(pid: Option<i32>) -> u64 {
    pid.map_or(0, |pid| u64::from(pid.unsigned_abs()))
}

pub(super) async fn status<D: Driver<Db = Pg>>(
    driver: &mut D,
    target: Target,
) -> QueryResult<LockStatus> {
    #[derive(QueryableByName)]
    struct Holder {
        #[diesel(sql_type = Nullable<Integer>)]
        pid: Option<i32>,
        #[diesel(sql_type = Bool)]
        is_here: bool,
    }
    let (from, is_listed) = locks_of(&target);
    let sql = format!(
        "SELECT l.pid, l.pid IS NOT DISTINCT FROM pg_catalog.pg_backend_pid() AS is_here FROM \
         {from} \
         WHERE {IN_DATABASE} AND l.granted AND {is_listed} ORDER BY is_here DESC, l.pid LIMIT 1"
    );
    let holders: Vec<Holder> = driver.load_all(TextQuery::<Untyped>::new(sql)).await?;
    Ok(match holders.first() {
        None => LockStatus::Free,
        Some(holder) if holder.is_here => LockStatus::HeldHere,
        Some(holder) => LockStatus::HeldBy {
            connection_id: connection_id(holder.pid),
        },
    })
}

/// A row of `pg_locks`.
#[derive(QueryableByName)]
struct Listed {
    #[diesel(sql_type = BigInt)]
    high: i64,
    #[diesel(sql_type = BigInt)]
    low: i64,
    #[diesel(sql_type = Integer)]
    kind: i32,
    #[diesel(sql_type = Bool)]
    is_shared: bool,
    #[diesel(sql_type = Bool)]
    is_granted: bool,
    /// The session's statement, or its last one, if it names a lock.
    #[diesel(sql_type = Nullable<Text>)]
    naming: Option<String>,
    #[diesel(embed)]
    process: Process,
}

impl Listed {
    fn key(&self) -> PostgresKey {
        // Each half has 32 bits.
        match self.kind {
            2 => PostgresKey::Two(self.high as i32, self.low as i32),
            _ => PostgresKey::One(self.high << 32 | self.low),
        }
    }
}

/// The sessions of a lock.
#[derive(Default)]
struct Sessions {
    is_exclusive: bool,
    holders: Vec<Session>,
    waiters: Vec<Session>,
}

pub(super) async fn held_locks<D: Driver<Db = Pg>>(
    driver: &mut D,
) -> Result<Vec<HeldLock>, InspectError> {
    let sql = format!(
        concat!(
            "SELECT l.classid::bigint AS high, l.objid::bigint AS low, l.objsubid::int AS kind, \
             l.mode = 'ShareLock' AS is_shared, l.granted AS is_granted, \
             CASE WHEN a.query LIKE '%/* lock %' THEN a.query END AS naming, ",
            process!(),
            " FROM pg_catalog.pg_locks AS l LEFT JOIN pg_catalog.pg_stat_activity AS a \
             ON a.pid = l.pid WHERE {} ORDER BY ",
            since!(),
            ", l.pid"
        ),
        IN_DATABASE
    );
    let query = TextQuery::<Untyped>::new(sql);
    let rows: Vec<Listed> = driver.load_all(query).await.map_err(database)?;
    let names = names(driver, &rows).await.map_err(database)?;
    let mut locks: BTreeMap<PostgresKey, Sessions> = BTreeMap::new();
    for row in rows {
        let sessions = locks.entry(row.key()).or_default();
        let session = session(row.process);
        if !row.is_granted {
            sessions.waiters.push(session);
            continue;
        }
        sessions.is_exclusive |= !row.is_shared;
        // A session is listed twice if it holds the lock in both modes.
        let id = session.connection_id;
        if id == 0 || !sessions.holders.iter().any(|it| it.connection_id == id) {
            sessions.holders.push(session);
        }
    }
    let locks = locks
        .into_iter()
        .filter_map(|(key, sessions)| lock(key, names.get(&key), sessions));
    Ok(locks.collect())
}

/// The names of locks of which a statement tells the name.
async fn names<D: Driver<Db = Pg>>(
    driver: &mut D,
    rows: &[Listed],
) -> QueryResult<HashMap<PostgresKey, String>> {
    #[derive(QueryableByName)]
    struct Schema {
        #[diesel(sql_type = Text)]
        schema: String,
    }
    let statements = rows.iter().filter_map(|row| row.naming.as_deref());
    let texts: BTreeSet<&str> = statements.flat_map(wait::names_in).collect();
    if texts.is_empty() {
        return Ok(HashMap::new());
    }
    let query = "SELECT nspname::text AS schema FROM pg_catalog.pg_namespace";
    let schemas: Vec<Schema> = driver.load_all(TextQuery::<Untyped>::new(query)).await?;
    let schemas: Vec<String> = schemas.into_iter().map(|row| row.schema).collect();
    let keys = rows.iter().map(Listed::key).collect();
    Ok(names_of_keys(&keys, &texts, &schemas))
}

/// The names whose keys are among these. A text is a full or exact name, or has no namespace.
fn names_of_keys(
    keys: &BTreeSet<PostgresKey>,
    texts: &BTreeSet<&str>,
    schemas: &[String],
) -> HashMap<PostgresKey, String> {
    let namespaces: BTreeSet<[u8; 8]> = iter::once("")
        .chain(schemas.iter().map(String::as_str))
        .map(namespace_prefix)
        .collect();
    let names = texts.iter().flat_map(|text| {
        let in_namespace = |prefix: &[u8; 8]| {
            let mut name: String = prefix.iter().copied().map(char::from).collect();
            name.push('/');
            name + text
        };
        iter::once((*text).to_owned()).chain(namespaces.iter().map(in_namespace))
    });
    names
        .map(|name| (PostgresKey::of_full_name(&name), name))
        .filter(|(key, _)| keys.contains(key))
        .collect()
}

/// `None` if the lock was released between two sessions.
fn lock(key: PostgresKey, name: Option<&String>, sessions: Sessions) -> Option<HeldLock> {
    let mut holders = sessions.holders.into_iter();
    let holder = holders.next()?;
    let held_for = match &holder.activity {
        Some(activity) if !may_be_acquiring(activity) => activity.elapsed,
        _ => Duration::ZERO,
    };
    Some(HeldLock {
        name: match name {
            Some(name) => ParsedLockName::of_known_name(name.clone()),
            None => ParsedLockName::of_unknown_name(key),
        },
        postgres_key: Some(key),
        holder,
        is_shared: !sessions.is_exclusive,
        other_holders: holders.collect(),
        held_for: HoldDuration::AtLeast(held_for),
        waiters: sessions.waiters,
    })
}

/// Whether the statement may have acquired a lock: the names of all functions that do, and this
/// crate's settings, contain the word.
fn may_be_acquiring(activity: &Activity) -> bool {
    let statement = activity.statement.as_deref().unwrap_or_default();
    statement.to_ascii_lowercase().contains("advisory")
}

fn database(source: diesel::result::Error) -> InspectError {
    InspectError::Database { source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: &[PostgresKey], text: &str) -> Vec<String> {
        let keys = keys.iter().copied().collect();
        let schemas = ["public".to_owned(), "app".to_owned()];
        let names = names_of_keys(&keys, &BTreeSet::from([text]), &schemas);
        names.into_values().collect()
    }

    /// `a172cedc` is the namespace of the schema `app`.
    #[test]
    fn names_are_reported_only_if_their_key_is_held() {
        let key = PostgresKey::One(4878127644074511631);
        let name = "a172cedc/notifications:42";
        assert_eq!(found(&[key], "notifications:42"), [name]);
        assert_eq!(found(&[key], name), [name]);
        assert!(found(&[key], "notifications:43").is_empty());
        assert!(found(&[PostgresKey::One(1)], "notifications:42").is_empty());
        assert!(found(&[PostgresKey::One(42)], "42").is_empty());
    }

    #[test]
    fn names_without_a_table_are_in_the_empty_namespace() {
        let key = PostgresKey::of_full_name("e3b0c442/=nightly");
        assert_eq!(found(&[key], "=nightly"), ["e3b0c442/=nightly"]);
    }

    #[test]
    fn exact_names_are_their_own_full_names() {
        let key = PostgresKey::of_full_name("by-hand");
        assert_eq!(found(&[key], "by-hand"), ["by-hand"]);
    }

    #[test]
    fn keys_are_put_together_from_their_halves() {
        let listed = |high: i64, low, kind| Listed {
            high,
            low,
            kind,
            is_shared: false,
            is_granted: true,
            naming: None,
            process: Process {
                pid: None,
                user_name: None,
                host_name: None,
                seconds: None,
                statement: None,
            },
        };
        let all = 0xFFFF_FFFF;
        assert_eq!(listed(all, all, 1).key(), PostgresKey::One(-1));
        assert_eq!(listed(0, 42, 1).key(), PostgresKey::One(42));
        assert_eq!(listed(all, 2, 2).key(), PostgresKey::Two(-1, 2));
    }
}
