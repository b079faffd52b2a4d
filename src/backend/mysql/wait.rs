//! Waits for a lock that another session holds.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
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
    is_mysql: bool,
) -> Result<(), AcquireError<Key>> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(AcquireError::Timeout { key: key.clone() });
        }
        let wait = left.unwrap_or(MAX_WAIT).min(MAX_WAIT);
        let (waited, result) = match whole_seconds(wait).filter(|_| is_mysql) {
            Some(seconds) => (
                Duration::from_secs(seconds.into()),
                wait_for_seconds(driver, key, seconds).await,
            ),
            None => (wait, wait_for(driver, key, wait).await),
        };
        let is_last = left.is_some_and(|left| left <= waited);
        match result {
            Err(AcquireError::Timeout { .. }) if !is_last => {}
            ended => return ended,
        }
    }
}

/// The seconds of a wait that MySQL can wait for with a cached statement, which takes no fraction.
/// A fraction that is left takes another statement, and a new place in the server's queue. So only
/// a long wait may have one.
fn whole_seconds(wait: Duration) -> Option<u32> {
    let ms = wait.as_nanos().div_ceil(1_000_000);
    let seconds = u32::try_from(ms / 1_000).ok()?;
    let is_whole = seconds > 0 && ms.is_multiple_of(1_000);
    (is_whole || seconds >= 10).then_some(seconds)
}

async fn wait_for_seconds<D: Driver<Db = Mysql>>(
    driver: &mut D,
    key: &Key,
    seconds: u32,
) -> Result<(), AcquireError<Key>> {
    let start = Instant::now();
    let query = WaitForSeconds {
        name: key.as_ref(),
        seconds: seconds.into(),
    };
    match driver.execute(query).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let wait = Duration::from_secs(seconds.into());
            Err(failed(driver, key, error, start, wait).await)
        }
    }
}

async fn wait_for<D: Driver<Db = Mysql>>(
    driver: &mut D,
    key: &Key,
    wait: Duration,
) -> Result<(), AcquireError<Key>> {
    let start = Instant::now();
    let name = key.as_ref();
    match driver.load_one(WaitFor { name, wait }).await {
        Ok(Some(1_i64)) => Ok(()),
        Ok(Some(_)) => Err(AcquireError::Timeout { key: key.clone() }),
        Ok(None) => Err(AcquireError::Interrupted(None)),
        Err(error) => Err(failed(driver, key, error, start, wait).await),
    }
}

/// Undoes a wait that failed.
async fn failed<D: Driver<Db = Mysql>>(
    driver: &mut D,
    key: &Key,
    error: DieselError,
    start: Instant,
    wait: Duration,
) -> AcquireError<Key> {
    let elapsed = start.elapsed();
    let failure = Failure::of(driver, error).await;
    let is_alive = leave_nothing_behind(driver, key).await;
    match failure.code {
        Some(error_code::QUERY_TIMEOUT) => AcquireError::Timeout { key: key.clone() },
        // Not compared exactly, since the server has another clock.
        Some(error_code::OUT_OF_RANGE) if elapsed >= wait / 2 => {
            AcquireError::Timeout { key: key.clone() }
        }
        Some(error_code::LOCK_DEADLOCK | error_code::USER_LOCK_DEADLOCK) => {
            AcquireError::Deadlock {
                key: key.clone(),
                error: failure.error,
            }
        }
        // Without diagnostics there is no code, but a live session has reached the limit.
        None if is_alive && elapsed >= wait => AcquireError::Timeout { key: key.clone() },
        _ => failure.into_acquire_error(),
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

/// `GET_LOCK` with a timeout in whole seconds, on MySQL. It is prepared once for each connection.
///
/// A cached statement that is killed must have no result set, see [`Failure::may_have_run`], so that
/// each other answer than 1 must be an error, [`error_code::OUT_OF_RANGE`]. It is no subquery, which
/// a server may evaluate before the wait. `SET` is not limited by `max_execution_time`. On MariaDB the statement would
/// have to contain the lock's name, see [`lock_tag`]. There `DO` succeeds even in a deadlock.
struct WaitForSeconds<'n> {
    name: &'n str,
    seconds: i64,
}

impl QueryFragment<Mysql> for WaitForSeconds<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SET @diesel_advisory_lock_wait = IF(GET_LOCK(");
        push_text(&mut out, &self.name)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.seconds)?;
        out.push_sql(") <=> 1, 1, EXP(1000 + CONNECTION_ID())) /* waits for lock */");
        Ok(())
    }
}

// With a static id Diesel caches the statement. The derive does not remove lifetimes.
impl QueryId for WaitForSeconds<'_> {
    type QueryId = WaitForSeconds<'static>;
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

    use super::{MAX_WAIT, WaitFor, whole_seconds};

    fn sql(wait: Duration) -> String {
        debug_query::<Mysql, _>(&WaitFor { name: "n", wait }).to_string()
    }

    #[test]
    fn a_wait_of_whole_seconds_or_ten_has_a_cached_statement() {
        let seconds = |ms| whole_seconds(Duration::from_millis(ms));
        assert_eq!(seconds(999), None);
        assert_eq!(seconds(1_000), Some(1));
        assert_eq!(seconds(1_001), None);
        assert_eq!(seconds(9_999), None);
        assert_eq!(seconds(10_001), Some(10));
        // The attempt before has taken a part of a millisecond.
        assert_eq!(whole_seconds(Duration::from_micros(44_999_300)), Some(45));
        assert_eq!(whole_seconds(Duration::from_micros(44_998_900)), Some(44));
        assert_eq!(whole_seconds(MAX_WAIT), Some(4_294_967));
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
