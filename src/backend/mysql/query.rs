//! Queries with one text in their gaps, such as a lock's name. [`CachedQuery`] is prepared once for
//! each connection, [`UncachedQuery`] each time. [`confirms`] needs no prepared statement.

use std::marker::PhantomData;

use data_encoding::HEXUPPER;
use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Binary;

use crate::driver::Driver;

/// The SQL around the gaps.
type SqlTemplate = &'static [&'static str];

/// Pushes a text as its UTF-8 bytes, whatever character sets the session has, since MariaDB
/// compares the bytes of lock names.
pub(super) fn push_text<'b>(out: &mut AstPass<'_, 'b, Mysql>, text: &'b &str) -> QueryResult<()> {
    out.push_sql("CONVERT(");
    out.push_bind_param::<Binary, [u8]>(text.as_bytes())?;
    out.push_sql(" USING utf8mb4)");
    Ok(())
}

fn push<'b>(out: &mut AstPass<'_, 'b, Mysql>, sql: SqlTemplate, text: &'b &str) -> QueryResult<()> {
    for (gap, piece) in sql.iter().enumerate() {
        if gap > 0 {
            push_text(out, text)?;
        }
        out.push_sql(piece);
    }
    Ok(())
}

/// A query that is prepared once for each connection.
pub(super) struct CachedQuery<'n, S> {
    text: &'n str,
    statement: PhantomData<S>,
}

pub(super) trait Statement: 'static {
    const SQL: SqlTemplate;
    type Answer;
}

impl<'n, S> CachedQuery<'n, S> {
    pub(super) fn new(text: &'n str) -> Self {
        CachedQuery {
            text,
            statement: PhantomData,
        }
    }
}

impl<S: Statement> QueryFragment<Mysql> for CachedQuery<'_, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        push(&mut out, S::SQL, &self.text)
    }
}

impl<S: Statement> QueryId for CachedQuery<'_, S> {
    type QueryId = CachedQuery<'static, S>;
}

impl<S: Statement> Query for CachedQuery<'_, S> {
    type SqlType = S::Answer;
}

/// A query that is rare, or may be killed: a cached statement that fails while its result is read
/// must never run again (`error_code::may_have_run`).
pub(super) struct UncachedQuery<'n, A> {
    sql: SqlTemplate,
    text: &'n str,
    answer: PhantomData<A>,
}

impl<'n, A> UncachedQuery<'n, A> {
    /// A query without gaps.
    pub(super) const fn new(sql: SqlTemplate) -> Self {
        UncachedQuery::with("", sql)
    }

    pub(super) const fn with(text: &'n str, sql: SqlTemplate) -> Self {
        UncachedQuery {
            sql,
            text,
            answer: PhantomData,
        }
    }
}

impl<A> QueryFragment<Mysql> for UncachedQuery<'_, A> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        push(&mut out, self.sql, &self.text)
    }
}

impl<A> QueryId for UncachedQuery<'_, A> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<A> Query for UncachedQuery<'_, A> {
    type SqlType = A;
}

/// Whether a condition holds, asked in plain text, for when the server prepares no more statements
/// or the session returns no rows. Diesel returns no rows of a text, so the statement fails if the
/// condition does not hold.
///
/// It is a `SET`, since MariaDB's `DO` ignores the error. The error is an integer overflow, and not
/// that of a subquery with two rows: MySQL does not evaluate a subquery while a `KILL QUERY` is
/// pending, and answers OK.
pub(super) async fn confirms<D: Driver<Db = Mysql>>(driver: &mut D, condition: &str) -> bool {
    let sql = format!("SET @diesel_advisory_lock_answer = ~0 + IF({condition}, 0, 1)");
    driver.batch(&sql).await.is_ok()
}

/// A text for [`confirms`], in hexadecimal so that it needs no escapes.
pub(super) fn literal(text: &str) -> String {
    format!(
        "CONVERT(X'{}' USING utf8mb4)",
        HEXUPPER.encode(text.as_bytes())
    )
}

/// Lets one statement read tables under any `max_join_size` of the session. MariaDB's form precedes
/// any statement, MySQL's is part of a SELECT. Each server reads the other's form as a comment, and
/// MySQL before 8.0.3 its own form too.
macro_rules! big_select {
    (before any statement) => {
        "/*M!100102 SET STATEMENT sql_big_selects = 1 FOR */ "
    };
    (select) => {
        "SELECT /*+ SET_VAR(sql_big_selects = ON) */ "
    };
    () => {
        concat!(
            $crate::backend::mysql::query::big_select!(before any statement),
            $crate::backend::mysql::query::big_select!(select)
        )
    };
}

pub(super) use big_select;
