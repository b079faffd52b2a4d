//! What stands before the slash. To hash it in each statement took a fifth of the statement's time, so each session does it
//! once for a schema and keeps it in three variables, NULL until then: as text with the slash, as the number that an answer
//! has room for, and the schema that it was computed for.
//!
//! A statement that Diesel keeps goes on seeing the schema in which it was prepared, whatever `USE` says. So a session whose
//! statements are kept goes on using one namespace, as its queries go on using one schema; with `CacheSize::Disabled` both
//! follow `USE`. [`SET`] is kept, too, and so decides for all other statements.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Nullable, Text};

use super::end_session::end_session;
use super::error_code::Failure;
use super::query::{CachedQuery, Statement, UncachedQuery};
use crate::driver::Driver;

macro_rules! variable {
    (prefix) => {
        "@diesel_advisory_lock_prefix"
    };
    (number) => {
        "@diesel_advisory_lock_namespace"
    };
    (schema) => {
        "@diesel_advisory_lock_schema"
    };
}

/// Whether the session knows its namespace, and its schema is the one that it was computed for. The comparison is of bytes,
/// since schemas may differ by case alone.
macro_rules! is_known {
    () => {
        "(@diesel_advisory_lock_namespace IS NOT NULL AND @diesel_advisory_lock_schema <=> DATABASE())"
    };
}

/// In one character set, whatever the session's are.
///
/// Without a schema, an empty text, which is not written as one: to a session with `EMPTY_STRING_IS_NULL` that is NULL.
macro_rules! hash {
    () => {
        "CONVERT(LEFT(SHA2(CONVERT(COALESCE(DATABASE(), LEFT('-', 0)) USING utf8mb4), 256), 8) USING utf8mb4)"
    };
}

/// One byte of it as a number. Under `character_set_connection = utf16`, MySQL's `CONV` gives 0.
macro_rules! byte {
    ($which:literal) => {
        concat!("ASCII(SUBSTRING(UNHEX(", hash!(), "), ", $which, ", 1))")
    };
}

pub(super) use {is_known, variable};

/// The number is shifted by what else is in an answer.
#[derive(QueryId)]
struct Set;

impl QueryFragment<Mysql> for Set {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(concat!(
            "SET ",
            variable!(schema),
            " = CAST(DATABASE() AS BINARY), ",
            variable!(prefix),
            " = CONVERT(CONCAT(",
            hash!(),
            ", '/') USING utf8mb4), ",
            variable!(number),
            " = (((",
            byte!("1"),
            " * 256 + ",
            byte!("2"),
            ") * 256 + ",
            byte!("3"),
            ") * 256 + ",
            byte!("4"),
            ") * 4"
        ));
        Ok(())
    }
}

/// Has the session compute its namespace.
pub(super) async fn set<D: Driver<Db = Mysql>>(driver: &mut D) -> Result<(), Failure> {
    match driver.execute(Set).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let failure = Failure::of(driver, error).await;
            if failure.may_have_run() {
                end_session(driver).await;
            }
            Err(failure)
        }
    }
}

struct Known;

/// NULL if it was computed for another schema.
impl Statement for Known {
    const SQL: &'static [&'static str] = &[concat!(
        "SELECT CASE WHEN ",
        variable!(number),
        " IS NULL THEN 'none' WHEN ",
        is_known!(),
        " THEN LEFT(",
        variable!(prefix),
        ", 8) END"
    )];
    type Answer = Nullable<Text>;
}

pub(super) async fn get<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<String> {
    match known(driver).await? {
        Some(namespace) => Ok(namespace),
        None => compute(driver).await,
    }
}

/// What [`get`] would return, for a session that has none yet without computing it for good.
pub(super) async fn peek<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<String> {
    const HERE: UncachedQuery<'_, Text> = UncachedQuery::new(&[concat!("SELECT ", hash!())]);
    match known(driver).await? {
        None => driver.load_one(HERE).await,
        Some(namespace) => Ok(namespace),
    }
}

async fn known<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<Option<String>> {
    let known = driver.load_one::<_, Option<String>>(CachedQuery::<Known>::new(""));
    match known.await {
        Ok(Some(none)) if none == "none" => Ok(None),
        Ok(Some(namespace)) => Ok(Some(namespace)),
        Ok(None) => compute(driver).await.map(Some),
        Err(error) => {
            let failure = Failure::of(driver, error).await;
            if failure.may_have_run() {
                end_session(driver).await;
            }
            Err(failure.error)
        }
    }
}

/// Computes it anew, and reads it whatever another statement believes the schema to be.
pub(super) async fn compute<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<String> {
    const GET: UncachedQuery<'_, Nullable<Text>> =
        UncachedQuery::new(&[concat!("SELECT LEFT(", variable!(prefix), ", 8)")]);
    set(driver).await.map_err(|failure| failure.error)?;
    let namespace: Option<String> = driver.load_one(GET).await?;
    namespace.ok_or_else(forgotten)
}

/// Locks need one session, too, so this is found out before any is acquired.
fn forgotten() -> DieselError {
    DieselError::QueryBuilderError(
        "the server forgot a variable of the session that had just been set: locks need one session for all \
         statements of a connection, so connect past the proxy that spreads them over several"
            .into(),
    )
}
