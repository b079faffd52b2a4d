//! The label of a lock in metrics. Without the feature `metrics` nothing is stored.

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

/// The table of a name. A thin reference, since every error contains a name.
#[derive(Clone, Copy)]
pub(super) struct Label {
    #[cfg(feature = "metrics")]
    table: Option<&'static TableIdentity>,
}

/// All tables that are values, since there may be any number of them.
#[cfg(feature = "metrics")]
static DYNAMIC: TableIdentity = TableIdentity {
    schema: None,
    name: String::new(),
};

impl Label {
    pub(super) const NO_TABLE: Self = Label {
        #[cfg(feature = "metrics")]
        table: None,
    };

    pub(super) const DYNAMIC: Self = Label {
        #[cfg(feature = "metrics")]
        table: Some(&DYNAMIC),
    };

    #[cfg_attr(
        not(feature = "metrics"),
        allow(unused_variables, reason = "only metrics have labels")
    )]
    pub(super) fn table(table: &'static TableIdentity) -> Self {
        Label {
            #[cfg(feature = "metrics")]
            table: Some(table),
        }
    }

    #[cfg(feature = "metrics")]
    pub(super) fn table_name(self) -> Option<&'static str> {
        self.table.map(|table| match table.name.as_str() {
            "" => "(dynamic)",
            name => name,
        })
    }
}
