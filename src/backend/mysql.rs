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
//! `GET_LOCK` stands in the select list, to the right of whatever is to be known from before: there it is evaluated once,
//! and the other has been already. (Under `FROM`, `WHERE` or `HAVING` it would be evaluated any number of times.)
//!
//! [my]: https://dev.mysql.com/doc/refman/9.7/en/locking-functions.html
//! [maria]: https://mariadb.com/kb/en/get_lock/
//! [release]: https://mariadb.com/kb/en/release_lock/

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

/// What stands before the slash. To hash it in each statement took a fifth of the statement's time, so each session does it
/// once and keeps it in two variables, NULL until then: as text, and as the number for `Answer::Said`.
macro_rules! namespace {
    () => {
        "@diesel_advisory_lock_namespace"
    };
    (as number) => {
        "@diesel_advisory_lock_namespace_number"
    };
}

mod idle;
mod inspect;
mod server;
mod statement;

use super::sealed::Session;
use super::{Acquired, LockConnection, Refusal, Request, Wait, Wanted};
use crate::locks::{HeldLock, InspectError, LockStatus, Session as Holder};
use crate::server::{ServerCheck, ServerReport};
use crate::transaction;
use statement::{About, Statement, Uncached};

/// "Forever" as the servers take it, some 32 years: MariaDB refuses a negative number, and above
/// about 1.7e10 it does not wait at all.
const FOREVER_SECONDS: f64 = 1e9;

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
}

impl LockConnection for MysqlConnection {}

impl Session for MysqlConnection {
    fn acquire(&mut self, request: Request<'_>) -> Result<Acquired, Refusal> {
        let start = Instant::now();
        let acquired = match &request.name {
            Wanted::InSession(text) => try_in_session(self, text, request.only_again)?,
            Wanted::Whole(name) => try_whole(self, name, request.only_again)?,
        };
        match acquired {
            Tried::Acquired(acquired) => Ok(acquired),
            Tried::Taken { server_name } => {
                let wait = match request.wait {
                    Wait::For(wait) => wait.saturating_sub(start.elapsed()),
                    Wait::Forever => Duration::MAX,
                };
                wait_for(self, &server_name, wait)?;
                Ok(Acquired {
                    server_name,
                    nested: false,
                    waited: true,
                })
            }
        }
    }

    fn release(&mut self, server_name: &str) -> QueryResult<bool> {
        let answer = About::<Release>::new(server_name).get_result::<Option<i64>>(self)?;
        Ok(answer == Some(1))
    }

    fn holds(&mut self, server_name: &str) -> QueryResult<bool> {
        About::<Holds>::new(server_name).get_result(self)
    }

    fn give_way(&mut self, server_name: &str) -> QueryResult<(bool, bool)> {
        let (released, again) =
            About::<GiveWay>::new(server_name).get_result::<(Option<i64>, Option<i64>)>(self)?;
        Ok((released == Some(1), again == Some(1)))
    }

    fn holder(&mut self, server_name: &str) -> Option<Holder> {
        inspect::holder(self, server_name)
    }

    fn status(&mut self, name: Wanted<'_>) -> QueryResult<LockStatus> {
        inspect::status(self, &name)
    }

    fn held_locks(&mut self) -> Result<Vec<HeldLock>, InspectError> {
        inspect::held_locks(self)
    }

    fn check_server(&mut self, check: ServerCheck) -> QueryResult<ServerReport> {
        server::check(self, check)
    }

    fn raise_idle_limit(&mut self, at_least: Duration) -> QueryResult<Option<Duration>> {
        idle::raise_limit(self, at_least)
    }

    fn set_idle_limit(&mut self, limit: Duration) -> QueryResult<()> {
        idle::set_limit(self, limit)
    }

    fn namespace(&mut self) -> QueryResult<String> {
        let mut namespace = GET_NAMESPACE.get_result::<Option<String>>(self)?;
        if namespace.is_none() {
            set_namespace(self)?;
            namespace = GET_NAMESPACE.get_result(self)?;
        }
        namespace.ok_or_else(forgetful_session)
    }

    fn roll_back_everything(&mut self) -> QueryResult<()> {
        self.batch_execute("ROLLBACK")
    }
}

enum Tried {
    Acquired(Acquired),
    /// Another session has it. The name is the server's, so waiting for it means the same schema.
    Taken {
        server_name: String,
    },
}

/// Takes a lock in the session's namespace, which is hashed only when the connection takes its first.
fn try_in_session(
    conn: &mut MysqlConnection,
    text: &str,
    only_again: bool,
) -> Result<Tried, Refusal> {
    let mut answer = try_acquire(conn, InSession(text), only_again)?;
    if answer == Answer::NoNamespace {
        set_namespace(conn).map_err(|error| refusal(last_error_code(conn), error))?;
        answer = try_acquire(conn, InSession(text), only_again)?;
    }
    answer.about(|namespace| {
        let mut prefix = [0; 8];
        let prefix = HEXLOWER.encode_mut_str(&namespace.to_be_bytes(), &mut prefix);
        [prefix, "/", text].concat()
    })
}

fn try_whole(conn: &mut MysqlConnection, name: &str, only_again: bool) -> Result<Tried, Refusal> {
    try_acquire(conn, Whole(name), only_again)?.about(|_| name.to_owned())
}

/// What a session says that is asked for a lock without waiting: one number, since each column of a row takes Diesel
/// as long as half of the lock takes the C client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// From the lowest bit on: what `GET_LOCK` says, whether this session held the lock before, and the namespace.
    Said {
        got: bool,
        held_before: bool,
        namespace: u32,
    },
    /// -1: the name needs a namespace, and the session has none yet. Nothing was locked.
    NoNamespace,
    /// -2: this session does not hold the lock that it should hold. Nothing was locked.
    NotHeld,
    /// NULL: `GET_LOCK` was interrupted.
    Interrupted,
}

impl Answer {
    fn read(number: Option<i64>) -> Self {
        match number {
            None => Answer::Interrupted,
            Some(-1) => Answer::NoNamespace,
            Some(-2) => Answer::NotHeld,
            Some(number) => Answer::Said {
                got: number & 1 == 1,
                held_before: number & 2 == 2,
                namespace: (number >> 2) as u32,
            },
        }
    }

    fn about(self, server_name: impl FnOnce(u32) -> String) -> Result<Tried, Refusal> {
        match self {
            Answer::Said {
                got,
                held_before,
                namespace,
            } => {
                let server_name = server_name(namespace);
                Ok(match got {
                    true => Tried::Acquired(Acquired {
                        server_name,
                        nested: held_before,
                        waited: false,
                    }),
                    false => Tried::Taken { server_name },
                })
            }
            Answer::NotHeld => Err(Refusal::NotHeld),
            Answer::Interrupted => Err(Refusal::Interrupted(None)),
            Answer::NoNamespace => Err(Refusal::Database(forgetful_session())),
        }
    }
}

/// Takes a lock that is free or held already. One statement, prepared once a connection.
///
/// An error while a result is read leaves libmariadb unable to run the same prepared statement again: it
/// waits for the rest of the result for ever. Nor does the error tell whether the lock was
/// granted. So the connection ends here; waiting, which is what fails in practice, has a statement of
/// its own.
fn try_acquire<N: NameSql>(
    conn: &mut MysqlConnection,
    name: N,
    only_again: bool,
) -> Result<Answer, Refusal> {
    let answer = if only_again {
        TryAcquire::<N, true>(name).get_result(conn)
    } else {
        TryAcquire::<N, false>(name).get_result(conn)
    };
    answer.map(Answer::read).map_err(|error| {
        let refusal = refusal(last_error_code(conn), error);
        transaction::mark_broken(conn);
        refusal
    })
}

/// Has the session remember its namespace: that of the schema in which the connection takes its first lock,
/// whatever `USE` says later.
fn set_namespace(conn: &mut MysqlConnection) -> QueryResult<()> {
    SET_NAMESPACE.execute(conn).map(drop)
}

/// Locks need one session, too, so this is told before any is taken.
fn forgetful_session() -> DieselError {
    DieselError::QueryBuilderError(
        "the server forgot a variable of the session that had just been set: locks need one session for all \
         statements of a connection, so connect past the proxy that spreads them over several"
            .into(),
    )
}

/// Waits for a lock that another session has, with a statement that is prepared anew each time.
fn wait_for(conn: &mut MysqlConnection, name: &str, wait: Duration) -> Result<(), Refusal> {
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
            let refusal = match last_error_code(conn) {
                Some(code::QUERY_TIMEOUT) if limit_in_ms(wait).is_some() => timeout(),
                Some(code::LOCK_DEADLOCK | code::USER_LOCK_DEADLOCK) => Refusal::Deadlock {
                    server_name: name.to_owned(),
                    error,
                },
                code => refusal(code, error),
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

fn refusal(code: Option<i64>, error: DieselError) -> Refusal {
    match code {
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
        .and_then(|()| GET_LAST_ERROR_CODE.get_result::<Option<i64>>(conn))
        .ok()
        .flatten()
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

/// The SQL of a lock's whole name.
trait NameSql: QueryFragment<Mysql> + QueryId + Copy {
    /// The namespace's number, and a condition that there is one, if the server has to put the namespace in front.
    const NUMBER: &'static str;
    const IS_WHOLE: &'static str;
}

/// The text after the slash; the session knows the namespace.
#[derive(Clone, Copy)]
struct InSession<'n>(&'n str);

#[derive(Clone, Copy)]
struct Whole<'n>(&'n str);

impl NameSql for InSession<'_> {
    const NUMBER: &'static str = namespace!(as number);
    const IS_WHOLE: &'static str = concat!(namespace!(as number), " IS NOT NULL");
}

impl NameSql for Whole<'_> {
    const NUMBER: &'static str = "0";
    const IS_WHOLE: &'static str = "TRUE";
}

// A static id has Diesel prepare a statement once a connection; the derive does not drop lifetimes.
impl QueryId for InSession<'_> {
    type QueryId = InSession<'static>;
}

impl QueryId for Whole<'_> {
    type QueryId = Whole<'static>;
}

impl QueryFragment<Mysql> for InSession<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(concat!("CONCAT(", namespace!(), ", '/', "));
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

/// See [`Answer`]. Whether the lock is held is asked to the left of `GET_LOCK`, and so before it.
#[derive(QueryId)]
struct TryAcquire<N, const ONLY_AGAIN: bool>(N);

impl<N: NameSql, const ONLY_AGAIN: bool> QueryFragment<Mysql> for TryAcquire<N, ONLY_AGAIN> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let Self(name) = self;
        out.push_sql("SELECT CAST(IF(");
        out.push_sql(N::IS_WHOLE);
        out.push_sql(if ONLY_AGAIN { ", IF((" } else { ", (" });
        // 0 or 1, never NULL.
        out.push_sql("IS_USED_LOCK(");
        name.walk_ast(out.reborrow())?;
        out.push_sql(") <=> CONNECTION_ID())");
        out.push_sql(if ONLY_AGAIN { ", 2 + " } else { " * 2 + " });
        out.push_sql(N::NUMBER);
        out.push_sql(" + GET_LOCK(");
        name.walk_ast(out.reborrow())?;
        out.push_sql(", 0)");
        out.push_sql(if ONLY_AGAIN { ", -2), -1" } else { ", -1" });
        out.push_sql(") AS SIGNED)");
        Ok(())
    }
}

impl<N, const ONLY_AGAIN: bool> Query for TryAcquire<N, ONLY_AGAIN> {
    type SqlType = Nullable<BigInt>;
}

impl<N, const ONLY_AGAIN: bool> RunQueryDsl<MysqlConnection> for TryAcquire<N, ONLY_AGAIN> {}

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
        out.push_sql(&inspect::waiters_comment(self.name));
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

struct Release;

impl Statement for Release {
    const SQL: &'static [&'static str] = &["SELECT RELEASE_LOCK(", ")"];
    type Answer = Nullable<BigInt>;
}

struct Holds;

impl Statement for Holds {
    const SQL: &'static [&'static str] = &["SELECT IS_USED_LOCK(", ") <=> CONNECTION_ID()"];
    type Answer = Bool;
}

/// `RELEASE_LOCK` grants the lock to the session that has waited longest, if there is one, and then
/// `GET_LOCK` gets 0.
struct GiveWay;

impl Statement for GiveWay {
    const SQL: &'static [&'static str] = &["SELECT RELEASE_LOCK(", "), GET_LOCK(", ", 0)"];
    type Answer = (Nullable<BigInt>, Nullable<BigInt>);
}

/// The number is shifted by what else is in an answer. It comes last, because whoever has it must have the text.
const SET_NAMESPACE: Uncached<()> = Uncached::new(&[concat!(
    "SET ",
    namespace!(),
    " = LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 8), ",
    namespace!(as number),
    " = CAST(CONV(LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 8), 16, 10) AS SIGNED) * 4"
)]);

const GET_NAMESPACE: Uncached<Nullable<Text>> = Uncached::new(&[concat!("SELECT ", namespace!())]);

const GET_LAST_ERROR_CODE: Uncached<Nullable<BigInt>> =
    Uncached::new(&["SELECT CAST(@diesel_advisory_lock_errno AS SIGNED)"]);

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
