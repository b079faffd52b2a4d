//! MySQL and MariaDB: all the SQL, with what the servers answer.
//!
//! Sources: the MySQL manual on [locking functions][my], MariaDB's pages on [`GET_LOCK`][maria]
//! and [`RELEASE_LOCK`][release], and, wherever these are silent or differ from what is seen, the
//! tests in `tests/servers/`, which run every statement here on both.
//!
//! | | answers |
//! |---|---|
//! | `GET_LOCK` | 1 acquired, 0 timed out, NULL interrupted (MariaDB) |
//! | `RELEASE_LOCK` | 1 released, 0 another session's, NULL nobody's |
//! | `IS_USED_LOCK` | the holder's connection id, NULL nobody's |
//!
//! `GET_LOCK` stands in the select list and last in it: there it is evaluated once, and whatever
//! was to be known from before has been evaluated already. (Under `FROM`, `WHERE` or `HAVING` it would
//! be evaluated any number of times.)
//!
//! [my]: https://dev.mysql.com/doc/refman/9.7/en/locking-functions.html
//! [maria]: https://mariadb.com/kb/en/get_lock/
//! [release]: https://mariadb.com/kb/en/release_lock/

use std::time::{Duration, Instant};

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::sealed::Session;
use super::{Acquired, LockConnection, Refusal, Request, Wait, Wanted};
use crate::transaction;

/// "Forever" as the servers take it, some 32 years: MariaDB refuses a negative number, and above
/// about 1.7e10 it does not wait at all.
const FOREVER_SECONDS: i64 = 1_000_000_000;

/// Server error codes. Diesel passes on the message only, which `lc_messages` translates.
/// <https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html>
/// <https://mariadb.com/kb/en/mariadb-error-code-reference/>
mod code {
    /// MariaDB's deadlock of user locks, and either server's of row locks.
    pub(super) const LOCK_DEADLOCK: i64 = 1213;
    /// MySQL's deadlock of user locks.
    pub(super) const USER_LOCK_DEADLOCK: i64 = 3058;
    /// `KILL QUERY`, or a server that is stopping.
    pub(super) const QUERY_INTERRUPTED: i64 = 1317;
    /// MariaDB's `max_statement_time`.
    pub(super) const STATEMENT_TIMEOUT: i64 = 1969;
    /// MySQL's `MAX_EXECUTION_TIME`, as hint or as variable.
    pub(super) const QUERY_TIMEOUT: i64 = 3024;
}

impl LockConnection for MysqlConnection {}

impl Session for MysqlConnection {
    fn acquire(&mut self, request: Request<'_>) -> Result<Acquired, Refusal> {
        let Request {
            name,
            wait,
            only_again,
        } = request;
        match &name {
            Wanted::InSession(text) => acquire(self, InSession(text), wait, only_again),
            Wanted::Whole(name) => acquire(self, Whole(name), wait, only_again),
        }
    }

    fn release(&mut self, server_name: &str) -> QueryResult<bool> {
        let answer = Release { server_name }.get_result::<Option<i64>>(self)?;
        Ok(answer == Some(1))
    }

    fn roll_back_everything(&mut self) -> QueryResult<()> {
        self.batch_execute("ROLLBACK")
    }
}

fn acquire<N: NameSql>(
    conn: &mut MysqlConnection,
    name: N,
    wait: Wait,
    only_again: bool,
) -> Result<Acquired, Refusal> {
    let start = Instant::now();
    let (seconds, exact_wait) = match Seconds::of(wait) {
        Seconds::Whole(seconds) => (seconds, None),
        Seconds::Fraction(wait) => (0, Some(wait)),
    };
    let asked = Acquire {
        name,
        only_again,
        seconds,
    };
    let (server_name, nested, answer) = match asked.get_result::<Answer>(conn) {
        Ok(answer) => answer,
        Err(error) => return Err(refusal_without_answer(conn, asked, error)),
    };
    match (answer, exact_wait) {
        (Some(1), _) => {}
        (None, _) if only_again => return Err(Refusal::NotHeld),
        (None, _) => return Err(Refusal::Interrupted(None)),
        (Some(_), None) => return Err(Refusal::Timeout),
        (Some(_), Some(wait)) => {
            wait_exactly(conn, &server_name, wait.saturating_sub(start.elapsed()))?;
        }
    }
    Ok(Acquired {
        server_name,
        nested,
    })
}

/// The second step of a wait for a fraction of a second, when the lock was found taken. It needs a
/// statement that is prepared anew, which an uncontended lock should not pay for, and it takes the
/// name that the first step told, so that both mean the same schema.
fn wait_exactly(conn: &mut MysqlConnection, name: &str, wait: Duration) -> Result<(), Refusal> {
    if wait.is_zero() {
        return Err(Refusal::Timeout);
    }
    match (WaitExactly { name, wait }).get_result::<Option<i64>>(conn) {
        Ok(Some(1)) => Ok(()),
        Ok(Some(_)) => Err(Refusal::Timeout),
        Ok(None) => Err(Refusal::Interrupted(None)),
        Err(error) => {
            let refusal = match last_error_code(conn) {
                Some(code::QUERY_TIMEOUT) => Refusal::Timeout,
                code => refusal(code, error),
            };
            // The limit may strike just after the lock was granted. It was not held before, so one
            // release leaves nothing behind.
            if conn.release(name).is_err() {
                transaction::mark_broken(conn);
            }
            Err(refusal)
        }
    }
}

/// The acquiring statement failed, and perhaps after the lock was granted. Asking again for what
/// is held already, with the very same statement and so in the same schema, tells.
fn refusal_without_answer<N: NameSql>(
    conn: &mut MysqlConnection,
    asked: Acquire<N>,
    error: DieselError,
) -> Refusal {
    let refusal = refusal(last_error_code(conn), error);
    let was_nested_only = asked.only_again;
    let again = Acquire {
        only_again: true,
        seconds: 0,
        ..asked
    };
    let clean = matches!(again.get_result::<Answer>(conn), Ok((_, _, None)));
    // Held, but how often should it be? Only the end of the session is sure not to take away an
    // outer hold.
    if was_nested_only || !clean {
        transaction::mark_broken(conn);
    }
    refusal
}

fn refusal(code: Option<i64>, error: DieselError) -> Refusal {
    match code {
        Some(code::LOCK_DEADLOCK | code::USER_LOCK_DEADLOCK) => Refusal::Deadlock(error),
        Some(code::QUERY_INTERRUPTED | code::STATEMENT_TIMEOUT | code::QUERY_TIMEOUT) => {
            Refusal::Interrupted(Some(error))
        }
        _ => Refusal::Database(error),
    }
}

/// The code of the statement that failed last. Must come right after it; `None` if the server
/// cannot be asked or has not seen the error.
fn last_error_code(conn: &mut MysqlConnection) -> Option<i64> {
    conn.batch_execute("GET DIAGNOSTICS CONDITION 1 @diesel_advisory_lock_errno = MYSQL_ERRNO")
        .and_then(|()| LastErrorCode.get_result::<Option<i64>>(conn))
        .ok()
        .flatten()
}

/// A wait as a number of seconds for `GET_LOCK`, which MySQL rounds to whole ones.
#[derive(Debug, PartialEq, Eq)]
enum Seconds {
    Whole(i64),
    Fraction(Duration),
}

impl Seconds {
    fn of(wait: Wait) -> Self {
        let Wait::For(wait) = wait else {
            return Seconds::Whole(FOREVER_SECONDS);
        };
        let whole = i64::try_from(wait.as_secs()).unwrap_or(FOREVER_SECONDS);
        if wait.subsec_nanos() == 0 || whole >= FOREVER_SECONDS {
            Seconds::Whole(whole.min(FOREVER_SECONDS))
        } else if u32::try_from(milliseconds(wait)).is_err() {
            // More than the hint takes (49 days): the fraction no longer matters.
            Seconds::Whole(whole + 1)
        } else {
            Seconds::Fraction(wait)
        }
    }
}

/// Rounded up: a hint of 0 would mean no limit.
fn milliseconds(wait: Duration) -> u128 {
    wait.as_nanos().div_ceil(1_000_000)
}

/// The SQL of a lock's whole name.
trait NameSql: QueryFragment<Mysql> + QueryId + Copy {}

/// The text after the slash; the server puts the namespace before it.
#[derive(Clone, Copy)]
struct InSession<'n>(&'n str);

#[derive(Clone, Copy)]
struct Whole<'n>(&'n str);

impl NameSql for InSession<'_> {}
impl NameSql for Whole<'_> {}

// A static id has Diesel prepare a statement once a connection; the derive does not drop lifetimes.
impl QueryId for InSession<'_> {
    type QueryId = InSession<'static>;
}

impl QueryId for Whole<'_> {
    type QueryId = Whole<'static>;
}

impl QueryFragment<Mysql> for InSession<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("CONCAT(LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 8), '/', ");
        out.push_bind_param::<Text, _>(self.0)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryFragment<Mysql> for Whole<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_bind_param::<Text, _>(self.0)
    }
}

/// The whole name; whether this session held it before; what `GET_LOCK` said.
type Answer = (String, bool, Option<i64>);

/// Takes a lock, unless it must be one that the session holds and is not: then it answers NULL.
#[derive(Clone, Copy, QueryId)]
struct Acquire<N> {
    name: N,
    only_again: bool,
    seconds: i64,
}

impl<N: NameSql> QueryFragment<Mysql> for Acquire<N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.name.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        self.push_is_held(out.reborrow())?;
        out.push_sql(", IF(NOT ");
        out.push_bind_param::<Bool, _>(&self.only_again)?;
        out.push_sql(" OR ");
        self.push_is_held(out.reborrow())?;
        out.push_sql(", GET_LOCK(");
        self.name.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.seconds)?;
        out.push_sql("), NULL)");
        Ok(())
    }
}

impl<N: NameSql> Acquire<N> {
    /// 0 or 1, never NULL.
    fn push_is_held<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("IS_USED_LOCK(");
        self.name.walk_ast(out.reborrow())?;
        out.push_sql(") <=> CONNECTION_ID()");
        Ok(())
    }
}

impl<N> Query for Acquire<N> {
    type SqlType = (Text, Bool, Nullable<BigInt>);
}

impl<N> RunQueryDsl<MysqlConnection> for Acquire<N> {}

/// `GET_LOCK` for a fraction of a second. MySQL keeps to the hint, which takes a literal only and ends the
/// statement with an error; MariaDB ignores it and takes the fraction itself.
struct WaitExactly<'n> {
    name: &'n str,
    wait: Duration,
}

impl QueryFragment<Mysql> for WaitExactly<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // A statement for each distinct number would fill the connection's cache.
        out.unsafe_to_cache_prepared();
        let seconds = self.wait.as_secs_f64();
        let rounded_up = seconds.ceil();
        out.push_sql(&format!(
            "SELECT /*+ MAX_EXECUTION_TIME({}) */ GET_LOCK(",
            milliseconds(self.wait)
        ));
        out.push_bind_param::<Text, _>(self.name)?;
        out.push_sql(&format!(
            ", IF(VERSION() LIKE '%MariaDB%', {seconds:.6}, {rounded_up:.0}))"
        ));
        Ok(())
    }
}

impl QueryId for WaitExactly<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for WaitExactly<'_> {
    type SqlType = Nullable<BigInt>;
}

impl RunQueryDsl<MysqlConnection> for WaitExactly<'_> {}

struct Release<'n> {
    server_name: &'n str,
}

impl QueryFragment<Mysql> for Release<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT RELEASE_LOCK(");
        out.push_bind_param::<Text, _>(self.server_name)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryId for Release<'_> {
    type QueryId = Release<'static>;
}

impl Query for Release<'_> {
    type SqlType = Nullable<BigInt>;
}

impl RunQueryDsl<MysqlConnection> for Release<'_> {}

#[derive(QueryId)]
struct LastErrorCode;

impl QueryFragment<Mysql> for LastErrorCode {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CAST(@diesel_advisory_lock_errno AS SIGNED)");
        Ok(())
    }
}

impl Query for LastErrorCode {
    type SqlType = Nullable<BigInt>;
}

impl RunQueryDsl<MysqlConnection> for LastErrorCode {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FOREVER_SECONDS, Seconds, Wait, WaitExactly};

    fn of(wait: Duration) -> Seconds {
        Seconds::of(Wait::For(wait))
    }

    #[test]
    fn whole_seconds_need_no_hint() {
        assert_eq!(of(Duration::ZERO), Seconds::Whole(0));
        assert_eq!(of(Duration::from_secs(45)), Seconds::Whole(45));
    }

    #[test]
    fn a_fraction_stays_exact() {
        for wait in [Duration::from_nanos(1), Duration::from_millis(1_500)] {
            assert_eq!(of(wait), Seconds::Fraction(wait));
        }
    }

    /// MariaDB returns at once from about 1.7e10 seconds on, and refuses negative ones.
    #[test]
    fn forever_is_large_and_finite() {
        assert_eq!(Seconds::of(Wait::Forever), Seconds::Whole(FOREVER_SECONDS));
        assert_eq!(of(Duration::MAX), Seconds::Whole(FOREVER_SECONDS));
        let in_years = FOREVER_SECONDS / (365 * 24 * 60 * 60);
        assert_eq!(in_years, 31);
    }

    #[test]
    fn what_the_hint_cannot_take_is_rounded_up() {
        let longest = Duration::from_millis(u32::MAX.into());
        assert_eq!(of(longest), Seconds::Fraction(longest));
        assert_eq!(
            of(longest + Duration::from_millis(1)),
            Seconds::Whole(4_294_968)
        );
    }

    #[test]
    fn below_a_millisecond_the_hint_is_not_zero() {
        let sql = |wait| {
            diesel::debug_query::<diesel::mysql::Mysql, _>(&WaitExactly { name: "n", wait })
                .to_string()
        };
        assert!(sql(Duration::from_nanos(1)).contains("MAX_EXECUTION_TIME(1)"));
        assert!(sql(Duration::from_micros(300_400)).contains("MAX_EXECUTION_TIME(301)"));
    }
}
