//! [`TableOfName`]: the table that a name was made for.

use std::sync::Arc;

use crate::table::TableIdentity;

/// The label of a lock in metrics.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy)]
pub(crate) enum NameLabel<'n> {
    Table(&'static str),
    /// Such as `=nightly-report`, without a scope.
    Named(&'n str),
    /// A name that is not readable.
    Hashed,
    Exact,
}

/// The table of a name: for metrics, and for servers on which the table decides the namespace.
#[derive(Clone)]
pub(super) enum TableOfName {
    None,
    Static(&'static TableIdentity),
    /// A table that is a value. Metrics count all of them as one, since there may be any number.
    Dynamic(Arc<TableIdentity>),
}

impl TableOfName {
    /// The table's name, without its schema.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            TableOfName::None => None,
            TableOfName::Static(table) => Some(&table.name),
            TableOfName::Dynamic(table) => Some(&table.name),
        }
    }

    #[cfg(feature = "metrics")]
    pub(super) fn label(&self) -> Option<&'static str> {
        match self {
            TableOfName::None => None,
            TableOfName::Static(table) => Some(&table.name),
            TableOfName::Dynamic(_) => Some("(dynamic)"),
        }
    }
}
