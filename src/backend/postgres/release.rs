//! Releases a lock that the session holds.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Integer;

use super::end_session::end_session;
use super::key::{Key, Level};
use super::query::{
    ExclusiveSql, KeySql, ModeSql, One, SharedSql, TextQuery, Two, listed_mode, suffix,
};
use super::{held, verify};
use crate::backend::{Condition, Held, ReacquireAnswer, ReleaseAnswer};
use crate::driver::Driver;
use crate::mode::LockMode;
use crate::name::PostgresKey;
use crate::transaction::TransactionContext;

// 0: the session did not hold it.
const RELEASED: i32 = 1;
const STILL_HELD: i32 = 2;
const TRANSACTION_OPEN: i32 = 3;
const REACQUIRED: i32 = 4;

pub(super) async fn release<D: Driver<Db = Pg>>(
    driver: &mut D,
    key: &Key,
    context: TransactionContext,
) -> ReleaseAnswer {
    if key.level != Level::Session {
        // The end of the transaction releases it.
        return ReleaseAnswer::Released {
            still_held: false,
            transaction_open: false,
        };
    }
    let (answer, is_open) = match context {
        TransactionContext::NoTransaction => load::<Checked, _>(driver, key).await,
        TransactionContext::TestTransaction | TransactionContext::Transaction => {
            (load::<Unchecked, _>(driver, key).await.0, None)
        }
    };
    let transaction_open = is_open == Some(true);
    match answer {
        Ok(TRANSACTION_OPEN) => ReleaseAnswer::TransactionOpen,
        Ok(RELEASED) => ReleaseAnswer::Released {
            still_held: false,
            transaction_open,
        },
        Ok(STILL_HELD) => ReleaseAnswer::Released {
            still_held: true,
            transaction_open,
        },
        Ok(_) => ReleaseAnswer::NotHeld,
        // An aborted transaction runs no statement.
        Err(_) if transaction_open => ReleaseAnswer::TransactionOpen,
        Err(error) => ReleaseAnswer::Failed(error),
    }
}

/// Releases a lock to the sessions that wait for it, and acquires it again if there are none.
pub(super) async fn release_and_reacquire<D: Driver<Db = Pg>>(
    driver: &mut D,
    key: &Key,
) -> ReacquireAnswer {
    // A plain release deals with a session that is not fit for a new caller.
    match verify::are_held(driver, &[key], TransactionContext::NoTransaction).await {
        Ok(Held::All(Condition::Clean)) => {}
        _ => return ReacquireAnswer::NotRun,
    }
    match load::<Reacquired, _>(driver, key).await.0 {
        Ok(REACQUIRED) => ReacquireAnswer::Reacquired,
        Ok(RELEASED) => ReacquireAnswer::Released,
        Ok(STILL_HELD) => ReacquireAnswer::StillHeld,
        Ok(TRANSACTION_OPEN) => ReacquireAnswer::TransactionOpen,
        Ok(_) => ReacquireAnswer::NotHeld,
        Err(error) => ReacquireAnswer::Failed(error),
    }
}

/// Releases a lock that was just acquired, or ends the session.
pub(super) async fn undo_acquired<D: Driver<Db = Pg>>(driver: &mut D, key: &Key) {
    let released = load::<Unchecked, _>(driver, key).await.0;
    if !matches!(released, Ok(RELEASED | STILL_HELD)) {
        end_session(driver).await;
    }
}

/// Releases the lock after an error, which may have come just after the lock was granted. Ends the
/// session if it held the lock before, since it is then unknown how often it holds it.
///
/// `pg_locks` is asked first, since the server logs a warning if a session releases a lock that it
/// does not hold.
pub(super) async fn undo<D: Driver<Db = Pg>>(driver: &mut D, key: &Key) {
    let target = key.resolved();
    let columns = target.columns();
    let suffix = suffix(key.mode);
    let sql = format!(
        concat!(
            "SELECT CASE WHEN position({entry} IN ",
            held::entries!(),
            ") > 0 THEN 2 WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE \
             locktype = 'advisory' AND granted AND pid = pg_catalog.pg_backend_pid() AND \
             {is_listed} \
             AND mode = '{mode}') THEN 0 WHEN pg_catalog.pg_advisory_unlock{suffix}({args}) THEN \
             1 ELSE 2 END FROM {from}"
        ),
        entry = held::entry(key.mode, columns.text),
        is_listed = columns.is_listed,
        mode = listed_mode(key.mode),
        suffix = suffix,
        args = columns.args,
        from = target.table_sql(),
    );
    match driver
        .load_one::<_, i32>(TextQuery::<Integer>::new(sql))
        .await
    {
        Ok(0 | 1) => {}
        _ => end_session(driver).await,
    }
}

/// Runs [`Release`] for the key, which the server has computed.
async fn load<R: ReleaseSql, D: Driver<Db = Pg>>(
    driver: &mut D,
    key: &Key,
) -> (QueryResult<i32>, Option<bool>) {
    macro_rules! load {
        ($key:expr, $mode:ty) => {
            driver
                .load_one_and_transaction(Release::<_, $mode, R> {
                    key: $key,
                    pid: key.pid,
                    sql: PhantomData,
                })
                .await
        };
    }
    match (key.id, key.mode) {
        (Some(PostgresKey::One(id)), LockMode::Exclusive) => load!(One(id), ExclusiveSql),
        (Some(PostgresKey::One(id)), LockMode::Shared) => load!(One(id), SharedSql),
        (Some(PostgresKey::Two(one, two)), LockMode::Exclusive) => {
            load!(Two(one, two), ExclusiveSql)
        }
        (Some(PostgresKey::Two(one, two)), LockMode::Shared) => load!(Two(one, two), SharedSql),
        (None, _) => (Err(diesel::result::Error::NotFound), None),
    }
}

trait ReleaseSql: Send + 'static {
    /// CASE branches before the release.
    const CHECKS: &'static str;
    const REACQUIRES: bool = false;
}

/// Releases nothing in a transaction that has written something. A transaction that has not is
/// found by the state that the server reports with the answer.
struct Checked;

impl ReleaseSql for Checked {
    const CHECKS: &'static str = "WHEN pg_catalog.txid_current_if_assigned() IS NOT NULL THEN 3 ";
}

struct Unchecked;

impl ReleaseSql for Unchecked {
    const CHECKS: &'static str = "";
}

struct Reacquired;

impl ReleaseSql for Reacquired {
    const CHECKS: &'static str = Checked::CHECKS;
    const REACQUIRES: bool = true;
}

/// Answers one of the numbers above. The session is compared, since a pooler may have exchanged
/// it, and the other one would log a warning.
struct Release<K, M, R> {
    key: K,
    pid: i32,
    sql: PhantomData<(M, R)>,
}

impl<K: KeySql, M: ModeSql, R: ReleaseSql> QueryFragment<Pg> for Release<K, M, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let key = K::COLUMNS;
        // Takes one entry away, and counts the others of the same lock.
        const REMOVE: [&str; 2] = [
            concat!(
                "CASE WHEN position(entry IN pg_catalog.set_config(",
                held::setting!(),
                ", CASE WHEN position(entry IN entries) > 0 THEN overlay(entries PLACING '' FROM \
                 position(entry IN entries) FOR pg_catalog.length(entry)) ELSE entries END, \
                 false)) > 0 THEN 2 "
            ),
            "ELSE 1 END",
        ];
        out.push_sql("SELECT CASE WHEN pg_catalog.pg_backend_pid() <> ");
        out.push_bind_param::<Integer, _>(&self.pid)?;
        out.push_sql(" THEN 0 ");
        out.push_sql(R::CHECKS);
        for sql in [
            "WHEN NOT pg_catalog.pg_advisory_unlock",
            M::SUFFIX,
            "(",
            key.args,
            ") THEN 0 ELSE ",
            REMOVE[0],
        ] {
            out.push_sql(sql);
        }
        if R::REACQUIRES {
            // Granted, unless a session waits.
            for sql in [
                "WHEN pg_catalog.pg_try_advisory_lock",
                M::SUFFIX,
                "(",
                key.args,
            ] {
                out.push_sql(sql);
            }
            out.push_sql(concat!(
                ") THEN CASE WHEN pg_catalog.length(pg_catalog.set_config(",
                held::setting!(),
                ", ",
                held::entries!(),
                " || entry, false)) > 0 THEN 4 END "
            ));
        }
        out.push_sql(REMOVE[1]);
        out.push_sql(" END FROM (SELECT *, (");
        for sql in [held::start(M::MODE), " || ", key.text, " || ']'"] {
            out.push_sql(sql);
        }
        out.push_sql(concat!(
            ") AS entry, ",
            held::entries!(),
            " AS entries FROM (SELECT "
        ));
        self.key.walk_ast(out.reborrow())?;
        out.push_sql(" OFFSET 0) AS lock_key OFFSET 0) AS held");
        Ok(())
    }
}

impl<K: KeySql, M: ModeSql, R: ReleaseSql> QueryId for Release<K, M, R>
where
    K::QueryId: 'static,
{
    type QueryId = Release<K::QueryId, M, R>;
}

impl<K, M, R> Query for Release<K, M, R> {
    type SqlType = Integer;
}
