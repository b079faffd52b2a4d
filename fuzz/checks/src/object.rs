//! What a lock is of, as the strings that its name is made from.

use arbitrary::Arbitrary;
use diesel_advisory_lock::LockName;

use crate::key::Key;
use crate::text::{optional_text, text, texts};

/// Everything that a name depends on, except the connection's schema.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    #[arbitrary(with = optional_text)]
    pub(crate) scope: Option<String>,
    #[arbitrary(with = optional_text)]
    pub(crate) namespace: Option<String>,
}

#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Kind {
    /// The text of each part of the key, of which there is at least one.
    Row(Table, #[arbitrary(with = texts)] Vec<String>),
    Table(Table),
    Named(#[arbitrary(with = text)] String),
}

/// A table that is a value, so that its name can be generated.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Table {
    #[arbitrary(with = optional_text)]
    pub(crate) schema: Option<String>,
    #[arbitrary(with = text)]
    pub(crate) name: String,
}

impl Table {
    pub(crate) fn row(&self, key: &Key) -> LockName {
        let name = self.name.clone();
        match self.schema.clone() {
            Some(schema) => {
                LockName::row_unchecked(diesel_dynamic_schema::schema(schema).table(name), key)
            }
            None => LockName::row_unchecked(diesel_dynamic_schema::table(name), key),
        }
    }

    fn whole(&self) -> LockName {
        let name = self.name.clone();
        match self.schema.clone() {
            Some(schema) => LockName::table(diesel_dynamic_schema::schema(schema).table(name)),
            None => LockName::table(diesel_dynamic_schema::table(name)),
        }
    }
}

impl Object {
    pub(crate) fn name(&self) -> LockName {
        let mut name = match &self.kind {
            Kind::Row(table, key) => table.row(&Key::of_texts(key)),
            Kind::Table(table) => table.whole(),
            Kind::Named(text) => LockName::named(text),
        };
        if let Some(namespace) = &self.namespace {
            name = name.namespace(namespace);
        }
        if let Some(scope) = &self.scope {
            name = name.scope(scope);
        }
        name
    }

    pub(crate) fn without_options(&self) -> Self {
        Object {
            kind: self.kind.clone(),
            scope: None,
            namespace: None,
        }
    }

    /// The namespace, if it does not depend on the connection.
    pub(crate) fn known_namespace(&self) -> Option<&str> {
        let of_table = match &self.kind {
            Kind::Row(table, _) | Kind::Table(table) => table.schema.as_deref(),
            Kind::Named(_) => None,
        };
        self.namespace.as_deref().or(of_table)
    }

    /// What the part after the slash identifies: the kind, its strings, and the scope.
    pub(crate) fn identity(&self) -> (char, Option<&str>, &[String], Option<&str>) {
        let (kind, table, texts) = match &self.kind {
            Kind::Row(table, key) => ('r', Some(&table.name), key.as_slice()),
            Kind::Table(table) => ('t', Some(&table.name), [].as_slice()),
            Kind::Named(text) => ('n', None, std::slice::from_ref(text)),
        };
        (
            kind,
            table.map(String::as_str),
            texts,
            self.scope.as_deref(),
        )
    }
}
