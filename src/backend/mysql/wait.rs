//! Waiting for a lock that another session has.

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

/// The most that a `MAX_EXECUTION_TIME` hint takes, 49 days. What is longer takes several statements.
const MAX_WAIT: Duration = Duration::from_millis(u32::MAX as u64);

/// Waits with a statement that is prepared anew each time. `None` is forever.
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
                // The session keeps no diagnostics, but is alive: it has reached the limit.
                None if is_alive && elapsed >= wait => timeout(),
                _ => failure.into_acquire_error(),
            })
        }
    }
}

/// The limit or the kill may come just after the lock was granted. It was not held before, so one
/// release leaves nothing behind. Returns whether the session is alive.
async fn leave_nothing_behind<D: Driver<Db = Mysql>>(driver: &mut D, key: &Key) -> bool {
    match release(driver, key, TransactionContext::Transaction).await {
        ReleaseAnswer::NotHeld | ReleaseAnswer::Released { still_held: false } => true,
        _ => {
            end_session(driver).await;
            false
        }
    }
}

/// `GET_LOCK` to the millisecond. MySQL rounds it to whole seconds, but keeps to the hint, which takes a literal only,
/// ends the statement with an error, and goes before the session's `max_execution_time`. MariaDB ignores the hint, takes
/// the fraction, and has the session's `max_statement_time` lifted for this statement.
struct WaitFor<'n> {
    name: &'n str,
    wait: Duration,
}

impl QueryFragment<Mysql> for WaitFor<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // Each number is another statement, which would fill the connection's cache.
        out.unsafe_to_cache_prepared();
        // Rounded up, since 0 would mean no limit.
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

/// MariaDB lists which sessions wait, with their statement, but not the lock: its name is a
/// parameter. So the statement has a comment with a hash of the name.
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

    /// A hint of 0 would mean no limit.
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
