//! Acquires a lock that is free or re-entrant, with one statement that is prepared once for each
//! connection.

use std::marker::PhantomData;
use std::time::Instant;

use data_encoding::HEXLOWER;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Nullable};

use super::end_session::end_session;
use super::error_code::Failure;
use super::key::Key;
use super::query::{UncachedQuery, push_text};
use super::session_checks::{self, Checks, for_context};
use super::{namespace, wait};
use crate::backend::{AcquireError, Acquired, Request};
use crate::deadline::Wait;
use crate::driver::Driver;
use crate::error::OpenTransactionReason;
use crate::name::KeySource;

/// The session's number, in the 28 bits that an answer has for it.
macro_rules! session {
    () => {
        "CAST(CONNECTION_ID() % 268435456 AS SIGNED)"
    };
}

/// Returns whether this is the session of [`Acquired::session`].
pub(super) async fn is_session<D: Driver<Db = Mysql>>(
    driver: &mut D,
    session: u32,
) -> QueryResult<bool> {
    const SESSION: UncachedQuery<'_, BigInt> =
        UncachedQuery::new(&[concat!("SELECT ", session!())]);
    let current: i64 = driver.load_one(SESSION).await?;
    Ok(current as u32 == session)
}

/// Acquires the lock, or waits for it.
pub(super) async fn acquire<D: Driver<Db = Mysql>>(
    driver: &mut D,
    request: Request<'_>,
) -> Result<Acquired<Key, u32>, AcquireError<Key>> {
    let start = Instant::now();
    let Request {
        mut lock,
        wait,
        context,
        mode: _,
    } = request;
    let mut has_set_namespace = false;
    let (got, reentrant, namespace, session, is_mysql) = loop {
        let answer = match &lock {
            KeySource::InSessionNamespace { text, .. } => for_context!(context, Context => {
                driver.load_one_in_turn(TryAcquire::<_, Context>::new(InNamespace(text))).await
            }),
            // A key of PostgreSQL was refused before.
            KeySource::PostgresKey(..) => {
                return Err(AcquireError::Database(DieselError::NotFound));
            }
            KeySource::FullName(name) => for_context!(context, Context => {
                driver.load_one_in_turn(TryAcquire::<_, Context>::new(FullName(name))).await
            }),
        };
        match answer.map(Answer::read) {
            Ok(Answer::Attempted {
                got,
                held_before,
                namespace,
                session,
                is_mysql,
            }) => break (got, held_before, namespace, session, is_mysql),
            // The first lock of a connection computes the namespace.
            Ok(Answer::NoNamespace) if !has_set_namespace => {
                let set = namespace::set(driver).await;
                set.map_err(Failure::into_acquire_error)?;
                has_set_namespace = true;
            }
            // This statement was prepared in another schema than that of the session's namespace.
            Ok(Answer::NoNamespace) => {
                let namespace = namespace::compute(driver).await;
                let namespace = namespace.map_err(AcquireError::Database)?;
                lock = lock.in_namespace(&namespace);
            }
            Ok(Answer::OpenTransaction(reason)) => {
                return Err(AcquireError::OpenTransaction(reason));
            }
            Ok(Answer::Interrupted) => return Err(AcquireError::Interrupted(None)),
            Err(error) => return Err(failed(driver, error).await),
        }
    };
    let mut prefix = [0; 8];
    let prefix = HEXLOWER.encode_mut_str(&namespace.to_be_bytes(), &mut prefix);
    let key = Key(lock.full_name(prefix));
    if !got {
        let deadline = match wait {
            // `None` is later than an `Instant` can express.
            Wait::For(wait) => start.checked_add(wait),
            Wait::Forever => None,
        };
        // The full name, so that the wait is for the lock in the same schema.
        wait::wait_until(driver, &key, deadline, is_mysql).await?;
    }
    Ok(Acquired {
        key,
        session,
        reentrant: got && reentrant,
        contended: !got,
    })
}

/// Ends the session unless the statement never ran, since an error does not say whether the lock
/// was granted. Waits, which fail more often, have another statement.
async fn failed<D: Driver<Db = Mysql>>(driver: &mut D, error: DieselError) -> AcquireError<Key> {
    let failure = Failure::of(driver, error).await;
    if failure.may_have_run() {
        end_session(driver).await;
    }
    failure.into_acquire_error()
}

/// The answer to [`TryAcquire`]: one number, since Diesel takes as long for each column of a row as
/// the C client takes for half of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// From the lowest bit: the result of `GET_LOCK`, whether this session held the lock before,
    /// the namespace (32 bits), the number of the session (`session!`), and whether the server is
    /// MySQL.
    Attempted {
        got: bool,
        held_before: bool,
        namespace: u32,
        session: u32,
        is_mysql: bool,
    },
    /// -1: the name needs a namespace, and the session has none for its schema. Nothing was locked.
    NoNamespace,
    /// A transaction is open. Nothing was locked.
    OpenTransaction(OpenTransactionReason),
    /// NULL: `GET_LOCK` was interrupted.
    Interrupted,
}

impl Answer {
    fn read(number: Option<i64>) -> Self {
        match number {
            None => Answer::Interrupted,
            Some(-1) => Answer::NoNamespace,
            // -2: the lock must be held already, and is not.
            Some(-2) => Answer::OpenTransaction(OpenTransactionReason::Diesel),
            Some(number) => match session_checks::reason(number) {
                Some(reason) => Answer::OpenTransaction(reason),
                None => Answer::Attempted {
                    got: number & 1 == 1,
                    held_before: number & 2 == 2,
                    namespace: (number >> 2) as u32,
                    session: (number >> 34) as u32 & 0x0FFF_FFFF,
                    is_mysql: number >> 62 == 1,
                },
            },
        }
    }
}

/// The SQL of a lock's full name.
trait NameSql: QueryFragment<Mysql> + QueryId + Copy + Send {
    /// The namespace's number, and a CASE branch for when it is missing, if the server prepends the
    /// namespace.
    const NUMBER: &'static str;
    const MISSING: &'static str;
}

/// The text after the slash, to which the session prepends its namespace.
#[derive(Clone, Copy)]
struct InNamespace<'n>(&'n str);

#[derive(Clone, Copy)]
struct FullName<'n>(&'n str);

impl NameSql for InNamespace<'_> {
    const NUMBER: &'static str = namespace::variable!(number);
    const MISSING: &'static str = concat!("WHEN NOT ", namespace::is_known!(), " THEN -1 ");
}

impl NameSql for FullName<'_> {
    const NUMBER: &'static str = "0";
    const MISSING: &'static str = "";
}

// With a static id Diesel caches the statement. The derive does not remove lifetimes.
impl QueryId for InNamespace<'_> {
    type QueryId = InNamespace<'static>;
}

impl QueryId for FullName<'_> {
    type QueryId = FullName<'static>;
}

impl QueryFragment<Mysql> for InNamespace<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(concat!("CONCAT(", namespace::variable!(prefix), ", "));
        push_text(&mut out, &self.0)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryFragment<Mysql> for FullName<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        push_text(&mut out, &self.0)
    }
}

/// Answered by [`Answer`]. `IS_USED_LOCK` is to the left of `GET_LOCK`, and so evaluated before it.
#[derive(QueryId)]
struct TryAcquire<N, Context> {
    name: N,
    context: PhantomData<Context>,
}

impl<N, Context> TryAcquire<N, Context> {
    fn new(name: N) -> Self {
        TryAcquire {
            name,
            context: PhantomData,
        }
    }
}

impl<N: NameSql, Context: Checks> QueryFragment<Mysql> for TryAcquire<N, Context> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CAST(CASE ");
        out.push_sql(Context::SQL);
        out.push_sql(N::MISSING);
        out.push_sql(if Context::REQUIRE_HELD {
            "ELSE IF(("
        } else {
            "ELSE ("
        });
        // The comparison is 0 or 1, never NULL.
        out.push_sql("IS_USED_LOCK(");
        self.name.walk_ast(out.reborrow())?;
        out.push_sql(") <=> CONNECTION_ID())");
        out.push_sql(if Context::REQUIRE_HELD {
            ", 2 + "
        } else {
            " * 2 + "
        });
        out.push_sql(N::NUMBER);
        out.push_sql(concat!(" + ", session!(), " * 17179869184 + GET_LOCK("));
        self.name.walk_ast(out.reborrow())?;
        // MariaDB skips the comment.
        out.push_sql(", 0) /*!50707 + 4611686018427387904 */");
        out.push_sql(if Context::REQUIRE_HELD {
            ", -2) END"
        } else {
            " END"
        });
        out.push_sql(" AS SIGNED)");
        Ok(())
    }
}

impl<N, Context> Query for TryAcquire<N, Context> {
    type SqlType = Nullable<BigInt>;
}
