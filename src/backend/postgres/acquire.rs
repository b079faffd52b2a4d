//! Acquires a lock that is free or re-entrant, with one statement that is prepared once for each
//! connection.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Array, BigInt};

use super::key::{Key, Level, SessionId, Target};
use super::query::{InTable, KeySql, ModeSql, One, Two};
use super::{error, held, isolation_hint, release, wait};
use crate::backend::{AcquireError, Acquired, Request};
use crate::driver::Driver;
use crate::error::OpenTransactionReason;
use crate::mode::LockMode;
use crate::name::PostgresKey;
use crate::transaction::TransactionContext;

type Result<T> = std::result::Result<T, AcquireError<Key>>;

/// Acquires the lock, or waits for it.
pub(super) async fn acquire<D: Driver<Db = Pg>>(
    driver: &mut D,
    request: Request<'_>,
) -> Result<Acquired<Key, SessionId>> {
    match request.context {
        TransactionContext::NoTransaction => outside_transaction(driver, request).await,
        TransactionContext::TestTransaction => {
            let key = Key::new(&request.lock, request.mode, Level::Session);
            let answer = attempt::<InSession, _>(driver, &key).await;
            finish(driver, key, answer, &request, true).await
        }
        TransactionContext::Transaction => {
            let key = Key::new(&request.lock, request.mode, Level::Transaction);
            let answer = attempt::<Nested, _>(driver, &key).await;
            finish(driver, key, answer, &request, true).await
        }
    }
}

async fn outside_transaction<D: Driver<Db = Pg>>(
    driver: &mut D,
    request: Request<'_>,
) -> Result<Acquired<Key, SessionId>> {
    let key = Key::new(&request.lock, request.mode, Level::Session);
    let (answer, is_open) = attempt_and_transaction::<InSession, _>(driver, &key).await;
    if is_open == Some(true) {
        return Err(undo_in_transaction(driver, key, answer).await);
    }
    if let Ok(answer) = &answer {
        isolation_hint::set(driver, answer.is_above_read_committed);
    }
    finish(driver, key, answer, &request, false).await
}

/// A lock until the end of the open transaction, which may be one that Diesel does not know of.
pub(super) async fn acquire_until_commit<D: Driver<Db = Pg>>(
    driver: &mut D,
    request: Request<'_>,
) -> Result<Acquired<Key, SessionId>> {
    let key = Key::new(&request.lock, request.mode, Level::Transaction);
    let (answer, is_open) = attempt_and_transaction::<UntilCommit, _>(driver, &key).await;
    if is_open == Some(false) {
        // The lock has ended with the statement.
        return Err(AcquireError::NoTransaction);
    }
    finish(driver, key, answer, &request, true).await
}

/// Undoes an attempt in a transaction that Diesel does not know of.
async fn undo_in_transaction<D: Driver<Db = Pg>>(
    driver: &mut D,
    mut key: Key,
    answer: QueryResult<Answer>,
) -> AcquireError<Key> {
    match answer {
        Ok(answer) if answer.code.is_acquired() => {
            answer.resolve(&mut key);
            release::undo_acquired(driver, &key).await;
        }
        Ok(_) => {}
        // An aborted transaction can only be rolled back, and then the lock can be released.
        Err(_) => {
            let _ = driver.batch("ROLLBACK").await;
            release::undo(driver, &key).await;
        }
    }
    AcquireError::OpenTransaction(OpenTransactionReason::RawBegin)
}

/// Waits, if the lock was not free.
async fn finish<D: Driver<Db = Pg>>(
    driver: &mut D,
    mut key: Key,
    answer: QueryResult<Answer>,
    request: &Request<'_>,
    in_transaction: bool,
) -> Result<Acquired<Key, SessionId>> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            // The lock may have been granted just before the error. A lock of a transaction ends
            // with it.
            if key.level == Level::Session {
                release::undo(driver, &key).await;
            }
            return Err(AcquireError::Database(error));
        }
    };
    answer.resolve(&mut key);
    let reentrant = match answer.code {
        Code::Acquired => false,
        Code::Reentrant => true,
        Code::Taken => {
            wait::wait(driver, &key, request.wait, in_transaction).await?;
            false
        }
        Code::NoTable => return Err(error::no_table(&key)),
        Code::SharedHeld => return Err(AcquireError::SharedHeld),
        Code::NotHeld => {
            return Err(AcquireError::OpenTransaction(OpenTransactionReason::Diesel));
        }
        Code::RepeatableRead => return Err(AcquireError::Isolation("REPEATABLE READ")),
        Code::Serializable => return Err(AcquireError::Isolation("SERIALIZABLE")),
    };
    Ok(Acquired {
        key,
        session: SessionId::Pid(answer.pid),
        reentrant,
        contended: answer.code == Code::Taken,
    })
}

async fn attempt<C: Circumstances, D: Driver<Db = Pg>>(
    driver: &mut D,
    key: &Key,
) -> QueryResult<Answer> {
    macro_rules! load {
        ($key:expr, $mode:ty) => {
            driver.load_one(TryAcquire::<_, $mode, C>::new($key)).await
        };
    }
    for_key!(key, load).and_then(Answer::read)
}

async fn attempt_and_transaction<C: Circumstances, D: Driver<Db = Pg>>(
    driver: &mut D,
    key: &Key,
) -> (QueryResult<Answer>, Option<bool>) {
    macro_rules! load {
        ($key:expr, $mode:ty) => {
            driver
                .load_one_and_transaction(TryAcquire::<_, $mode, C>::new($key))
                .await
        };
    }
    let (answer, is_open) = for_key!(key, load);
    (answer.and_then(Answer::read), is_open)
}

/// Runs `$load!` with the SQL of a key and of its mode.
macro_rules! for_key {
    ($of:expr, $load:ident) => {{
        use $crate::backend::postgres::query::{ExclusiveSql, SharedSql};
        match (&$of.target, $of.mode) {
            (Target::InTable { table, text }, LockMode::Exclusive) => {
                $load!(InTable { table, text }, ExclusiveSql)
            }
            (Target::InTable { table, text }, LockMode::Shared) => {
                $load!(InTable { table, text }, SharedSql)
            }
            (Target::Key(PostgresKey::One(key)), LockMode::Exclusive) => {
                $load!(One(*key), ExclusiveSql)
            }
            (Target::Key(PostgresKey::One(key)), LockMode::Shared) => {
                $load!(One(*key), SharedSql)
            }
            (Target::Key(PostgresKey::Two(first, second)), LockMode::Exclusive) => {
                $load!(Two(*first, *second), ExclusiveSql)
            }
            (Target::Key(PostgresKey::Two(first, second)), LockMode::Shared) => {
                $load!(Two(*first, *second), SharedSql)
            }
        }
    }};
}

use for_key;

/// The answer to [`TryAcquire`].
#[derive(Clone, Copy, Debug)]
struct Answer {
    code: Code,
    pid: i32,
    key: i64,
    is_above_read_committed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Taken,
    Acquired,
    /// Acquired, and the session held it before.
    Reentrant,
    /// The session does not find the table. As all further codes: nothing was locked.
    NoTable,
    SharedHeld,
    /// The lock must be held already, and is not.
    NotHeld,
    RepeatableRead,
    Serializable,
}

impl Code {
    fn is_acquired(self) -> bool {
        matches!(self, Code::Acquired | Code::Reentrant)
    }
}

impl Answer {
    fn read(numbers: Vec<i64>) -> QueryResult<Self> {
        let unknown = || DieselError::DeserializationError("an unknown answer to a lock".into());
        let &[code, pid, key, isolation] = numbers.as_slice() else {
            return Err(unknown());
        };
        Ok(Answer {
            code: match code {
                0 => Code::Taken,
                1 => Code::Acquired,
                2 => Code::Reentrant,
                -1 => Code::NoTable,
                -2 => Code::SharedHeld,
                -3 => Code::NotHeld,
                -4 => Code::RepeatableRead,
                -5 => Code::Serializable,
                _ => return Err(unknown()),
            },
            pid: i32::try_from(pid).map_err(|_| unknown())?,
            key,
            is_above_read_committed: isolation == 1,
        })
    }

    /// Records the key that the server has computed.
    fn resolve(&self, key: &mut Key) {
        key.pid = self.pid;
        if key.id.is_none() && self.code != Code::NoTable {
            key.id = Some(PostgresKey::One(self.key));
        }
    }
}

/// What the attempt depends on beside the key.
pub(super) trait Circumstances: Send + 'static {
    /// `pg_try_advisory_lock` without the end for shared locks.
    const FUNCTION: &'static str;
    /// Whether the entry of the lock ends with the transaction.
    const IS_LOCAL: &'static str;
    /// CASE branches that refuse the lock.
    const CHECKS: &'static str = "";
}

/// A lock of the session.
pub(super) struct InSession;

impl Circumstances for InSession {
    const FUNCTION: &'static str = "pg_catalog.pg_try_advisory_lock";
    const IS_LOCAL: &'static str = "false";
}

/// A re-entrant lock in a transaction of the caller's: the first one was acquired before it.
pub(super) struct Nested;

impl Circumstances for Nested {
    const FUNCTION: &'static str = "pg_catalog.pg_try_advisory_xact_lock";
    const IS_LOCAL: &'static str = "true";
    const CHECKS: &'static str = "WHEN before = 0 THEN -3 ";
}

/// A lock of the caller's transaction, which must see what the previous holder committed.
pub(super) struct UntilCommit;

impl Circumstances for UntilCommit {
    const FUNCTION: &'static str = "pg_catalog.pg_try_advisory_xact_lock";
    const IS_LOCAL: &'static str = "true";
    const CHECKS: &'static str = "WHEN pg_catalog.current_setting('transaction_isolation') \
         = 'repeatable read' THEN -4 WHEN pg_catalog.current_setting('transaction_isolation') \
         = 'serializable' THEN -5 ";
}

/// Answers the four numbers of [`Answer`]. Each subquery is evaluated before the one around it
/// (`OFFSET 0`), and the lock is acquired after all checks.
struct TryAcquire<K, M, C> {
    key: K,
    sql: PhantomData<(M, C)>,
}

impl<K, M, C> TryAcquire<K, M, C> {
    fn new(key: K) -> Self {
        TryAcquire {
            key,
            sql: PhantomData,
        }
    }
}

impl<K: KeySql, M: ModeSql, C: Circumstances> QueryFragment<Pg> for TryAcquire<K, M, C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let key = K::COLUMNS;
        let entry = |out: &mut AstPass<'_, 'b, Pg>, mode| {
            for sql in ["(", held::start(mode), " || ", key.text, " || ']')"] {
                out.push_sql(sql);
            }
        };
        out.push_sql("SELECT ARRAY[code, pg_catalog.pg_backend_pid()::bigint, ");
        out.push_sql(K::NUMBER);
        out.push_sql(concat!(
            ", CASE WHEN pg_catalog.current_setting('transaction_isolation') IN \
             ('repeatable read', 'serializable') THEN 1 ELSE 0 END + 0 * CASE WHEN code > 0 THEN \
             pg_catalog.length(pg_catalog.set_config(",
            held::setting!(),
            ", CASE before WHEN 0 THEN pg_catalog.replace(pg_catalog.replace(entries, "
        ));
        entry(&mut out, LockMode::Exclusive);
        out.push_sql(", ''), ");
        entry(&mut out, LockMode::Shared);
        out.push_sql(", '') ELSE entries END || ");
        entry(&mut out, M::MODE);
        out.push_sql(", ");
        out.push_sql(C::IS_LOCAL);
        out.push_sql(")) ELSE 0 END::bigint] FROM (SELECT *, CASE WHEN NOT ");
        out.push_sql(K::EXISTS);
        out.push_sql(" THEN -1 ");
        out.push_sql(M::CHECKS);
        out.push_sql(C::CHECKS);
        out.push_sql("WHEN ");
        out.push_sql(C::FUNCTION);
        out.push_sql(M::SUFFIX);
        out.push_sql("(");
        out.push_sql(key.args);
        out.push_sql(
            ") THEN CASE before WHEN 0 THEN 1 ELSE 2 END ELSE 0 END::bigint AS code FROM \
             (SELECT *, CASE WHEN position(",
        );
        entry(&mut out, LockMode::Exclusive);
        out.push_sql(" IN entries) = 0 AND position(");
        entry(&mut out, LockMode::Shared);
        out.push_sql(
            " IN entries) = 0 THEN 0 ELSE coalesce((SELECT pg_catalog.max(CASE mode \
             WHEN 'ExclusiveLock' THEN 2 ELSE 1 END) FROM pg_catalog.pg_locks \
             WHERE locktype = 'advisory' AND granted AND pid = pg_catalog.pg_backend_pid() AND ",
        );
        out.push_sql(key.is_listed);
        out.push_sql("), 0) END AS before FROM (SELECT ");
        self.key.walk_ast(out.reborrow())?;
        out.push_sql(concat!(
            ", ",
            held::entries!(),
            " AS entries OFFSET 0) AS lock_key OFFSET 0) AS checked OFFSET 0) AS attempted"
        ));
        Ok(())
    }
}

impl<K: KeySql, M: ModeSql, C: Circumstances> QueryId for TryAcquire<K, M, C>
where
    K::QueryId: 'static,
{
    type QueryId = TryAcquire<K::QueryId, M, C>;
}

impl<K, M, C> Query for TryAcquire<K, M, C> {
    type SqlType = Array<BigInt>;
}
