//! Who holds what: `IS_USED_LOCK`, the list of processes, and what each server keeps of its locks.
//!
//! Sources: MySQL's manual on [`metadata_locks`][my] and [`threads`][threads], MariaDB's page on
//! [`metadata_lock_info`][maria]; and `tests/servers/inspect.rs`, which asks both.
//!
//! [my]: https://dev.mysql.com/doc/refman/9.7/en/performance-schema-metadata-locks-table.html
//! [threads]: https://dev.mysql.com/doc/refman/9.7/en/performance-schema-threads-table.html
//! [maria]: https://mariadb.com/kb/en/metadata-lock-info-plugin/

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::mysql::MysqlConnection;
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Unsigned};
use diesel::{OptionalExtension, RunQueryDsl};

use super::statement::{Uncached, big_select};
use super::{code, namespace, wait};
use crate::backend::Wanted;
use crate::locks::{Activity, HeldFor, HeldLock, InspectError, LockStatus, Session, WrittenName};
use crate::observe;

type Id = Unsigned<BigInt>;

/// User, host, seconds and statement of a process; NULL all of them, if it is not seen.
type Seen = (
    Nullable<Text>,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<Text>,
);
type SeenRow = (Option<String>, Option<String>, Option<i64>, Option<String>);

/// No more of a statement is looked at: some are of megabytes.
macro_rules! statement_start {
    ($of:literal) => {
        concat!("LEFT(", $of, ", 1000)")
    };
}

/// The columns of [`Seen`] in the list of processes that both servers have.
macro_rules! process {
    () => {
        concat!(
            "p.USER, p.HOST, CAST(p.TIME AS SIGNED), ",
            statement_start!("p.INFO")
        )
    };
}

/// Either server's limit on a statement: a second. Each reads the other's as a comment.
macro_rules! bounded_select {
    () => {
        "/*M!100100 SET STATEMENT max_statement_time = 1 FOR */ SELECT /*+ MAX_EXECUTION_TIME(1000) */ "
    };
}

/// Who holds a lock; `None` also if the server does not tell, as TiDB does not: it answers 1.
pub(super) fn holder(conn: &mut MysqlConnection, server_name: &str) -> Option<Session> {
    const HOLDER: &[&str] = &[
        concat!(
            bounded_select!(),
            "IF(VERSION() LIKE '%TiDB%', NULL, CAST(IS_USED_LOCK("
        ),
        ") AS UNSIGNED))",
    ];
    let id = Uncached::<Nullable<Id>>::about(server_name, HOLDER)
        .get_result::<Option<u64>>(conn)
        .unwrap_or_else(|error| not_told(server_name, &error))?;
    let activity = activity_of(conn, id).unwrap_or_else(|error| not_told(server_name, &error));
    Some(Session::new(id, activity))
}

fn not_told<T>(server_name: &str, error: &DieselError) -> Option<T> {
    observe::look_up_failed(server_name, error);
    None
}

fn activity_of(conn: &mut MysqlConnection, id: u64) -> QueryResult<Option<Activity>> {
    const ACTIVITY: &[&str] = &[
        concat!(
            bounded_select!(),
            process!(),
            " FROM information_schema.PROCESSLIST p WHERE p.ID = "
        ),
        "",
    ];
    let row = Uncached::<Seen>::about(&id.to_string(), ACTIVITY)
        .get_result(conn)
        .optional()?;
    Ok(row.and_then(activity))
}

pub(super) fn status(conn: &mut MysqlConnection, name: Wanted<'_>) -> QueryResult<LockStatus> {
    const STATUS: &[&str] = &[
        "SELECT CAST(IS_USED_LOCK(",
        ") AS UNSIGNED), CAST(CONNECTION_ID() AS UNSIGNED)",
    ];
    let name = match name {
        Wanted::InSession(text) => [&namespace::peek(conn)?, "/", text].concat(),
        Wanted::Whole(name) => name,
    };
    let query = Uncached::<(Nullable<Id>, Id)>::about(&name, STATUS);
    let (holder, here) = query.get_result::<(Option<u64>, u64)>(conn)?;
    Ok(match holder {
        None => LockStatus::Free,
        Some(id) if id == here => LockStatus::HeldHere,
        Some(connection_id) => LockStatus::HeldBy { connection_id },
    })
}

pub(super) fn held_locks(conn: &mut MysqlConnection) -> Result<Vec<HeldLock>, InspectError> {
    const IS_MARIADB: Uncached<'_, Bool> = Uncached::new(&["SELECT VERSION() LIKE '%MariaDB%'"]);
    if IS_MARIADB.get_result(conn).map_err(database)? {
        held_on_mariadb(conn)
    } else {
        held_on_mysql(conn)
    }
}

/// A holder or a waiter: the lock's name, the connection, whether the lock is granted, and what the session does.
type OnMysql = (Text, Nullable<Id>, Bool, Seen);

fn held_on_mysql(conn: &mut MysqlConnection) -> Result<Vec<HeldLock>, InspectError> {
    const LOCKS: Uncached<'_, OnMysql> = Uncached::new(&[concat!(
        big_select!(select),
        "l.OBJECT_NAME, t.PROCESSLIST_ID, l.LOCK_STATUS = 'GRANTED', \
         t.PROCESSLIST_USER, t.PROCESSLIST_HOST, CAST(t.PROCESSLIST_TIME AS SIGNED), ",
        statement_start!("t.PROCESSLIST_INFO"),
        " FROM performance_schema.metadata_locks l \
         LEFT JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID \
         WHERE l.OBJECT_TYPE = 'USER LEVEL LOCK'"
    )]);
    // A session that reads the table holds a lock on it. If not even that is there, nothing is recorded.
    const RECORDS: Uncached<'_, Bool> = Uncached::new(&[concat!(
        big_select!(select),
        "COUNT(*) > 0 FROM performance_schema.metadata_locks WHERE OBJECT_TYPE = 'TABLE'"
    )]);
    let rows = LOCKS
        .get_results::<(String, Option<u64>, bool, SeenRow)>(conn)
        .map_err(|source| match code::of_last_error(conn) {
            Some(code::TABLE_ACCESS_DENIED | code::SELECT_DENIED) => InspectError::MissingGrant {
                remedy: "`GRANT SELECT ON performance_schema.metadata_locks TO <account>` and \
                         `GRANT SELECT ON performance_schema.threads TO <account>`",
                source,
            },
            _ => database(source),
        })?;
    // Read after the locks, so that it counts whatever they lack.
    let lost = lost_on_mysql(conn).map_err(database)?;
    if rows.is_empty() && lost == 0 && !RECORDS.get_result(conn).map_err(database)? {
        return Err(InspectError::NotRecorded {
            remedy: "start it with `performance_schema = ON`, and run `UPDATE performance_schema.setup_instruments \
                     SET ENABLED = 'YES' WHERE NAME = 'wait/lock/metadata/sql/mdl'`",
        });
    }
    let mut held = BTreeMap::new();
    let mut waiting = Vec::new();
    for (name, id, is_granted, seen) in rows {
        let (Some(name), Some(id)) = (WrittenName::parse(&name), id) else {
            continue;
        };
        let session = Session::new(id, activity(seen));
        if is_granted {
            // A session that holds a lock several times has it here once.
            held.insert(name.as_str().to_owned(), lock(name, session, None));
        } else {
            waiting.push((name, session));
        }
    }
    for (name, waiter) in waiting {
        if let Some(lock) = held.get_mut(name.as_str()) {
            lock.waiters.push(waiter);
        }
    }
    let held = held.into_values().collect();
    if lost > 0 {
        return Err(InspectError::Incomplete {
            held,
            lost,
            remedy: "raise `performance_schema_max_metadata_locks` in the server's configuration, \
                     and restart the server",
        });
    }
    Ok(held)
}

/// How many metadata locks of any kind MySQL had no room to record, since its start or the last
/// `FLUSH STATUS`. Any account may read it, under any `max_join_size`, since MySQL finds a single
/// status variable by its name.
fn lost_on_mysql(conn: &mut MysqlConnection) -> QueryResult<u64> {
    const LOST: Uncached<'_, (Text, Text)> = Uncached::new(&[
        "SHOW GLOBAL STATUS WHERE Variable_name = 'Performance_schema_metadata_lock_lost'",
    ]);
    let lost = LOST.get_result::<(String, String)>(conn).optional()?;
    Ok(lost.and_then(|(_, lost)| lost.parse().ok()).unwrap_or(0))
}

fn held_on_mariadb(conn: &mut MysqlConnection) -> Result<Vec<HeldLock>, InspectError> {
    const LOCKS: Uncached<'_, (Text, Id, Nullable<BigInt>, Seen)> = Uncached::new(&[concat!(
        big_select!(),
        "l.TABLE_SCHEMA, l.THREAD_ID, CAST(l.LOCK_TIME_MS AS SIGNED), ",
        process!(),
        " FROM information_schema.METADATA_LOCK_INFO l \
         LEFT JOIN information_schema.PROCESSLIST p ON p.ID = l.THREAD_ID \
         WHERE l.LOCK_TYPE = 'User lock'"
    )]);
    const WAITERS: Uncached<'_, (Id, Seen)> = Uncached::new(&[concat!(
        big_select!(),
        "CAST(p.ID AS UNSIGNED), ",
        process!(),
        " FROM information_schema.PROCESSLIST p WHERE p.STATE = 'User lock'"
    )]);
    let rows = LOCKS
        .get_results::<(String, u64, Option<i64>, SeenRow)>(conn)
        .map_err(|source| match code::of_last_error(conn) {
            Some(code::UNKNOWN_TABLE) => InspectError::MissingPlugin {
                remedy: "`INSTALL SONAME 'metadata_lock_info'`",
                source,
            },
            _ => database(source),
        })?;
    let waiting = WAITERS
        .get_results::<(u64, SeenRow)>(conn)
        .map_err(database)?;
    let mut held = BTreeMap::new();
    for (name, id, age, seen) in rows {
        if let Some(name) = WrittenName::parse(&name) {
            let session = Session::new(id, activity(seen));
            held.insert(wait::mark(name.as_str()), lock(name, session, age));
        }
    }
    for (id, seen) in waiting {
        let mark = seen.3.as_deref().and_then(wait::mark_in);
        if let Some(lock) = mark.and_then(|mark| held.get_mut(mark)) {
            lock.waiters.push(Session::new(id, activity(seen)));
        }
    }
    Ok(held.into_values().collect())
}

fn lock(name: WrittenName, holder: Session, age_in_ms: Option<i64>) -> HeldLock {
    let ms = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let held_for = match (age_in_ms, &holder.activity) {
        (Some(age), _) => HeldFor::Exactly(ms(age)),
        // It may have got the lock by this very statement, at its end.
        (None, Some(activity)) if !activity.is_acquiring() => HeldFor::AtLeast(activity.elapsed),
        (None, _) => HeldFor::AtLeast(Duration::ZERO),
    };
    HeldLock {
        name,
        holder,
        held_for,
        waiters: Vec::new(),
    }
}

fn activity((user, host, seconds, statement): SeenRow) -> Option<Activity> {
    Some(Activity {
        user: user?,
        host: host.unwrap_or_default(),
        elapsed: Duration::from_secs(u64::try_from(seconds?).unwrap_or(0)),
        statement,
    })
}

impl Activity {
    fn is_acquiring(&self) -> bool {
        let statement = self.statement.as_deref().unwrap_or_default();
        statement.contains("GET_LOCK(")
    }
}

fn database(source: DieselError) -> InspectError {
    InspectError::Database { source }
}
