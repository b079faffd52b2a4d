//! What stands before the slash. To hash it in each statement took a fifth of the statement's time, so each session does it
//! once for a schema and keeps it in three variables, NULL until then: as text with the slash, as the number that an answer
//! has room for, and the schema that it was computed for.
//!
//! A statement that Diesel keeps goes on seeing the schema in which it was prepared, whatever `USE` says. So a session whose
//! statements are kept goes on using one namespace, as its queries go on using one schema; with `CacheSize::Disabled` both
//! follow `USE`. [`SET`] is kept, too, and so decides for all other statements.

use diesel::RunQueryDsl;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Nullable, Text};

use super::code::Failure;
use super::statement::{About, Statement, Uncached};
use crate::backend::sealed::Session as _;

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

impl RunQueryDsl<MysqlConnection> for Set {}

/// Has the session compute its namespace.
pub(super) fn set(conn: &mut MysqlConnection) -> Result<(), Failure> {
    match Set.execute(conn) {
        Ok(_) => Ok(()),
        Err(error) => {
            let failure = Failure::of(conn, error);
            if failure.may_have_run() {
                conn.end_session();
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

pub(super) fn get(conn: &mut MysqlConnection) -> QueryResult<String> {
    known(conn)?.map_or_else(|| compute(conn), Ok)
}

/// What [`get`] would return, for a session that has none yet without computing it for good.
pub(super) fn peek(conn: &mut MysqlConnection) -> QueryResult<String> {
    const HERE: Uncached<Text> = Uncached::new(&[concat!("SELECT ", hash!())]);
    match known(conn)? {
        None => HERE.get_result(conn),
        Some(namespace) => Ok(namespace),
    }
}

fn known(conn: &mut MysqlConnection) -> QueryResult<Option<String>> {
    let known = About::<Known>::new("").get_result::<Option<String>>(conn);
    match known {
        Ok(Some(none)) if none == "none" => Ok(None),
        Ok(Some(namespace)) => Ok(Some(namespace)),
        Ok(None) => compute(conn).map(Some),
        Err(error) => {
            let failure = Failure::of(conn, error);
            if failure.may_have_run() {
                conn.end_session();
            }
            Err(failure.error)
        }
    }
}

/// Computes it anew, and reads it whatever another statement believes the schema to be.
pub(super) fn compute(conn: &mut MysqlConnection) -> QueryResult<String> {
    const GET: Uncached<Nullable<Text>> =
        Uncached::new(&[concat!("SELECT LEFT(", variable!(prefix), ", 8)")]);
    set(conn).map_err(|failure| failure.error)?;
    let namespace = GET.get_result::<Option<String>>(conn)?;
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
