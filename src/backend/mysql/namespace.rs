//! The namespace of a session: the part of a name before the slash.
//!
//! Hashing the schema in each statement took a fifth of the statement's time. So each session
//! computes the namespace once for a schema, and keeps it in three variables, which are NULL until
//! then. They are the text with the slash, the number for an answer, and the schema that it was
//! computed for.
//!
//! A cached statement keeps the schema in which it was prepared, whatever `USE` says. So a session
//! with a statement cache keeps one namespace, as its queries keep one schema. With
//! `CacheSize::Disabled` both follow `USE`. [`Set`] is cached too, and so decides for all other
//! statements.

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

/// Whether the session has a namespace, computed for its current schema. The comparison is of
/// bytes, since schemas may differ only by case.
macro_rules! is_known {
    () => {
        "(@diesel_advisory_lock_namespace IS NOT NULL AND @diesel_advisory_lock_schema <=> DATABASE())"
    };
}

/// The hash of the schema, in one character set, whatever those of the session are.
///
/// Without a schema, the hash of an empty text. It is not written as `''`, which is NULL in a
/// session with `EMPTY_STRING_IS_NULL`.
macro_rules! hash {
    () => {
        "CONVERT(LEFT(SHA2(CONVERT(COALESCE(DATABASE(), LEFT('-', 0)) USING utf8mb4), 256), 8) USING utf8mb4)"
    };
}

/// One byte of the hash as a number. Not with `CONV`, which on MySQL returns 0 under
/// `character_set_connection = utf16`.
macro_rules! byte {
    ($which:literal) => {
        concat!("ASCII(SUBSTRING(UNHEX(", hash!(), "), ", $which, ", 1))")
    };
}

pub(super) use {is_known, variable};

/// Computes the namespace. The number is shifted to its place in an answer.
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

/// Makes the session compute its namespace.
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

/// Answers NULL if the namespace was computed for another schema.
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

/// Like [`get`], but does not set the namespace of a session that has none yet.
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

/// Computes the namespace again, and reads it, whatever schema other statements were prepared in.
pub(super) async fn compute<D: Driver<Db = Mysql>>(driver: &mut D) -> QueryResult<String> {
    const GET: UncachedQuery<'_, Nullable<Text>> =
        UncachedQuery::new(&[concat!("SELECT LEFT(", variable!(prefix), ", 8)")]);
    set(driver).await.map_err(|failure| failure.error)?;
    let namespace: Option<String> = driver.load_one(GET).await?;
    namespace.ok_or_else(forgotten)
}

/// The error for a proxy that spreads statements over sessions. It is returned before any lock is
/// acquired.
fn forgotten() -> DieselError {
    DieselError::QueryBuilderError(
        "a session variable that had just been set is NULL, so a proxy spreads the statements of \
         this connection over several sessions; locks need a single session: connect to the server \
         directly"
            .into(),
    )
}
