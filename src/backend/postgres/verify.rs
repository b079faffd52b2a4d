//! Whether the session holds its locks. Only `pg_locks` can tell, since raw SQL may have released
//! them.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text};

use super::key::{KEY_IN_TABLE, Key, Level, TABLE_OF_BYTES, Target};
use super::query::listed_mode;
use crate::backend::{Condition, Held};
use crate::driver::Driver;
use crate::name::PostgresKey;
use crate::transaction::TransactionContext;

pub(super) async fn are_held<D: Driver<Db = Pg>>(
    driver: &mut D,
    keys: &[&Key],
    context: TransactionContext,
) -> QueryResult<Held> {
    let query = AreHeld::new(keys);
    let (answer, is_open) = match context {
        TransactionContext::NoTransaction => driver.load_one_and_transaction(query).await,
        TransactionContext::TestTransaction | TransactionContext::Transaction => {
            (driver.load_one(query).await, None)
        }
    };
    let answer: Vec<i64> = answer?;
    let &[missing, elsewhere] = answer.as_slice() else {
        return Err(DieselError::DeserializationError(
            "an unknown answer about held locks".into(),
        ));
    };
    Ok(match usize::try_from(missing) {
        Ok(missing) if missing > 0 => Held::Missing(missing - 1),
        _ if is_open == Some(true) => Held::All(Condition::TransactionOpen),
        _ if elsewhere > 0 => Held::All(Condition::OtherNamespace),
        _ => Held::All(Condition::Clean),
    })
}

/// Answers the first lock that is missing, counted from 1, or 0; and how many names of tables would
/// now be other locks.
struct AreHeld<'k> {
    pid: i32,
    classids: Vec<i64>,
    objids: Vec<i64>,
    objsubids: Vec<i32>,
    modes: Vec<&'static str>,
    /// Of names of tables, else NULL.
    tables: Vec<Option<&'k [u8]>>,
    texts: Vec<Option<&'k [u8]>>,
}

impl<'k> AreHeld<'k> {
    fn new(keys: &[&'k Key]) -> Self {
        let mut query = AreHeld {
            pid: keys.first().map_or(0, |key| key.pid),
            classids: Vec::with_capacity(keys.len()),
            objids: Vec::with_capacity(keys.len()),
            objsubids: Vec::with_capacity(keys.len()),
            modes: Vec::with_capacity(keys.len()),
            tables: Vec::with_capacity(keys.len()),
            texts: Vec::with_capacity(keys.len()),
        };
        for key in keys {
            let (number, objsubid) = match key.id {
                Some(id @ PostgresKey::One(_)) => (id.as_i64(), 1),
                Some(id @ PostgresKey::Two(..)) => (id.as_i64(), 2),
                // No lock is listed with this number.
                None => (0, 0),
            };
            query.classids.push((number >> 32) & 0xFFFF_FFFF);
            query.objids.push(number & 0xFFFF_FFFF);
            query.objsubids.push(objsubid);
            query.modes.push(listed_mode(key.mode));
            let (table, text) = match &key.target {
                Target::InTable { table, text } if key.level == Level::Session => {
                    (Some(table.as_bytes()), Some(text.as_bytes()))
                }
                _ => (None, None),
            };
            query.tables.push(table);
            query.texts.push(text);
        }
        query
    }
}

impl QueryFragment<Pg> for AreHeld<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH wanted AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&self.classids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.objids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&self.objsubids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.modes)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Binary>>, _>(&self.tables)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Binary>>, _>(&self.texts)?;
        out.push_sql(
            ") WITH ORDINALITY AS w(high, low, kind, mode, of_table, of_text, item)), \
             listed AS MATERIALIZED (SELECT classid::bigint AS high, objid::bigint AS low, \
             objsubid::int AS kind, mode FROM pg_catalog.pg_locks WHERE locktype = 'advisory' \
             AND granted AND pid = pg_catalog.pg_backend_pid() AND pid = ",
        );
        out.push_bind_param::<Integer, _>(&self.pid)?;
        out.push_sql(
            ") SELECT ARRAY[coalesce((SELECT pg_catalog.min(item) FROM wanted w WHERE NOT EXISTS \
             (SELECT FROM listed l WHERE l.high = w.high AND l.low = w.low AND l.kind = w.kind \
             AND l.mode = w.mode)), 0), (SELECT pg_catalog.count(*) FROM wanted WHERE of_table IS \
             NOT NULL AND (high << 32 | low) IS DISTINCT FROM ",
        );
        let [start, middle, end] = KEY_IN_TABLE;
        let [before, after] = TABLE_OF_BYTES;
        for sql in [
            start, before, "of_table", after, middle, "of_text", end, ")]",
        ] {
            out.push_sql(sql);
        }
        Ok(())
    }
}

impl QueryId for AreHeld<'_> {
    type QueryId = AreHeld<'static>;
}

impl Query for AreHeld<'_> {
    type SqlType = Array<BigInt>;
}
