//! Server error codes, which are read from the server: Diesel passes on only the message, which
//! `lc_messages` translates.
//!
//! Sources: [MySQL's reference][my], [MariaDB's][maria].
//!
//! [my]: https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html
//! [maria]: https://mariadb.com/kb/en/mariadb-error-code-reference/

use diesel::mysql::Mysql;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Nullable};

use super::key::Key;
use super::query::{UncachedQuery, confirms};
use crate::backend::AcquireError;
use crate::driver::Driver;

/// MariaDB's deadlock of user locks, and either server's of row locks.
pub(super) const LOCK_DEADLOCK: i64 = 1213;
/// MySQL's deadlock of user locks.
pub(super) const USER_LOCK_DEADLOCK: i64 = 3058;
/// `KILL QUERY`, or a shutdown.
pub(super) const QUERY_INTERRUPTED: i64 = 1317;
/// The account may not read a table, or a column of it.
pub(super) const TABLE_ACCESS_DENIED: i64 = 1142;
pub(super) const SELECT_DENIED: i64 = 1143;
/// `information_schema` has no such table: a plugin is missing.
pub(super) const UNKNOWN_TABLE: i64 = 1109;
/// The account lacks a privilege for the statement.
pub(super) const PRIVILEGE_MISSING: i64 = 1227;
/// MariaDB's `max_statement_time`.
pub(super) const STATEMENT_TIMEOUT: i64 = 1969;
/// MySQL's `MAX_EXECUTION_TIME`, as a hint or a variable.
pub(super) const QUERY_TIMEOUT: i64 = 3024;
/// A number that is too large.
pub(super) const OUT_OF_RANGE: i64 = 1690;
/// The statement would read more rows than `max_join_size` permits.
pub(super) const TOO_BIG_SELECT: i64 = 1104;
/// The server cannot prepare such a statement.
const UNSUPPORTED_STATEMENT: i64 = 1295;
/// The server has as many prepared statements as `max_prepared_stmt_count` permits.
const TOO_MANY_PREPARED_STATEMENTS: i64 = 1461;

/// Errors with which the server refuses a statement when it is prepared, or prepared again after a
/// table has changed.
///
/// They are an unknown schema, table, column or function, a missing privilege, a table outside of
/// `LOCK TABLES`, an invalid view, too many rows to read, a statement that cannot be prepared, or
/// too many prepared statements.
const BEFORE_EXECUTION: [i64; 17] = [
    1044,
    1046,
    1049,
    1054,
    1064,
    1100,
    TABLE_ACCESS_DENIED,
    SELECT_DENIED,
    1146,
    1305,
    1356,
    1370,
    UNKNOWN_TABLE,
    PRIVILEGE_MISSING,
    UNSUPPORTED_STATEMENT,
    TOO_BIG_SELECT,
    TOO_MANY_PREPARED_STATEMENTS,
];

/// A statement that failed.
pub(super) struct Failure {
    pub(super) error: DieselError,
    pub(super) code: Option<i64>,
}

impl Failure {
    /// Reads the error's code. Call it before the connection is used again.
    pub(super) async fn of<D: Driver<Db = Mysql>>(driver: &mut D, error: DieselError) -> Self {
        Failure {
            code: code_of(driver, &error).await,
            error,
        }
    }

    /// Whether the statement may have begun to run, so that its effect is unknown.
    ///
    /// If Diesel has cached the statement, it must not run again: after an error while its result
    /// is read, libmariadb waits forever for the rest of that result.
    pub(super) fn may_have_run(&self) -> bool {
        may_have_run(&self.error, self.code)
    }

    pub(super) fn into_acquire_error(self) -> AcquireError<Key> {
        match self.code {
            Some(QUERY_INTERRUPTED | STATEMENT_TIMEOUT | QUERY_TIMEOUT) => {
                AcquireError::Interrupted(Some(self.error))
            }
            _ => AcquireError::Database(self.error),
        }
    }
}

/// Like [`Failure::may_have_run`], for a borrowed error.
pub(super) async fn error_may_have_run<D: Driver<Db = Mysql>>(
    driver: &mut D,
    error: &DieselError,
) -> bool {
    let code = code_of(driver, error).await;
    may_have_run(error, code)
}

async fn code_of<D: Driver<Db = Mysql>>(driver: &mut D, error: &DieselError) -> Option<i64> {
    match error {
        DieselError::DatabaseError(..) => match of_last_error(driver).await {
            // The error may be that of another statement, and so the code.
            Some(code) if BEFORE_EXECUTION.contains(&code) && !driver.answers_in_turn().await => {
                None
            }
            code => code,
        },
        _ => None,
    }
}

fn may_have_run(error: &DieselError, code: Option<i64>) -> bool {
    match (error, code) {
        (DieselError::DatabaseError(..), Some(code)) => !BEFORE_EXECUTION.contains(&code),
        // Without a row, such as under `sql_select_limit = 0`, nothing was evaluated.
        (DieselError::NotFound | DieselError::QueryBuilderError(_), _) => false,
        _ => true,
    }
}

/// Returns the code of the session's last error, or `None` if the connection is lost or the session
/// keeps no diagnostics (`max_error_count = 0`).
pub(super) async fn of_last_error<D: Driver<Db = Mysql>>(driver: &mut D) -> Option<i64> {
    const SET: &str = "GET DIAGNOSTICS CONDITION 1 @diesel_advisory_lock_errno = MYSQL_ERRNO";
    const GET: UncachedQuery<'_, Nullable<BigInt>> =
        UncachedQuery::new(&["SELECT CAST(@diesel_advisory_lock_errno AS SIGNED)"]);
    driver.batch(SET).await.ok()?;
    match driver.load_one(GET).await {
        Ok(code) => code,
        // After that error this query cannot be prepared either.
        Err(_) => confirms(
            driver,
            &format!("@diesel_advisory_lock_errno = {TOO_MANY_PREPARED_STATEMENTS}"),
        )
        .await
        .then_some(TOO_MANY_PREPARED_STATEMENTS),
    }
}
