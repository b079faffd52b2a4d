//! Waits for a lock that another session holds.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable};
use sha2::{Digest, Sha256};

use super::end_session::end_session;
use super::error_code::{self, Failure};
use super::key::Key;
use super::query::push_text;
use super::release::release;
use crate::backend::{AcquireError, ReleaseAnswer};
use crate::driver::Driver;
use crate::transaction::TransactionContext;

/// The maximum of a `MAX_EXECUTION_TIME` hint, 49 days. A longer wait takes several statements.
const MAX_WAIT: Duration = Duration::from_millis(u32::MAX as u64);

/// Waits until the lock is acquired or the deadline has passed. `None` means forever.
pub(super) async fn wait_until<D: Driver<Db = Mysql>>(
    driver: &mut D,
    key: &Key,
    deadline: Option<Instant>,
) -> Result<(), AcquireError<Key>> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(AcquireError::Timeout { key: key.clone() });
        }
        let wait = left.unwrap_or(MAX_WAIT).min(MAX_WAIT);
        let is_last = left == Some(wait);
        match wait_for(driver, key, wait).await {
            Err(AcquireError::Timeout { .. }) if !is_last => {}
            ended => return ended,
        }
    }
}

async fn wait_for<D: Driver<Db = Mysql>>(
    driver: &mut D,
    key: &Key,
    wait: Duration,
) -> Result<(), AcquireError<Key>> {
    let start = Instant::now();
    let timeout = || AcquireError::Timeout { key: key.clone() };
    let name = key.as_ref();
    match driver.load_one(WaitFor { name, wait }).await {
        Ok(Some(1_i64)) => Ok(()),
        Ok(Some(_)) => Err(timeout()),
        Ok(None) => Err(AcquireError::Interrupted(None)),
        Err(error) => {
            let elapsed = start.elapsed();
            let failure = Failure::of(driver, error).await;
            let is_alive = leave_nothing_behind(driver, key).await;
            Err(match failure.code {
                Some(error_code::QUERY_TIMEOUT) => timeout(),
                Some(error_code::LOCK_DEADLOCK | error_code::USER_LOCK_DEADLOCK) => {
                    AcquireError::Deadlock {
                        key: key.clone(),
                        error: failure.error,
                    }
                }
                // Without diagnostics there is no code, but a live session has reached the limit.
                None if is_alive && elapsed >= wait => timeout(),
                _ => failure.into_acquire_error(),
            })
        }
    }
}

/// Releases the lock once after an error, which may have come just after the lock was granted. It
/// was not held before, so one release suffices. Returns whether the session is alive.
async fn leave_nothing_behind<D: Driver<Db = Mysql>>(driver: &mut D, key: &Key) -> bool {
    match release(driver, key, TransactionContext::Transaction).await {
        ReleaseAnswer::NotHeld
        | ReleaseAnswer::Released {
            still_held: false, ..
        } => true,
        _ => {
            end_session(driver).await;
            false
        }
    }
}

/// `GET_LOCK` with a timeout in milliseconds.
///
/// MySQL rounds the timeout to whole seconds, but obeys the hint. The hint takes only a literal,
/// ends the statement with an error, and overrides the session's `max_execution_time`. MariaDB
/// ignores the hint and takes a fraction of seconds; `SET STATEMENT` lifts the session's
/// `max_statement_time`.
struct WaitFor<'n> {
    name: &'n str,
    wait: Duration,
}

impl QueryFragment<Mysql> for WaitFor<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // Each timeout is another statement, which would fill the connection's cache.
        out.unsafe_to_cache_prepared();
        // Rounded up, since 0 means no limit.
        let ms = self.wait.as_nanos().div_ceil(1_000_000);
        out.push_sql(&format!(
            "/*M!100100 SET STATEMENT max_statement_time = 0 FOR */ \
             SELECT /*+ MAX_EXECUTION_TIME({ms}) */ GET_LOCK("
        ));
        push_text(&mut out, &self.name)?;
        let exact = self.wait.as_secs_f64();
        let whole = exact.ceil();
        out.push_sql(&format!(
            ", IF(VERSION() LIKE '%MariaDB%', {exact:.6}, {whole:.0}))"
        ));
        out.push_sql(&comment(self.name));
        Ok(())
    }
}

impl QueryId for WaitFor<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for WaitFor<'_> {
    type SqlType = Nullable<BigInt>;
}

const TAG_CHARS: usize = 16;

/// A hash of the lock's name, for a comment in the statement. MariaDB lists waiting sessions with
/// their statements, but without the lock, whose name is a parameter.
pub(super) fn lock_tag(name: &str) -> String {
    let hash = Sha256::digest(name);
    HEXLOWER.encode(&hash[..TAG_CHARS / 2])
}

fn comment(name: &str) -> String {
    format!("{COMMENT}{} */", lock_tag(name))
}

const COMMENT: &str = " /* waits for lock ";

pub(super) fn parse_lock_tag(statement: &str) -> Option<&str> {
    let (_, tag) = statement.split_once(COMMENT)?;
    tag.get(..TAG_CHARS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use diesel::debug_query;
    use diesel::mysql::Mysql;

    use super::{MAX_WAIT, WaitFor};

    fn sql(wait: Duration) -> String {
        debug_query::<Mysql, _>(&WaitFor { name: "n", wait }).to_string()
    }

    #[test]
    fn a_wait_is_sent_to_the_millisecond() {
        let sent = sql(Duration::from_millis(1_500));
        assert!(sent.contains("MAX_EXECUTION_TIME(1500)"), "{sent}");
        assert!(sent.contains("1.500000, 2)"), "{sent}");
        let sent = sql(Duration::from_secs(45));
        assert!(sent.contains("MAX_EXECUTION_TIME(45000)"), "{sent}");
        assert!(sent.contains("45.000000, 45)"), "{sent}");
    }

    /// A hint of 0 means no limit.
    #[test]
    fn a_part_of_a_millisecond_is_rounded_up() {
        assert!(sql(Duration::from_nanos(1)).contains("MAX_EXECUTION_TIME(1)"));
        assert!(sql(Duration::from_micros(300_400)).contains("MAX_EXECUTION_TIME(301)"));
    }

    #[test]
    fn the_longest_wait_is_the_most_that_the_hint_takes() {
        let sent = sql(MAX_WAIT);
        assert!(sent.contains("MAX_EXECUTION_TIME(4294967295)"), "{sent}");
        assert!(sent.contains("4294967.295000, 4294968)"), "{sent}");
    }
}
