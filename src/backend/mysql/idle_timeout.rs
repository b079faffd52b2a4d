//! The idle timeout of a session: `wait_timeout`, in whole seconds.
//!
//! Sources: [MySQL's manual][my], [MariaDB's page][maria].
//!
//! [my]: https://dev.mysql.com/doc/refman/9.7/en/server-system-variables.html#sysvar_wait_timeout
//! [maria]: https://mariadb.com/kb/en/server-system-variables/#wait_timeout

use std::time::Duration;

use diesel::mysql::Mysql;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Unsigned};

use super::query::UncachedQuery;
use crate::driver::Driver;

/// A year, the maximum on both servers. In strict mode MariaDB refuses more.
const MAX_SECONDS: u64 = 365 * 24 * 60 * 60;

/// Raises the timeout, and returns the previous one if it was shorter.
pub(super) async fn raise<D: Driver<Db = Mysql>>(
    driver: &mut D,
    at_least: Duration,
) -> QueryResult<Option<Duration>> {
    const GET: UncachedQuery<'_, Unsigned<BigInt>> =
        UncachedQuery::new(&["SELECT CAST(@@SESSION.wait_timeout AS UNSIGNED)"]);
    let timeout = Duration::from_secs(driver.load_one(GET).await?);
    if timeout >= at_least.min(Duration::from_secs(MAX_SECONDS)) {
        return Ok(None);
    }
    set(driver, at_least).await?;
    Ok(Some(timeout))
}

pub(super) async fn set<D: Driver<Db = Mysql>>(
    driver: &mut D,
    timeout: Duration,
) -> QueryResult<()> {
    const SET: &[&str] = &["SET SESSION wait_timeout = CAST(", " AS UNSIGNED)"];
    let up = u64::from(timeout.subsec_nanos() > 0);
    let seconds = timeout
        .as_secs()
        .saturating_add(up)
        .min(MAX_SECONDS)
        .to_string();
    let query = UncachedQuery::<()>::with(&seconds, SET);
    driver.execute(query).await.map(drop)
}
