//! The one place that asks Diesel for a table's name.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use diesel::mysql::{Mysql, MysqlQueryBuilder};
use diesel::query_builder::{QueryBuilder, QueryFragment};
use diesel::query_source::Table;

/// A table that can be locked: every table that `table!` makes.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::LockTable;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// /// For maintenance that wants no other maintenance beside it.
/// fn whole<T: LockTable>(table: T) -> LockName {
///     LockName::table(table).scope("maintenance")
/// }
/// assert_eq!(whole(accounts::table).to_string(), "accounts:*#maintenance");
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "expected the `table` struct that `table!` makes",
    note = "write `LockName::row(notifications::table, 42)`; a loaded model has `.lock_name()`"
)]
pub trait LockTable: Table + QueryFragment<Mysql> + 'static {}

impl<T: Table + QueryFragment<Mysql> + 'static> LockTable for T {}

pub(crate) struct TableIdentity {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

/// Rendering costs several allocations and a program has few tables, so each is rendered once and
/// kept for good.
static IDENTITIES: RwLock<BTreeMap<TypeId, &'static TableIdentity>> = RwLock::new(BTreeMap::new());

pub(crate) fn identity<T: LockTable>(table: &T) -> &'static TableIdentity {
    let id = TypeId::of::<T>();
    // A panic cannot leave the map half written, so a poisoned lock is as good as any.
    let known = IDENTITIES
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&id)
        .copied();
    known.unwrap_or_else(|| {
        let rendered = render(table);
        IDENTITIES
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id)
            .or_insert_with(|| Box::leak(Box::new(parse(&rendered))))
    })
}

fn render<T: LockTable>(table: &T) -> String {
    let mut builder = MysqlQueryBuilder::new();
    table
        .to_sql(&mut builder, &Mysql)
        .expect("a table's name renders without a connection");
    builder.finish()
}

/// `` `schema`.`table` `` or `` `table` ``, with a backtick in a name doubled. A hand-written
/// `Table` that renders as anything else is known by all that it renders.
fn parse(rendered: &str) -> TableIdentity {
    let whole = || TableIdentity {
        schema: None,
        name: rendered.to_owned(),
    };
    let Some((first, rest)) = identifier(rendered) else {
        return whole();
    };
    if rest.is_empty() {
        return TableIdentity {
            schema: None,
            name: first,
        };
    }
    match rest.strip_prefix('.').and_then(identifier) {
        Some((name, "")) => TableIdentity {
            schema: Some(first),
            name,
        },
        _ => whole(),
    }
}

/// A quoted identifier at the start, unquoted, and what follows it.
fn identifier(sql: &str) -> Option<(String, &str)> {
    let quoted = sql.strip_prefix('`')?;
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('`')?;
        name.push_str(part);
        match after.strip_prefix('`') {
            Some(after) => {
                name.push('`');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{identity, parse};

    diesel::table! {
        app.users (id) { id -> Integer, }
    }

    mod odd {
        diesel::table! {
            #[sql_name = "a`.`b"]
            odd (id) { id -> Integer, }
        }
    }

    fn parts(rendered: &str) -> (Option<String>, String) {
        let table = parse(rendered);
        (table.schema, table.name)
    }

    #[test]
    fn a_table_macro_gives_schema_and_name() {
        let users = identity(&users::table);
        assert_eq!(users.schema.as_deref(), Some("app"));
        assert_eq!(users.name, "users");
    }

    #[test]
    fn a_quoted_dot_does_not_make_a_schema() {
        let odd = identity(&odd::odd::table);
        assert_eq!(odd.schema, None);
        assert_eq!(odd.name, "a`.`b");
    }

    #[test]
    fn what_is_no_identifier_is_taken_whole() {
        for rendered in ["", "users", "`users` AS `u`", "`a`.`b`.`c`", "`a`.", "`a"] {
            assert_eq!(parts(rendered), (None, rendered.to_owned()));
        }
    }

    #[test]
    fn a_table_is_rendered_once() {
        assert!(std::ptr::eq(
            identity(&users::table),
            identity(&users::table)
        ));
    }
}
