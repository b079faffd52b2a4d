//! For how long the server bears with an idle session: `wait_timeout`, in whole seconds.
//!
//! Sources: [MySQL's manual][my], [MariaDB's page][maria].
//!
//! [my]: https://dev.mysql.com/doc/refman/9.7/en/server-system-variables.html#sysvar_wait_timeout
//! [maria]: https://mariadb.com/kb/en/server-system-variables/#wait_timeout

use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::mysql::MysqlConnection;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Unsigned};

use super::statement::Uncached;

/// A year, the most that either server takes. In strict mode MariaDB refuses more.
const LONGEST: u64 = 365 * 24 * 60 * 60;

/// Gives the limit that was there, if it was shorter and has been raised.
pub(super) fn raise_limit(
    conn: &mut MysqlConnection,
    at_least: Duration,
) -> QueryResult<Option<Duration>> {
    const GET: Uncached<'_, Unsigned<BigInt>> =
        Uncached::new(&["SELECT CAST(@@SESSION.wait_timeout AS UNSIGNED)"]);
    let limit = Duration::from_secs(GET.get_result(conn)?);
    if limit >= at_least.min(Duration::from_secs(LONGEST)) {
        return Ok(None);
    }
    set_limit(conn, at_least)?;
    Ok(Some(limit))
}

pub(super) fn set_limit(conn: &mut MysqlConnection, limit: Duration) -> QueryResult<()> {
    const SET: &[&str] = &["SET SESSION wait_timeout = CAST(", " AS UNSIGNED)"];
    let up = u64::from(limit.subsec_nanos() > 0);
    let seconds = limit.as_secs().saturating_add(up).min(LONGEST).to_string();
    Uncached::<()>::about(&seconds, SET).execute(conn).map(drop)
}
