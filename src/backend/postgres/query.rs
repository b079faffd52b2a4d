//! The parts of prepared statements that depend on a lock: [`KeySql`] and [`ModeSql`]. [`TextQuery`]
//! is a statement as text.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;

use crate::mode::LockMode;

/// A rare statement. It is not kept as a prepared one.
pub(super) struct TextQuery<A> {
    sql: String,
    answer: PhantomData<A>,
}

impl<A> TextQuery<A> {
    pub(super) fn new(sql: impl Into<String>) -> Self {
        TextQuery {
            sql: sql.into(),
            answer: PhantomData,
        }
    }
}

impl<A> QueryFragment<Pg> for TextQuery<A> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql(&self.sql);
        Ok(())
    }
}

impl<A> QueryId for TextQuery<A> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<A> diesel::query_builder::Query for TextQuery<A> {
    type SqlType = A;
}

/// The columns of a key, as binds of a prepared statement.
pub(super) trait KeySql: QueryFragment<Pg> + QueryId + Copy + Send {
    const COLUMNS: super::key::Columns;
    /// The key as a number; 0 for two numbers.
    const NUMBER: &'static str;
    /// NULL if there is no key, since the session does not find the table.
    const EXISTS: &'static str;
}

/// A name of a table, whose key the server computes.
#[derive(Clone, Copy)]
pub(super) struct InTable<'n> {
    pub(super) table: &'n str,
    pub(super) text: &'n str,
}

#[derive(Clone, Copy)]
pub(super) struct One(pub(super) i64);

#[derive(Clone, Copy)]
pub(super) struct Two(pub(super) i32, pub(super) i32);

impl KeySql for InTable<'_> {
    const COLUMNS: super::key::Columns = super::key::Columns::ONE;
    const NUMBER: &'static str = "coalesce(k, 0)";
    const EXISTS: &'static str = "k IS NOT NULL";
}

impl KeySql for One {
    const COLUMNS: super::key::Columns = super::key::Columns::ONE;
    const NUMBER: &'static str = "k";
    const EXISTS: &'static str = "true";
}

impl KeySql for Two {
    const COLUMNS: super::key::Columns = super::key::Columns::TWO;
    const NUMBER: &'static str = "0::bigint";
    const EXISTS: &'static str = "true";
}

// With a static id Diesel keeps the statement. The derive does not remove lifetimes.
impl QueryId for InTable<'_> {
    type QueryId = InTable<'static>;
}

impl QueryId for One {
    type QueryId = Self;
}

impl QueryId for Two {
    type QueryId = Self;
}

/// The texts are sent as their UTF-8 bytes, whatever encoding the session has.
impl QueryFragment<Pg> for InTable<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        use diesel::sql_types::Binary;

        use super::key::{KEY_IN_TABLE, TABLE_OF_BYTES};

        out.push_sql(KEY_IN_TABLE[0]);
        out.push_sql(TABLE_OF_BYTES[0]);
        out.push_bind_param::<Binary, [u8]>(self.table.as_bytes())?;
        out.push_sql(TABLE_OF_BYTES[1]);
        out.push_sql(KEY_IN_TABLE[1]);
        out.push_bind_param::<Binary, [u8]>(self.text.as_bytes())?;
        out.push_sql(KEY_IN_TABLE[2]);
        out.push_sql(" AS k");
        Ok(())
    }
}

impl QueryFragment<Pg> for One {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<diesel::sql_types::BigInt, _>(&self.0)?;
        out.push_sql(" AS k");
        Ok(())
    }
}

impl QueryFragment<Pg> for Two {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<diesel::sql_types::Integer, _>(&self.0)?;
        out.push_sql(" AS k1, ");
        out.push_bind_param::<diesel::sql_types::Integer, _>(&self.1)?;
        out.push_sql(" AS k2");
        Ok(())
    }
}

/// The SQL of a lock's mode.
pub(super) trait ModeSql: Send + 'static {
    const MODE: LockMode;
    /// The end of a function's name.
    const SUFFIX: &'static str;
    const CHECKS: &'static str;
}

pub(super) struct ExclusiveSql;

impl ModeSql for ExclusiveSql {
    const MODE: LockMode = LockMode::Exclusive;
    const SUFFIX: &'static str = "";
    const CHECKS: &'static str = "WHEN before = 1 THEN -2 ";
}

pub(super) struct SharedSql;

impl ModeSql for SharedSql {
    const MODE: LockMode = LockMode::Shared;
    const SUFFIX: &'static str = "_shared";
    const CHECKS: &'static str = "";
}

/// The end of a function's name.
pub(super) fn suffix(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Exclusive => ExclusiveSql::SUFFIX,
        LockMode::Shared => SharedSql::SUFFIX,
    }
}

/// The mode as `pg_locks` lists it.
pub(super) fn listed_mode(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Exclusive => "ExclusiveLock",
        LockMode::Shared => "ShareLock",
    }
}
