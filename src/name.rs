//! [`LockName`]: the name of a lock.

use std::sync::{Arc, LazyLock};
use std::{fmt, hash};

use sha2::Sha256;

use crate::key::{KeyParts, LockKey};
use crate::name_format::{Finished, Kind, NameWriter, namespace_prefix};
use crate::table::{LockTable, RowKey};

mod label;
mod parse;

use label::Label;
#[cfg(feature = "metrics")]
pub(crate) use label::NameLabel;
pub use parse::{LockedObject, ParsedLockName};

/// The name of a lock: of a row, of a table, or of anything else.
///
/// Two names that are equal are one lock, in this process and in any other that speaks to the
/// same server. The written form is stable and can be built in any language; it is stated in
/// [`docs/lock-names.md`](https://docs.rs/crate/diesel-advisory-lock/latest/source/docs/lock-names.md).
/// `Display` shows it without the namespace:
///
/// ```
/// use diesel_advisory_lock::LockName;
///
/// diesel::table! {
///     notifications (id) { id -> Integer, }
/// }
/// diesel::table! {
///     memberships (team, user) { team -> Integer, user -> Text, }
/// }
///
/// assert_eq!(LockName::row(notifications::table, 42).to_string(), "notifications:42");
/// assert_eq!(LockName::row(memberships::table, (7, "alice")).to_string(), "memberships:7,alice");
/// assert_eq!(LockName::table(notifications::table).to_string(), "notifications:*");
/// assert_eq!(LockName::named("nightly-report").to_string(), "=nightly-report");
/// ```
#[derive(Clone)]
pub struct LockName {
    namespace: Namespace,
    text: Arc<str>,
    /// The state of a hashed name before its last byte, so that a scope can be added.
    hash: Option<Arc<Sha256>>,
    /// What a scoped name was before, so that another scope replaces it.
    unscoped: Option<Arc<LockName>>,
    /// Why no server may be asked for this name; told when it is. A thin reference, since every error has a name in it.
    refused: Option<&'static &'static str>,
    label: Label,
}

/// What a server computes its lock key from.
#[derive(Debug)]
pub enum KeySource<'n> {
    /// The text after the slash. The session's namespace goes before it.
    InSessionNamespace(&'n str),
    /// The full name, which does not depend on the session.
    FullName(String),
}

impl<'n> KeySource<'n> {
    /// The full name in a session whose namespace is written so.
    pub(crate) fn full_name(self, namespace: &str) -> String {
        match self {
            KeySource::InSessionNamespace(text) => [namespace, "/", text].concat(),
            KeySource::FullName(name) => name,
        }
    }

    pub(crate) fn in_namespace(self, namespace: &str) -> Self {
        KeySource::FullName(self.full_name(namespace))
    }
}

/// What stands before the slash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Namespace {
    /// The connection's schema, which the server hashes in the acquiring statement.
    Session,
    /// Known here: the table's own schema or the caller's choice.
    Given([u8; 8]),
    /// No namespace and no slash.
    Exact,
}

impl LockName {
    /// The row of `table` whose primary key is `key`: the same name as the loaded model's.
    ///
    /// A composite key is a tuple, in the order of the primary key's columns. An integer is the
    /// same key whatever its width: a model whose id is `42_i64` has the name of one whose id is `42_i32`.
    ///
    /// **A string key is taken as it is stored.** Under a case-insensitive collation (the default
    /// of both servers) `find("alice")` finds the row `Alice`, but only `"Alice"`, or the loaded
    /// model, gives that row's name. Nothing is reloaded for a name, so no error reports a wrong
    /// spelling.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(LockName::row(notifications::table, 42).to_string(), "notifications:42");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The key must be one that Diesel's `find` takes for the table ([`RowKey`]). Another type, too
    /// few or too many columns, or another order of columns of different types do not compile.
    ///
    /// A key type of your own needs Diesel's `AsExpression` as well as [`LockKey`]. For one that
    /// has only `LockKey`, use a model's [`lock_name`](crate::Lockable::lock_name), or
    /// `#[derive(Lockable)]` with `#[lock(table = .., key(..))]`.
    pub fn row<T, K>(table: T, key: K) -> Self
    where
        T: LockTable,
        K: RowKey<T>,
    {
        Self::row_unchecked(table, key)
    }

    /// [`row`](Self::row) with any key: the caller answers for its type and the order of its columns.
    ///
    /// For tables whose key Diesel does not know, such as those of `diesel-dynamic-schema`, and for key types that have
    /// [`LockKey`] alone.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(LockKey)]
    /// struct AccountId(i64);
    ///
    /// let name = LockName::row_unchecked(accounts::table, AccountId(7));
    /// assert_eq!(name.to_string(), "accounts:7");
    /// # Ok(())
    /// # }
    /// ```
    pub fn row_unchecked<T: LockTable, K: LockKey>(table: T, key: K) -> Self {
        let (namespace, label, mut name) = Self::in_table(&table, Kind::Row);
        key.write_parts(&mut KeyParts::new(&mut name));
        Self::new(namespace, label, name.finish())
    }

    /// The whole table. It excludes only other locks of the whole table: a row's lock is another
    /// lock.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let all = LockName::table(notifications::table);
    /// assert_eq!(all.to_string(), "notifications:*");
    /// assert_ne!(all, LockName::row(notifications::table, 42));
    /// # Ok(())
    /// # }
    /// ```
    pub fn table<T: LockTable>(table: T) -> Self {
        let (namespace, label, mut name) = Self::in_table(&table, Kind::Table);
        name.punctuation(":*");
        Self::new(namespace, label, name.finish())
    }

    /// Any string at all: a job, a resource outside the database.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// assert_eq!(LockName::named("nightly-report").to_string(), "=nightly-report");
    /// // Whatever the server would not take, or take for another, is hashed.
    /// assert_ne!(LockName::named("Nightly report"), LockName::named("nightly report"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn named(name: impl AsRef<str>) -> Self {
        let mut writer = NameWriter::new(Kind::Named);
        writer.punctuation("=");
        writer.component("", name.as_ref());
        Self::new(Namespace::Session, Label::NO_TABLE, writer.finish())
    }

    /// A lock of its own for one use of the same thing: `notifications:42#send` and
    /// `notifications:42` do not exclude each other. A second call replaces the first.
    ///
    /// An [exact](Self::exact) name takes no scope; [acquiring](crate::LockDsl::acquire) it
    /// then is [`LockError::InvalidName`](crate::LockError::InvalidName).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let row = LockName::row(notifications::table, 42);
    /// assert_eq!(row.scope("send").to_string(), "notifications:42#send");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn scope(self, scope: impl AsRef<str>) -> Self {
        if self.namespace == Namespace::Exact {
            return self.refuse(&"an exact name takes no scope: write it into the name");
        }
        let (namespace, label) = (self.namespace, self.label);
        let base = match self.unscoped {
            Some(base) => base,
            None => Arc::new(self),
        };
        let scoped = NameWriter::scope(&base.text, base.hash.as_deref(), scope.as_ref());
        LockName {
            unscoped: Some(base),
            ..Self::new(namespace, label, scoped)
        }
    }

    /// Locks in `namespace` rather than in the connection's current schema or the one that the
    /// `table!` names. Programs that work in different schemas share a lock this way.
    ///
    /// Also for connections that change their schema with `USE`. With Diesel's statement cache, the
    /// default, the session keeps the namespace of the schema in which it first acquired such a
    /// lock, as Diesel's own queries keep their schema. With `CacheSize::Disabled` both follow
    /// `USE`.
    ///
    /// An [exact](Self::exact) name takes no namespace; [acquiring](crate::LockDsl::acquire)
    /// it then is [`LockError::InvalidName`](crate::LockError::InvalidName).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let report = LockName::named("report").namespace("all tenants");
    /// assert_eq!(report.full_name("tenant_7"), report.full_name("tenant_8"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn namespace(self, namespace: impl AsRef<str>) -> Self {
        if self.namespace == Namespace::Exact {
            return self.refuse(&"an exact name takes no namespace: write it into the name");
        }
        LockName {
            namespace: Namespace::Given(namespace_prefix(namespace.as_ref())),
            ..self
        }
    }

    /// The full name as the server sees it on a connection whose current schema is `schema`
    /// (`""` for none): what to look for in `performance_schema.metadata_locks`, or to pass to
    /// `IS_USED_LOCK`.
    ///
    /// ```
    /// use diesel_advisory_lock::LockName;
    ///
    /// assert_eq!(LockName::named("nightly").full_name("app"), "a172cedc/=nightly");
    /// ```
    pub fn full_name(&self, schema: &str) -> String {
        match self.namespace {
            Namespace::Session => self.after(namespace_prefix(schema)),
            Namespace::Given(prefix) => self.after(prefix),
            Namespace::Exact => self.text.to_string(),
        }
    }

    /// What a server computes its lock key from.
    pub(crate) fn key_source(&self) -> KeySource<'_> {
        match self.namespace {
            Namespace::Session => KeySource::InSessionNamespace(&self.text),
            Namespace::Given(_) | Namespace::Exact => KeySource::FullName(self.full_name("")),
        }
    }

    /// What errors name where a set of locks is empty.
    pub(crate) fn of_empty_set() -> &'static Self {
        static NOTHING: LazyLock<LockName> = LazyLock::new(|| LockName::named("nothing"));
        &NOTHING
    }

    /// Why no server may be asked for this name.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        self.refused.copied()
    }

    /// A name without namespace, slash, and any check of its text.
    pub(crate) fn exact_unchecked(text: &str) -> Self {
        LockName {
            namespace: Namespace::Exact,
            text: text.into(),
            hash: None,
            unscoped: None,
            refused: None,
            label: Label::NO_TABLE,
        }
    }

    pub(crate) fn refuse(mut self, reason: &'static &'static str) -> Self {
        self.refused = Some(reason);
        self
    }

    /// Any order of names that is the same throughout a process.
    pub(crate) fn cmp_in_process(&self, other: &Self) -> std::cmp::Ordering {
        self.identity().cmp(&other.identity())
    }

    fn identity(&self) -> (Namespace, &str, bool) {
        (self.namespace, &self.text, self.refused.is_some())
    }

    fn new(namespace: Namespace, label: Label, written: Finished) -> Self {
        LockName {
            namespace,
            text: written.text,
            hash: written.hash,
            unscoped: None,
            refused: None,
            label,
        }
    }

    fn in_table<T: LockTable>(table: &T, kind: Kind) -> (Namespace, Label, NameWriter) {
        crate::table::with_identity(table, |table, kept| {
            let namespace = match &table.schema {
                None => Namespace::Session,
                Some(schema) => Namespace::Given(namespace_prefix(schema)),
            };
            let mut name = NameWriter::new(kind);
            name.component("", &table.name);
            (namespace, kept.map_or(Label::DYNAMIC, Label::table), name)
        })
    }

    /// What it is counted by.
    #[cfg(feature = "metrics")]
    pub(crate) fn label(&self) -> NameLabel<'_> {
        let base = self.unscoped.as_deref().unwrap_or(self);
        match (self.label.table_name(), self.namespace) {
            (Some(table), _) => NameLabel::Table(table),
            (None, Namespace::Exact) => NameLabel::Exact,
            (None, _) if base.hash.is_some() => NameLabel::Hashed,
            (None, _) => NameLabel::Named(&base.text),
        }
    }

    fn after(&self, prefix: [u8; 8]) -> String {
        let mut name = String::with_capacity(prefix.len() + 1 + self.text.len());
        name.extend(prefix.map(char::from));
        name.push('/');
        name.push_str(&self.text);
        name
    }
}

/// A refused name equals none that is not.
impl PartialEq for LockName {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for LockName {}

impl hash::Hash for LockName {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match &self.namespace {
            Namespace::Session => "<schema>/",
            Namespace::Given(prefix) => {
                let prefix = str::from_utf8(prefix).map_err(|_| fmt::Error)?;
                return quoted(f, &format!("{prefix}/{}", self.text));
            }
            Namespace::Exact => "",
        };
        quoted(f, &format!("{prefix}{}", self.text))
    }
}

/// As a string literal, which escapes the line breaks and quotes of an exact name.
fn quoted(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    write!(f, "LockName({name:?})")
}

#[cfg(test)]
mod tests {
    use super::LockName;

    #[test]
    fn debug_quotes_the_name() {
        let exact = LockName::exact_unchecked("a\n\"b\"");
        assert_eq!(format!("{exact:?}"), r#"LockName("a\n\"b\"")"#);
        let named = LockName::named("nightly");
        assert_eq!(format!("{named:?}"), r#"LockName("<schema>/=nightly")"#);
        let named = named.namespace("app");
        assert_eq!(format!("{named:?}"), r#"LockName("a172cedc/=nightly")"#);
    }
}
