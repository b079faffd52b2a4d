//! Verifies and releases a lock that the session holds.
//!
//! Both fall back to statements as text if the server prepares no more statements (error 1461) or
//! the session returns no rows.

use std::marker::PhantomData;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;

use super::end_session::end_session;
use super::error_code::Failure;
use super::key::Key;
use super::namespace;
use super::query::{confirms, literal, push_text};
use super::session_checks::{self, Checks, for_context};
use crate::backend::{Condition, Held, ReacquireAnswer, ReleaseAnswer};
use crate::driver::Driver;
use crate::transaction::TransactionContext;

pub(super) async fn release<D: Driver<Db = Mysql>>(
    driver: &mut D,
    key: &Key,
    context: TransactionContext,
) -> ReleaseAnswer {
    let answer: QueryResult<i64> = for_context!(context, Context => {
        driver.load_one_in_turn(LockQuery::<Release, Context>::new(key)).await
    });
    match answer {
        Ok(number) if session_checks::reason(number).is_some() => ReleaseAnswer::TransactionOpen,
        Ok(0) => ReleaseAnswer::NotHeld,
        Ok(number) => ReleaseAnswer::Released {
            still_held: number & STILL_HELD != 0,
            transaction_open: false,
        },
        Err(error) => {
            let failure = Failure::of(driver, error).await;
            if failure.may_have_run() {
                return ReleaseAnswer::Failed(failure.error);
            }
            match release_by_text(driver, key, context).await {
                Some(still_held) => ReleaseAnswer::Released {
                    still_held,
                    transaction_open: false,
                },
                None => ReleaseAnswer::Failed(failure.error),
            }
        }
    }
}

/// Returns whether the lock is still held, if the release is confirmed.
async fn release_by_text<D: Driver<Db = Mysql>>(
    driver: &mut D,
    key: &Key,
    context: TransactionContext,
) -> Option<bool> {
    let name = literal(key.as_ref());
    let released = format!("RELEASE_LOCK({name}) <=> 1");
    let free = format!("NOT (IS_USED_LOCK({name}) <=> CONNECTION_ID())");
    if confirms(driver, session_checks::condition(context)).await
        && confirms(driver, &released).await
    {
        return Some(!confirms(driver, &free).await);
    }
    None
}

pub(super) async fn are_held<D: Driver<Db = Mysql>>(
    driver: &mut D,
    keys: &[&Key],
    context: TransactionContext,
) -> QueryResult<Held> {
    let context = match context {
        TransactionContext::NoTransaction => TransactionContext::NoTransaction,
        // In a transaction of the library's, the server always reports an open transaction.
        TransactionContext::TestTransaction | TransactionContext::Transaction => {
            TransactionContext::TestTransaction
        }
    };
    let mut condition = Condition::Clean;
    for (chunk, keys) in keys.chunks(MAX_LOCKS_PER_QUERY).enumerate() {
        match are_held_in_one(driver, keys, context).await? {
            Held::All(Condition::Clean) => {}
            Held::All(other) => condition = other,
            Held::Missing(index) => return Ok(Held::Missing(chunk * MAX_LOCKS_PER_QUERY + index)),
        }
    }
    Ok(Held::All(condition))
}

async fn are_held_in_one<D: Driver<Db = Mysql>>(
    driver: &mut D,
    keys: &[&Key],
    context: TransactionContext,
) -> QueryResult<Held> {
    let answer: QueryResult<i64> = match keys {
        [key] => for_context!(context, Context => {
            driver.load_one_in_turn(LockQuery::<Holds, Context>::new(key)).await
        }),
        keys => for_context!(context, Context => {
            driver.load_one_in_turn(HoldsAll::<Context>::new(keys)).await
        }),
    };
    let error = match answer {
        Ok(number) if number >= NOT_HELD => {
            return Ok(Held::Missing((number - NOT_HELD) as usize));
        }
        Ok(HELD) => return Ok(Held::All(Condition::Clean)),
        Ok(OTHER_SCHEMA) => return Ok(Held::All(Condition::OtherNamespace)),
        Ok(_) => return Ok(Held::All(Condition::TransactionOpen)),
        Err(error) => error,
    };
    let failure = Failure::of(driver, error).await;
    if failure.may_have_run() {
        end_session(driver).await;
        return Err(failure.error);
    }
    for (index, key) in keys.iter().enumerate() {
        let held = format!(
            "IS_USED_LOCK({}) <=> CONNECTION_ID()",
            literal(key.as_ref())
        );
        if !confirms(driver, &held).await {
            return Ok(Held::Missing(index));
        }
    }
    // A session in this state is never fit for a new caller.
    Ok(Held::All(Condition::OtherNamespace))
}

pub(super) async fn release_and_reacquire<D: Driver<Db = Mysql>>(
    driver: &mut D,
    key: &Key,
) -> ReacquireAnswer {
    let query = LockQuery::<ReleaseAndReacquire, session_checks::OutsideTransaction>::new(key);
    let number: i64 = match driver.load_one_in_turn(query).await {
        Ok(number) => number,
        Err(error) => {
            let failure = Failure::of(driver, error).await;
            return match failure.may_have_run() {
                true => ReacquireAnswer::Failed(failure.error),
                false => ReacquireAnswer::NotRun,
            };
        }
    };
    match number {
        number if session_checks::reason(number).is_some() => ReacquireAnswer::TransactionOpen,
        number if number & 1 == 0 => ReacquireAnswer::NotHeld,
        number if number & STILL_HELD != 0 => ReacquireAnswer::StillHeld,
        number if number & ACQUIRED != 0 => ReacquireAnswer::Reacquired,
        _ => ReacquireAnswer::Released,
    }
}

/// The number is NULL in a session whose locks all have explicit namespaces.
macro_rules! same_schema {
    () => {
        concat!(
            "(",
            namespace::variable!(number),
            " IS NULL OR ",
            namespace::is_known!(),
            ")"
        )
    };
}

const STILL_HELD: i64 = 2;
const ACQUIRED: i64 = 4;

const HELD: i64 = 1;
const OTHER_SCHEMA: i64 = 0;
/// The index of the lock is added.
const NOT_HELD: i64 = 2;

/// The SQL for one lock, which is evaluated after the checks of the context have passed.
trait LockSql: 'static {
    /// The parts around the lock's name.
    const SQL: &'static [&'static str];
    /// CASE branches before the checks.
    const FIRST: &'static [&'static str] = &[];
}

struct Release;

/// Answers 0 if another session held the lock or it was free (NULL), otherwise 1, plus 2 if the
/// session still holds it.
impl LockSql for Release {
    const SQL: &'static [&'static str] = &[
        "COALESCE(RELEASE_LOCK(",
        ") + 2 * (IS_USED_LOCK(",
        ") <=> CONNECTION_ID()), 0)",
    ];
}

struct Holds;

impl LockSql for Holds {
    const FIRST: &'static [&'static str] =
        &["WHEN NOT (IS_USED_LOCK(", ") <=> CONNECTION_ID()) THEN 2 "];
    const SQL: &'static [&'static str] = &[same_schema!()];
}

/// `RELEASE_LOCK` grants the lock to the session that has waited longest, if there is one, and then
/// `GET_LOCK` returns 0. A session in another schema is not fit for a new caller, and does not
/// acquire the lock again.
struct ReleaseAndReacquire;

impl LockSql for ReleaseAndReacquire {
    const SQL: &'static [&'static str] = &[
        "COALESCE(RELEASE_LOCK(",
        "), 0) + CASE WHEN IS_USED_LOCK(",
        concat!(
            ") <=> CONNECTION_ID() THEN 2 WHEN NOT ",
            same_schema!(),
            " THEN 0 ELSE 4 * COALESCE(GET_LOCK("
        ),
        ", 0), 0) END",
    ];
}

struct LockQuery<'n, Q, Context> {
    name: &'n str,
    sql: PhantomData<(Q, Context)>,
}

impl<'n, Q, Context> LockQuery<'n, Q, Context> {
    fn new(key: &'n Key) -> Self {
        LockQuery {
            name: key.as_ref(),
            sql: PhantomData,
        }
    }

    fn push<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Mysql>,
        pieces: &[&'static str],
    ) -> QueryResult<()> {
        for (gap, piece) in pieces.iter().enumerate() {
            if gap > 0 {
                push_text(out, &self.name)?;
            }
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl<Q: LockSql, Context: Checks> QueryFragment<Mysql> for LockQuery<'_, Q, Context> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CAST(CASE ");
        self.push(&mut out, Q::FIRST)?;
        out.push_sql(Context::SQL);
        out.push_sql("ELSE ");
        self.push(&mut out, Q::SQL)?;
        out.push_sql(" END AS SIGNED)");
        Ok(())
    }
}

impl<Q: LockSql, Context: Checks> QueryId for LockQuery<'_, Q, Context> {
    type QueryId = LockQuery<'static, Q, Context>;
}

impl<Q, Context> Query for LockQuery<'_, Q, Context> {
    type SqlType = BigInt;
}

/// How many locks one statement verifies.
const MAX_LOCKS_PER_QUERY: usize = 64;

/// [`Holds`] for several locks. There is one statement for each power of two, so that sets of many
/// sizes do not fill the connection's cache. The last name is repeated to fill it.
struct HoldsAll<'n, Context> {
    names: Vec<&'n str>,
    checks: PhantomData<Context>,
}

impl<'n, Context> HoldsAll<'n, Context> {
    fn new(keys: &[&'n Key]) -> Self {
        let mut names: Vec<&'n str> = keys.iter().map(|&key| key.as_ref()).collect();
        if let Some(&last) = names.last() {
            names.resize(names.len().next_power_of_two(), last);
        }
        HoldsAll {
            names,
            checks: PhantomData,
        }
    }
}

impl<Context: Checks> QueryFragment<Mysql> for HoldsAll<'_, Context> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CAST(CASE ");
        for (item, name) in self.names.iter().enumerate() {
            out.push_sql("WHEN NOT (IS_USED_LOCK(");
            push_text(&mut out, name)?;
            let number = NOT_HELD as usize + item;
            out.push_sql(&format!(") <=> CONNECTION_ID()) THEN {number} "));
        }
        out.push_sql(Context::SQL);
        out.push_sql("ELSE ");
        out.push_sql(same_schema!());
        out.push_sql(" END AS SIGNED)");
        Ok(())
    }
}

impl<Context> QueryId for HoldsAll<'_, Context> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Context> Query for HoldsAll<'_, Context> {
    type SqlType = BigInt;
}
