//! Server error codes, by which errors are told apart. Diesel passes on the message only, which `lc_messages`
//! translates.
//!
//! Sources: [MySQL's reference][my], [MariaDB's][maria].
//!
//! [my]: https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html
//! [maria]: https://mariadb.com/kb/en/mariadb-error-code-reference/

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Nullable};

use super::statement::{Uncached, confirms};
use crate::backend::Refusal;

/// MariaDB's deadlock of user locks, and either server's of row locks.
pub(super) const LOCK_DEADLOCK: i64 = 1213;
/// MySQL's deadlock of user locks.
pub(super) const USER_LOCK_DEADLOCK: i64 = 3058;
/// `KILL QUERY`, or a server that is stopping.
pub(super) const QUERY_INTERRUPTED: i64 = 1317;
/// A table that the account may not read, or a column of it.
pub(super) const TABLE_ACCESS_DENIED: i64 = 1142;
pub(super) const SELECT_DENIED: i64 = 1143;
/// `information_schema` has no such table: a plugin is missing.
pub(super) const UNKNOWN_TABLE: i64 = 1109;
/// A statement that requires a privilege which the account does not have.
pub(super) const PRIVILEGE_MISSING: i64 = 1227;
/// MariaDB's `max_statement_time`.
pub(super) const STATEMENT_TIMEOUT: i64 = 1969;
/// MySQL's `MAX_EXECUTION_TIME`, as hint or as variable.
pub(super) const QUERY_TIMEOUT: i64 = 3024;
/// A statement that would read more rows than `max_join_size` permits.
pub(super) const TOO_BIG_SELECT: i64 = 1104;
/// The server has as many prepared statements as `max_prepared_stmt_count` permits.
const TOO_MANY_PREPARED_STATEMENTS: i64 = 1461;

/// Errors by which the server refuses a statement as it is prepared, or prepared anew since a table has changed:
/// no schema, table, column or function of that name, no privilege, a table that `LOCK TABLES` left out, a view
/// that no longer fits, too many rows to read, and no room for another prepared statement.
const BEFORE_EXECUTION: [i64; 16] = [
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
    TOO_BIG_SELECT,
    TOO_MANY_PREPARED_STATEMENTS,
];

/// A statement that failed.
pub(super) struct Failure {
    pub(super) error: DieselError,
    pub(super) code: Option<i64>,
}

impl Failure {
    /// To be asked before the connection is used again.
    pub(super) fn of(conn: &mut MysqlConnection, error: DieselError) -> Self {
        Failure {
            code: code_of(conn, &error),
            error,
        }
    }

    /// Whether the statement may have begun to run, so that its effect is unknown. If Diesel keeps the statement, it must
    /// not run again: after an error while its result is read, libmariadb waits for the rest of that result for ever.
    pub(super) fn may_have_run(&self) -> bool {
        may_have_run(&self.error, self.code)
    }

    pub(super) fn may_have_run_on(conn: &mut MysqlConnection, error: &DieselError) -> bool {
        may_have_run(error, code_of(conn, error))
    }

    pub(super) fn refusal(self) -> Refusal {
        match self.code {
            Some(QUERY_INTERRUPTED | STATEMENT_TIMEOUT | QUERY_TIMEOUT) => {
                Refusal::Interrupted(Some(self.error))
            }
            _ => Refusal::Database(self.error),
        }
    }
}

fn code_of(conn: &mut MysqlConnection, error: &DieselError) -> Option<i64> {
    match error {
        DieselError::DatabaseError(..) => of_last_error(conn),
        _ => None,
    }
}

fn may_have_run(error: &DieselError, code: Option<i64>) -> bool {
    match (error, code) {
        (DieselError::DatabaseError(..), Some(code)) => !BEFORE_EXECUTION.contains(&code),
        // Without a row, as under `sql_select_limit = 0`, nothing was evaluated.
        (DieselError::NotFound | DieselError::QueryBuilderError(_), _) => false,
        _ => true,
    }
}

/// `None` if it cannot be had: the connection is gone, or the session keeps no diagnostics (`max_error_count = 0`).
pub(super) fn of_last_error(conn: &mut MysqlConnection) -> Option<i64> {
    const GET: Uncached<Nullable<BigInt>> =
        Uncached::new(&["SELECT CAST(@diesel_advisory_lock_errno AS SIGNED)"]);
    conn.batch_execute("GET DIAGNOSTICS CONDITION 1 @diesel_advisory_lock_errno = MYSQL_ERRNO")
        .ok()?;
    match GET.get_result::<Option<i64>>(conn) {
        Ok(code) => code,
        // Not even this could be prepared, if that was the error.
        Err(_) => confirms(
            conn,
            &format!("@diesel_advisory_lock_errno = {TOO_MANY_PREPARED_STATEMENTS}"),
        )
        .then_some(TOO_MANY_PREPARED_STATEMENTS),
    }
}
