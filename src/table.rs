//! The name of a table, as Diesel renders it.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use diesel::backend::Backend;
use diesel::query_builder::{QueryBuilder, QueryFragment};
use diesel::query_dsl::methods::FindDsl;
use diesel::query_source::Table;

use crate::key::LockKey;

/// The SQL dialect in which Diesel renders a table's name, for every backend: the result is part of
/// the frozen lock name. It needs no server and no client library.
type Dialect = diesel::mysql::Mysql;

/// A table that can be locked: every table that `table!` makes.
///
/// A table that is a value, such as one of `diesel-dynamic-schema`, is named by that value. Metrics
/// count all of these tables as `(dynamic)`.
///
/// ```
/// use diesel_advisory_lock::LockTable;
/// use diesel_advisory_lock::prelude::*;
///
/// /// The lock of a table's maintenance.
/// fn maintenance<T: LockTable>(table: T) -> LockName {
///     LockName::table(table).scope("maintenance")
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "expected the `table` struct that `table!` makes",
    note = "write `LockName::row(notifications::table, 42)`, or for a loaded model \
            `model.lock_name()`"
)]
pub trait LockTable: Table + QueryFragment<Dialect> + 'static {}

impl<T: Table + QueryFragment<Dialect> + 'static> LockTable for T {}

/// A key that Diesel's `find` takes for the table `T`, and that can be part of a lock's name.
///
/// It is implemented for all such keys, and exists so that the compiler can say what does not fit.
///
/// ```
/// use diesel_advisory_lock::prelude::*;
/// use diesel_advisory_lock::{LockTable, RowKey};
///
/// fn report_of<T: LockTable, K: RowKey<T>>(table: T, key: K) -> LockName {
///     LockName::row(table, key).scope("report")
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the primary key of `{T}`",
    label = "Diesel's `find` does not take this for the table, or it does not implement `LockKey`",
    note = "pass what `table.find(..)` takes: a key of the column's type, or for a composite key \
            a tuple in the order of the columns",
    note = "for a custom key type, derive Diesel's `AsExpression` and `LockKey`; or use \
            `LockName::row_unchecked`, which takes any key"
)]
pub trait RowKey<T>: LockKey {}

#[diagnostic::do_not_recommend]
impl<T: FindDsl<K>, K: LockKey> RowKey<T> for K {}

#[derive(Clone)]
pub(crate) struct TableIdentity {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

/// The tables that are types, each rendered once and never freed: rendering allocates, and a
/// program has few tables. A table that is a value is rendered each time.
static IDENTITIES: RwLock<BTreeMap<TypeId, &'static TableIdentity>> = RwLock::new(BTreeMap::new());

/// Calls `use_it` with the table's identity, and with a `'static` reference to it if there is one.
pub(crate) fn with_identity<T: LockTable, R>(
    table: &T,
    use_it: impl FnOnce(&TableIdentity, Option<&'static TableIdentity>) -> R,
) -> R {
    if size_of::<T>() > 0 {
        return use_it(&parse(&render(table)), None);
    }
    let known = identity(table);
    use_it(known, Some(known))
}

fn identity<T: LockTable>(table: &T) -> &'static TableIdentity {
    let id = TypeId::of::<T>();
    // Poisoning is ignored: a panic cannot leave the map half written.
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
    let mut builder = <Dialect as Backend>::QueryBuilder::default();
    table
        .to_sql(&mut builder, &Dialect::default())
        .expect("a table's name renders without a connection");
    builder.finish()
}

/// Parses `` `schema`.`table` `` or `` `table` ``, in which a backtick within a name is doubled.
/// For a hand-written `Table` that renders as anything else, the whole text is the name.
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

/// Splits off a quoted identifier, and returns it without quotes, and the rest.
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
    fn text_that_is_no_identifier_is_the_whole_name() {
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
