//! Holders and waiters: `IS_USED_LOCK`, the list of processes, and each server's list of locks.
//!
//! Sources: MySQL's manual on [`metadata_locks`][my] and [`threads`][threads], MariaDB's page on
//! [`metadata_lock_info`][maria]; and `tests/mysql/inspect.rs`, which asks both.
//!
//! [my]: https://dev.mysql.com/doc/refman/9.7/en/performance-schema-metadata-locks-table.html
//! [threads]: https://dev.mysql.com/doc/refman/9.7/en/performance-schema-threads-table.html
//! [maria]: https://mariadb.com/kb/en/metadata-lock-info-plugin/

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::mysql::Mysql;
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Unsigned, Untyped};

use super::key::Key;
use super::query::{UncachedQuery, big_select};
use super::{error_code, namespace, wait};
use crate::backend::{HeldLock, HoldDuration, InspectError, LockStatus};
use crate::driver::Driver;
use crate::name::{KeySource, ParsedLockName};
use crate::session::{Activity, Session};
use crate::telemetry;

type Id = Unsigned<BigInt>;

/// What a session is doing. All columns are NULL if the account may not see it.
#[derive(QueryableByName)]
struct Process {
    #[diesel(sql_type = Nullable<Text>)]
    user_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    host_name: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    seconds: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    statement: Option<String>,
}

/// The start of a statement, since some have megabytes.
macro_rules! statement_start {
    ($of:literal) => {
        concat!("LEFT(", $of, ", 1000)")
    };
}

/// The columns of [`Process`] in the list of processes that both servers have.
macro_rules! process {
    () => {
        concat!(
            "p.USER AS user_name, p.HOST AS host_name, CAST(p.TIME AS SIGNED) AS seconds, ",
            statement_start!("p.INFO"),
            " AS statement"
        )
    };
}

/// A SELECT limited to one second, for both servers: each reads the other's limit as a comment.
macro_rules! bounded_select {
    () => {
        "/*M!100100 SET STATEMENT max_statement_time = 1 FOR */ SELECT /*+ MAX_EXECUTION_TIME(1000) */ "
    };
}

/// Returns the session that holds a lock. `None` also if the server does not report it: TiDB
/// answers 1.
pub(super) async fn holder<D: Driver<Db = Mysql>>(driver: &mut D, key: &Key) -> Option<Session> {
    const HOLDER: &[&str] = &[
        concat!(
            bounded_select!(),
            "IF(VERSION() LIKE '%TiDB%', NULL, CAST(IS_USED_LOCK("
        ),
        ") AS UNSIGNED))",
    ];
    let failed = |error: &DieselError| telemetry::holder_lookup_failed(key.as_ref(), error);
    let query = UncachedQuery::<Nullable<Id>>::with(key.as_ref(), HOLDER);
    let id: Option<u64> = driver.load_one(query).await.inspect_err(failed).ok()?;
    let id = id?;
    let activity = activity_of(driver, id).await.inspect_err(failed);
    Some(Session::new(id, activity.unwrap_or_default()))
}

async fn activity_of<D: Driver<Db = Mysql>>(
    driver: &mut D,
    id: u64,
) -> QueryResult<Option<Activity>> {
    const ACTIVITY: &[&str] = &[
        concat!(
            bounded_select!(),
            process!(),
            " FROM information_schema.PROCESSLIST p WHERE p.ID = "
        ),
        "",
    ];
    let id = id.to_string();
    let query = UncachedQuery::<Untyped>::with(&id, ACTIVITY);
    let processes: Vec<Process> = driver.load_all(query).await?;
    Ok(processes.into_iter().next().and_then(activity))
}

pub(super) async fn status<D: Driver<Db = Mysql>>(
    driver: &mut D,
    lock: KeySource<'_>,
) -> QueryResult<LockStatus> {
    #[derive(QueryableByName)]
    struct Status {
        #[diesel(sql_type = Nullable<Id>)]
        holder: Option<u64>,
        #[diesel(sql_type = Id)]
        here: u64,
    }
    const STATUS: &[&str] = &[
        "SELECT CAST(IS_USED_LOCK(",
        ") AS UNSIGNED) AS holder, CAST(CONNECTION_ID() AS UNSIGNED) AS here",
    ];
    let namespace = match lock {
        KeySource::InSessionNamespace { .. } => namespace::peek(driver).await?,
        KeySource::FullName(_) | KeySource::PostgresKey(..) => String::new(),
    };
    let name = lock.full_name(&namespace);
    let query = UncachedQuery::<Untyped>::with(&name, STATUS);
    let status: Vec<Status> = driver.load_all(query).await?;
    let Status { holder, here } = status.into_iter().next().ok_or(DieselError::NotFound)?;
    Ok(match holder {
        None => LockStatus::Free,
        Some(id) if id == here => LockStatus::HeldHere,
        Some(connection_id) => LockStatus::HeldBy { connection_id },
    })
}

pub(super) async fn held_locks<D: Driver<Db = Mysql>>(
    driver: &mut D,
) -> Result<Vec<HeldLock>, InspectError> {
    const IS_MARIADB: UncachedQuery<'_, Bool> =
        UncachedQuery::new(&["SELECT VERSION() LIKE '%MariaDB%'"]);
    if driver.load_one(IS_MARIADB).await.map_err(database)? {
        held_on_mariadb(driver).await
    } else {
        held_on_mysql(driver).await
    }
}

/// A lock that a session holds or waits for.
#[derive(QueryableByName)]
struct OnMysql {
    #[diesel(sql_type = Text)]
    lock_name: String,
    #[diesel(sql_type = Nullable<Id>)]
    connection: Option<u64>,
    #[diesel(sql_type = Bool)]
    is_granted: bool,
    #[diesel(embed)]
    process: Process,
}

async fn held_on_mysql<D: Driver<Db = Mysql>>(
    driver: &mut D,
) -> Result<Vec<HeldLock>, InspectError> {
    const LOCKS: UncachedQuery<'_, Untyped> = UncachedQuery::new(&[concat!(
        big_select!(select),
        "l.OBJECT_NAME AS lock_name, t.PROCESSLIST_ID AS connection, \
         l.LOCK_STATUS = 'GRANTED' AS is_granted, t.PROCESSLIST_USER AS user_name, \
         t.PROCESSLIST_HOST AS host_name, CAST(t.PROCESSLIST_TIME AS SIGNED) AS seconds, ",
        statement_start!("t.PROCESSLIST_INFO"),
        " AS statement FROM performance_schema.metadata_locks l \
         LEFT JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID \
         WHERE l.OBJECT_TYPE = 'USER LEVEL LOCK'"
    )]);
    // A session that reads this table holds a metadata lock on it. If that is missing, MySQL
    // records no locks.
    const RECORDS: UncachedQuery<'_, Bool> = UncachedQuery::new(&[concat!(
        big_select!(select),
        "COUNT(*) > 0 FROM performance_schema.metadata_locks WHERE OBJECT_TYPE = 'TABLE'"
    )]);
    let rows: Vec<OnMysql> = match driver.load_all(LOCKS).await {
        Ok(rows) => rows,
        Err(source) => return Err(not_listed_by_mysql(driver, source).await),
    };
    // Read after the locks, so that it counts every lock that is missing from them.
    let lost = lost_on_mysql(driver).await.map_err(database)?;
    if rows.is_empty() && lost == 0 && !driver.load_one(RECORDS).await.map_err(database)? {
        return Err(InspectError::NotRecorded {
            remedy: "start the server with `performance_schema = ON`, and run `UPDATE \
                     performance_schema.setup_instruments SET ENABLED = 'YES' \
                     WHERE NAME = 'wait/lock/metadata/sql/mdl'`",
        });
    }
    let mut held = BTreeMap::new();
    let mut waiting = Vec::new();
    for row in rows {
        let (Some(name), Some(id)) = (ParsedLockName::parse(&row.lock_name), row.connection) else {
            continue;
        };
        let session = Session::new(id, activity(row.process));
        if row.is_granted {
            // A lock that a session holds several times is listed once.
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

async fn not_listed_by_mysql<D: Driver<Db = Mysql>>(
    driver: &mut D,
    source: DieselError,
) -> InspectError {
    match error_code::of_last_error(driver).await {
        Some(error_code::TABLE_ACCESS_DENIED | error_code::SELECT_DENIED) => {
            InspectError::MissingGrant {
                remedy: "`GRANT SELECT ON performance_schema.metadata_locks TO <account>` and \
                         `GRANT SELECT ON performance_schema.threads TO <account>`",
                source,
            }
        }
        _ => database(source),
    }
}

/// Returns how many metadata locks of any kind MySQL had no room to record since its start or the
/// last `FLUSH STATUS`. Any account may read it, under any `max_join_size`, since MySQL looks up a
/// single status variable by its name.
async fn lost_on_mysql<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<u64> {
    #[derive(QueryableByName)]
    struct Lost {
        #[diesel(sql_type = Text, column_name = "Value")]
        value: String,
    }
    const LOST: UncachedQuery<'_, Untyped> = UncachedQuery::new(&[
        "SHOW GLOBAL STATUS WHERE Variable_name = 'Performance_schema_metadata_lock_lost'",
    ]);
    let lost: Vec<Lost> = driver.load_all(LOST).await?;
    Ok(lost
        .first()
        .and_then(|lost| lost.value.parse().ok())
        .unwrap_or(0))
}

async fn held_on_mariadb<D: Driver<Db = Mysql>>(
    driver: &mut D,
) -> Result<Vec<HeldLock>, InspectError> {
    #[derive(QueryableByName)]
    struct Lock {
        #[diesel(sql_type = Text)]
        lock_name: String,
        #[diesel(sql_type = Id)]
        connection: u64,
        #[diesel(sql_type = Nullable<BigInt>)]
        age: Option<i64>,
        #[diesel(embed)]
        process: Process,
    }
    #[derive(QueryableByName)]
    struct Waiter {
        #[diesel(sql_type = Id)]
        connection: u64,
        #[diesel(embed)]
        process: Process,
    }
    const LOCKS: UncachedQuery<'_, Untyped> = UncachedQuery::new(&[concat!(
        big_select!(),
        "l.TABLE_SCHEMA AS lock_name, l.THREAD_ID AS connection, \
         CAST(l.LOCK_TIME_MS AS SIGNED) AS age, ",
        process!(),
        " FROM information_schema.METADATA_LOCK_INFO l \
         LEFT JOIN information_schema.PROCESSLIST p ON p.ID = l.THREAD_ID \
         WHERE l.LOCK_TYPE = 'User lock'"
    )]);
    const WAITERS: UncachedQuery<'_, Untyped> = UncachedQuery::new(&[concat!(
        big_select!(),
        "CAST(p.ID AS UNSIGNED) AS connection, ",
        process!(),
        " FROM information_schema.PROCESSLIST p WHERE p.STATE = 'User lock'"
    )]);
    let locks: Vec<Lock> = match driver.load_all(LOCKS).await {
        Ok(locks) => locks,
        Err(source) => {
            return Err(match error_code::of_last_error(driver).await {
                Some(error_code::UNKNOWN_TABLE) => InspectError::MissingPlugin {
                    remedy: "`INSTALL SONAME 'metadata_lock_info'`",
                    source,
                },
                _ => database(source),
            });
        }
    };
    let waiters: Vec<Waiter> = driver.load_all(WAITERS).await.map_err(database)?;
    let mut held = BTreeMap::new();
    for row in locks {
        if let Some(name) = ParsedLockName::parse(&row.lock_name) {
            let session = Session::new(row.connection, activity(row.process));
            held.insert(wait::lock_tag(name.as_str()), lock(name, session, row.age));
        }
    }
    for waiter in waiters {
        let tag = waiter
            .process
            .statement
            .as_deref()
            .and_then(wait::parse_lock_tag);
        if let Some(lock) = tag.and_then(|tag| held.get_mut(tag)) {
            let session = Session::new(waiter.connection, activity(waiter.process));
            lock.waiters.push(session);
        }
    }
    Ok(held.into_values().collect())
}

fn lock(name: ParsedLockName, holder: Session, age_in_ms: Option<i64>) -> HeldLock {
    let ms = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let held_for = match (age_in_ms, &holder.activity) {
        (Some(age), _) => HoldDuration::Exactly(ms(age)),
        // A holder in a `GET_LOCK` statement may have acquired the lock at the end of it.
        (None, Some(activity)) if !is_acquiring(activity) => {
            HoldDuration::AtLeast(activity.elapsed)
        }
        (None, _) => HoldDuration::AtLeast(Duration::ZERO),
    };
    HeldLock {
        name,
        postgres_key: None,
        holder,
        is_shared: false,
        other_holders: Vec::new(),
        held_for,
        waiters: Vec::new(),
    }
}

fn activity(process: Process) -> Option<Activity> {
    Some(Activity {
        user: process.user_name?,
        host: process.host_name.unwrap_or_default(),
        elapsed: Duration::from_secs(u64::try_from(process.seconds?).unwrap_or(0)),
        statement: process.statement,
    })
}

fn is_acquiring(activity: &Activity) -> bool {
    let statement = activity.statement.as_deref().unwrap_or_default();
    statement.contains("GET_LOCK(")
}

fn database(source: DieselError) -> InspectError {
    InspectError::Database { source }
}
