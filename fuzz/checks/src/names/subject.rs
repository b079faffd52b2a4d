//! What is locked, in two ways: as the fuzzer makes it up, and as the strings that it comes to.

use arbitrary::Arbitrary;
use diesel_advisory_lock::LockName;

use super::key::{Key, Part};
use super::tables;
use crate::text::Text;

/// What the fuzzer makes up.
#[derive(Arbitrary, Debug)]
pub(super) enum Thing {
    Row(u8, Part, Vec<Part>),
    Table(u8),
    Named(Text),
}

/// Everything that a name depends on, but the connection's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockedObject {
    pub(super) of: Of,
    pub(super) scope: Option<String>,
    /// By `.namespace(..)`.
    pub(super) namespace: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The number of a table, and the text of each column of the key.
    Row(u8, Vec<String>),
    Table(u8),
    Named(String),
}

impl Thing {
    pub(super) fn name(&self) -> LockName {
        match self {
            Thing::Row(table, first, more) => {
                tables::row(*table, &Key(std::iter::once(first).chain(more).collect()))
            }
            Thing::Table(table) => tables::table(*table),
            Thing::Named(text) => LockName::named(&text.0),
        }
    }
}

impl LockedObject {
    pub(super) fn of(thing: Thing) -> Self {
        let of = match thing {
            Thing::Row(table, first, more) => {
                let parts = std::iter::once(&first).chain(&more);
                Of::Row(table, parts.map(Part::as_documented).collect())
            }
            Thing::Table(table) => Of::Table(table),
            Thing::Named(text) => Of::Named(text.0),
        };
        LockedObject {
            of,
            scope: None,
            namespace: None,
        }
    }

    /// The name that the crate gives, by a way of its own: all parts of a key are strings.
    pub(super) fn name(&self) -> LockName {
        let mut name = match &self.of {
            Of::Row(table, texts) => {
                let parts: Vec<Part> = texts
                    .iter()
                    .map(|text| Part::Text(Text(text.clone())))
                    .collect();
                tables::row(*table, &Key(parts.iter().collect()))
            }
            Of::Table(table) => tables::table(*table),
            Of::Named(text) => LockName::named(text),
        };
        if let Some(namespace) = &self.namespace {
            name = name.namespace(namespace);
        }
        if let Some(scope) = &self.scope {
            name = name.scope(scope);
        }
        name
    }

    /// Schema, if the `table!` names one, and name.
    pub(super) fn table(&self) -> Option<tables::Sql> {
        match self.of {
            Of::Row(table, _) | Of::Table(table) => Some(tables::sql(table)),
            Of::Named(_) => None,
        }
    }

    /// The namespace that is known before there is a connection.
    pub(super) fn effective_namespace(&self) -> Option<&str> {
        let of_table = || self.table().and_then(|table| table.schema);
        self.namespace.as_deref().or_else(of_table)
    }

    /// What the part after the slash says: two different ones must never give one name.
    pub(super) fn identity(&self) -> Identity {
        let (kind, components) = match &self.of {
            Of::Row(_, key) => ('r', key.clone()),
            Of::Table(_) => ('t', Vec::new()),
            Of::Named(text) => ('n', vec![text.clone()]),
        };
        Identity {
            kind,
            table: self.table().map(|table| table.name),
            components,
            scope: self.scope.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    kind: char,
    table: Option<&'static str>,
    components: Vec<String>,
    scope: Option<String>,
}
