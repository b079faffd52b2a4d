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

use super::statement::Uncached;
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
/// A statement that takes a privilege which the account has not.
pub(super) const PRIVILEGE_MISSING: i64 = 1227;
/// MariaDB's `max_statement_time`.
pub(super) const STATEMENT_TIMEOUT: i64 = 1969;
/// MySQL's `MAX_EXECUTION_TIME`, as hint or as variable.
pub(super) const QUERY_TIMEOUT: i64 = 3024;

/// A statement that would read more rows than `max_join_size` permits.
pub(super) const TOO_BIG_SELECT: i64 = 1104;

pub(super) fn refusal(code: Option<i64>, error: DieselError) -> Refusal {
    match code {
        Some(QUERY_INTERRUPTED | STATEMENT_TIMEOUT | QUERY_TIMEOUT) => {
            Refusal::Interrupted(Some(error))
        }
        _ => Refusal::Database(error),
    }
}

/// The code of the statement that failed last. Must come right after it; `None` if the server
/// cannot be asked or has not seen the error.
pub(super) fn of_last_error(conn: &mut MysqlConnection) -> Option<i64> {
    const GET: Uncached<Nullable<BigInt>> =
        Uncached::new(&["SELECT CAST(@diesel_advisory_lock_errno AS SIGNED)"]);
    conn.batch_execute("GET DIAGNOSTICS CONDITION 1 @diesel_advisory_lock_errno = MYSQL_ERRNO")
        .and_then(|()| GET.get_result::<Option<i64>>(conn))
        .ok()
        .flatten()
}
