//! Whether the client keeps its session between two statements. A pooler such as PgBouncer may give
//! each transaction or statement another session.
//!
//! No single sign is certain. The name of a prepared statement is seen at once, but only of
//! PgBouncer 1.21 and later. A session is exchanged only if other clients are active meanwhile.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Integer};

use crate::backend::postgres::query::TextQuery;
use crate::driver::Driver;

/// A sign of a pooler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// PgBouncer has renamed the client's prepared statements.
    Renamed,
    /// A statement that was just prepared cannot be run.
    NotPrepared,
    /// Two statements ran in different sessions.
    Exchanged,
    /// A setting was lost between two statements.
    Reset,
}

impl Pooling {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Pooling::Renamed => "PgBouncer has renamed a prepared statement",
            Pooling::NotPrepared => "a prepared statement could not be run",
            Pooling::Exchanged => "two statements ran in different sessions",
            Pooling::Reset => "a setting of the session was lost between two statements",
        }
    }
}

/// How many statements are sent to see another session.
const STATEMENTS: usize = 5;

pub(super) async fn detect<D: Driver<Db = Pg>>(driver: &mut D) -> QueryResult<Option<Pooling>> {
    let pid = pid(driver).await?;
    let renamed: i64 = match driver.load_one(Renamed { cached: true }).await {
        Ok(renamed) => renamed,
        Err(DieselError::DatabaseError(kind, _)) if kind != DatabaseErrorKind::ClosedConnection => {
            // A statement that can be run only without a name.
            let _: i64 = driver.load_one(Renamed { cached: false }).await?;
            return Ok(Some(Pooling::NotPrepared));
        }
        Err(error) => return Err(error),
    };
    if renamed > 0 {
        return Ok(Some(Pooling::Renamed));
    }
    for _ in 0..STATEMENTS {
        if self::pid(driver).await? != pid {
            return Ok(Some(Pooling::Exchanged));
        }
    }
    loses_a_setting(driver, pid).await
}

async fn pid<D: Driver<Db = Pg>>(driver: &mut D) -> QueryResult<i32> {
    let query = TextQuery::<Integer>::new("SELECT pg_catalog.pg_backend_pid()");
    driver.load_one(query).await
}

/// Sets a setting, reads it in the next statement, and empties it again.
async fn loses_a_setting<D: Driver<Db = Pg>>(
    driver: &mut D,
    pid: i32,
) -> QueryResult<Option<Pooling>> {
    let mark = RandomState::new().hash_one(pid);
    let set = format!(
        "SELECT CASE WHEN pg_catalog.length(pg_catalog.set_config('diesel_advisory_lock.check', \
         '{mark}', false)) > 0 THEN pg_catalog.pg_backend_pid() END"
    );
    // 1: found and emptied. 0: lost. -1: another session.
    let read = |pid: i32| {
        format!(
            "SELECT CASE WHEN pg_catalog.pg_backend_pid() <> {pid} THEN -1 WHEN \
             coalesce(pg_catalog.current_setting('diesel_advisory_lock.check', true), '') <> \
             '{mark}' THEN 0 \
             ELSE 1 + pg_catalog.length(pg_catalog.set_config('diesel_advisory_lock.check', '', \
             false)) END"
        )
    };
    let set_in: i32 = driver.load_one(TextQuery::<Integer>::new(set)).await?;
    let mut found = None;
    // In another session, the mark is left in the one before. It is likely to come back.
    for _ in 0..STATEMENTS {
        let answer: i32 = driver
            .load_one(TextQuery::<Integer>::new(read(set_in)))
            .await?;
        let sign = match answer {
            1 => None,
            0 => Some(Pooling::Reset),
            _ => Some(Pooling::Exchanged),
        };
        found = found.or(sign);
        if answer >= 0 {
            break;
        }
    }
    let other_session = (set_in != pid).then_some(Pooling::Exchanged);
    Ok(found.or(other_session))
}

/// Counts the prepared statements that PgBouncer has renamed. Prepared itself, it is one of them.
struct Renamed {
    /// Diesel keeps it as a prepared statement of the connection.
    cached: bool,
}

impl QueryFragment<Pg> for Renamed {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.cached {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql(
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements \
             WHERE left(name, 10) = 'PGBOUNCER_'",
        );
        Ok(())
    }
}

impl QueryId for Renamed {
    type QueryId = Self;
}

impl Query for Renamed {
    type SqlType = BigInt;
}
