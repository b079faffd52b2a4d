//! Waiting for a lock that another session has.

use std::time::Duration;

use data_encoding::HEXLOWER;
use diesel::RunQueryDsl;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text};
use sha2::{Digest, Sha256};

use super::code;
use crate::backend::Refusal;
use crate::backend::sealed::Session as _;
use crate::transaction;

/// "Forever" as the servers take it, some 32 years: MariaDB refuses a negative number, and above
/// about 1.7e10 it does not wait at all.
const FOREVER_SECONDS: f64 = 1e9;

/// With a statement that is prepared anew each time.
pub(super) fn wait_for(
    conn: &mut MysqlConnection,
    name: &str,
    wait: Duration,
) -> Result<(), Refusal> {
    let timeout = || Refusal::Timeout {
        server_name: name.to_owned(),
    };
    if wait.is_zero() {
        return Err(timeout());
    }
    match (WaitFor { name, wait }).get_result::<Option<i64>>(conn) {
        Ok(Some(1)) => Ok(()),
        Ok(Some(_)) => Err(timeout()),
        Ok(None) => Err(Refusal::Interrupted(None)),
        Err(error) => {
            let refusal = match code::of_last_error(conn) {
                Some(code::QUERY_TIMEOUT) if limit_in_ms(wait).is_some() => timeout(),
                Some(code::LOCK_DEADLOCK | code::USER_LOCK_DEADLOCK) => Refusal::Deadlock {
                    server_name: name.to_owned(),
                    error,
                },
                code => code::refusal(code, error),
            };
            // The limit or the kill may strike just after the lock was granted. It was not held before,
            // so one release leaves nothing behind.
            if conn.release(name).is_err() {
                transaction::mark_broken(conn);
            }
            Err(refusal)
        }
    }
}

/// `MAX_EXECUTION_TIME` for a wait, rounded up, since 0 would mean no limit. `None` if it is
/// more than the hint takes, 49 days, where a part of a second no longer matters.
fn limit_in_ms(wait: Duration) -> Option<u32> {
    u32::try_from(wait.as_nanos().div_ceil(1_000_000)).ok()
}

/// A wait in seconds, as either server takes it.
fn seconds(wait: Duration) -> f64 {
    wait.as_secs_f64().min(FOREVER_SECONDS)
}

/// `GET_LOCK` to the millisecond. MySQL rounds it to whole seconds, but keeps to the hint, which takes a
/// literal only and ends the statement with an error; MariaDB ignores the hint and takes the
/// fraction.
struct WaitFor<'n> {
    name: &'n str,
    wait: Duration,
}

impl QueryFragment<Mysql> for WaitFor<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // Each number is another statement, which would fill the connection's cache.
        out.unsafe_to_cache_prepared();
        out.push_sql("SELECT ");
        if let Some(ms) = limit_in_ms(self.wait) {
            out.push_sql(&format!("/*+ MAX_EXECUTION_TIME({ms}) */ "));
        }
        out.push_sql("GET_LOCK(");
        out.push_bind_param::<Text, _>(self.name)?;
        let exact = seconds(self.wait);
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

impl RunQueryDsl<MysqlConnection> for WaitFor<'_> {}

const MARK_CHARS: usize = 16;

/// MariaDB lists who waits, with the statement, but not what for: the name is a parameter. So the statement has a
/// comment that tells, which is no text of anybody's but a hash.
pub(super) fn mark(server_name: &str) -> String {
    let hash = Sha256::digest(server_name);
    HEXLOWER.encode(&hash[..MARK_CHARS / 2])
}

fn comment(server_name: &str) -> String {
    format!("{COMMENT}{} */", mark(server_name))
}

const COMMENT: &str = " /* waits for lock ";

pub(super) fn mark_in(statement: &str) -> Option<&str> {
    let (_, mark) = statement.split_once(COMMENT)?;
    mark.get(..MARK_CHARS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use diesel::debug_query;
    use diesel::mysql::Mysql;

    use super::WaitFor;

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

    /// MariaDB refuses negative numbers, and returns at once from about 1.7e10 seconds on.
    #[test]
    fn forever_is_large_and_finite() {
        let sent = sql(Duration::MAX);
        assert!(!sent.contains("MAX_EXECUTION_TIME"), "{sent}");
        assert!(sent.contains("1000000000.000000, 1000000000)"), "{sent}");
    }

    #[test]
    fn what_the_hint_cannot_take_goes_without() {
        let longest = Duration::from_millis(u32::MAX.into());
        assert!(sql(longest).contains("MAX_EXECUTION_TIME(4294967295)"));
        let longer = sql(longest + Duration::from_millis(1));
        assert!(!longer.contains("MAX_EXECUTION_TIME"), "{longer}");
        assert!(longer.contains(", 4294968))"), "{longer}");
    }
}
