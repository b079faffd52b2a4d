//! [`LockName`]: the name of a lock.

use std::sync::{Arc, LazyLock};
use std::{fmt, hash};

use sha2::Sha256;

use crate::key::{KeyParts, LockKey};
use crate::name_format::{Finished, Kind, NameWriter, namespace_prefix};
use crate::table::{LockTable, RowKey};

mod label;
mod parse;
mod postgres_key;

#[cfg(feature = "metrics")]
pub(crate) use label::NameLabel;
use label::TableOfName;
pub use parse::{LockedObject, ParsedLockName};
pub use postgres_key::PostgresKey;

/// The name of a lock: of a row, of a table, or of anything else.
///
/// Equal names are the same lock, in all processes that use the server. The text of a name is
/// stable and can be built in any language, as
/// [the guide](https://docs.rs/diesel-advisory-lock/latest/diesel_advisory_lock/guide/lock_names/)
/// specifies. `Display` shows it without the namespace:
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
/// let row = LockName::row(notifications::table, 42);
/// assert_eq!(row.to_string(), "notifications:42");
/// assert_eq!(row.scope("send").to_string(), "notifications:42#send");
/// assert_eq!(LockName::row(memberships::table, (7, "alice")).to_string(), "memberships:7,alice");
/// assert_eq!(LockName::table(notifications::table).to_string(), "notifications:*");
/// assert_eq!(LockName::named("nightly-report").to_string(), "=nightly-report");
///
/// // The full name has the connection's schema as its namespace, or the given one. On PostgreSQL
/// // it is the schema in which the session finds the table.
/// let report = LockName::named("report").namespace("all tenants");
/// assert_eq!(report.full_name("tenant_7"), report.full_name("tenant_8"));
/// ```
#[derive(Clone)]
pub struct LockName {
    namespace: Namespace,
    text: Arc<str>,
    /// The hash state of a hashed name, so that a scope can be added.
    hash: Option<Arc<Sha256>>,
    /// The name without its scope, so that another scope can replace it.
    unscoped: Option<Arc<LockName>>,
    /// Why the name must not be sent to a server. A thin reference, since every error contains a
    /// name.
    refused: Option<&'static &'static str>,
    table: TableOfName,
}

/// What a backend computes its lock key from.
#[derive(Clone, Debug)]
pub enum KeySource<'n> {
    /// The text after the slash. The session's namespace precedes it.
    InSessionNamespace {
        text: &'n str,
        /// The table, if the name is one of a table or of its row.
        table: Option<&'n str>,
    },
    /// The full name, which does not depend on the session.
    FullName(String),
    /// A key of PostgreSQL, and its text. No other server has such keys.
    PostgresKey(PostgresKey, &'n str),
}

#[cfg(feature = "mysql_backend")]
impl<'n> KeySource<'n> {
    /// Returns the full name in a session with this namespace.
    pub(crate) fn full_name(self, namespace: &str) -> String {
        match self {
            KeySource::InSessionNamespace { text, .. } => [namespace, "/", text].concat(),
            KeySource::FullName(name) => name,
            KeySource::PostgresKey(_, text) => text.to_owned(),
        }
    }

    pub(crate) fn in_namespace(self, namespace: &str) -> Self {
        KeySource::FullName(self.full_name(namespace))
    }
}

/// The part of a name before the slash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Namespace {
    /// The connection's schema, which the server hashes in the acquiring statement.
    Session,
    /// The schema in `table!`, or the caller's choice.
    Explicit([u8; 8]),
    /// No namespace and no slash.
    Exact,
    /// A key of PostgreSQL instead of a name.
    PostgresKey(PostgresKey),
}

impl Namespace {
    /// Whether the name takes neither a namespace nor a scope.
    fn is_exact(self) -> bool {
        matches!(self, Namespace::Exact | Namespace::PostgresKey(_))
    }
}

impl LockName {
    /// Returns the name of the row of `table` whose primary key is `key`. It equals the
    /// [`lock_name`](crate::Lockable::lock_name) of the loaded model.
    ///
    /// A composite key is a tuple, in the order of the primary key's columns. The width of an
    /// integer does not matter: `42_i64` and `42_i32` give the same name.
    ///
    /// **Spell a string key as the column stores it.** Under a case-insensitive collation (the
    /// default of MySQL and MariaDB) `find("alice")` finds the row `Alice`, but only `"Alice"`, or the
    /// loaded model, gives that row's name. Nothing is reloaded for a name, so no error reports a
    /// wrong spelling.
    ///
    /// The key must be one that Diesel's `find` takes for the table ([`RowKey`]); another type or
    /// number of columns does not compile.
    ///
    /// On PostgreSQL the table must exist, unless `table!` names its schema or
    /// [`namespace`](Self::namespace) is set: acquiring the lock of a table that the session does
    /// not find returns [`LockError::Database`](crate::LockError::Database).
    ///
    /// A custom key type needs Diesel's `AsExpression` as well as [`LockKey`]. For a type that has
    /// only `LockKey`, use a model's [`lock_name`](crate::Lockable::lock_name), or
    /// `#[derive(Lockable)]` with `#[lock(table = .., key(..))]`.
    pub fn row<T, K>(table: T, key: K) -> Self
    where
        T: LockTable,
        K: RowKey<T>,
    {
        Self::row_unchecked(table, key)
    }

    /// Like [`row`](Self::row), but takes any key: the caller is responsible for its type and the
    /// order of its columns.
    ///
    /// Use it for tables whose key Diesel does not know, such as those of `diesel-dynamic-schema`,
    /// and for key types that implement only [`LockKey`].
    pub fn row_unchecked<T: LockTable, K: LockKey>(table: T, key: K) -> Self {
        let (namespace, of, mut name) = Self::in_table(&table, Kind::Row);
        key.write_parts(&mut KeyParts::new(&mut name));
        Self::new(namespace, of, name.finish())
    }

    /// Returns the name of a whole table. Its lock excludes only other locks of the whole table,
    /// not those of rows.
    pub fn table<T: LockTable>(table: T) -> Self {
        let (namespace, of, mut name) = Self::in_table(&table, Kind::Table);
        name.punctuation(":*");
        Self::new(namespace, of, name.finish())
    }

    /// Returns the name of anything else, such as a job or a resource outside of the database.
    ///
    /// Any string is allowed. A string that is long, or has other characters than `[a-z0-9_.-]`, is
    /// hashed, so that no server refuses it or treats it as equal to another name.
    ///
    /// Its namespace is the connection's current schema. On PostgreSQL it is empty, so all sessions
    /// of the database share the lock, whatever their `search_path`.
    pub fn named(name: impl AsRef<str>) -> Self {
        let mut writer = NameWriter::new(Kind::Named);
        writer.punctuation("=");
        writer.component("", name.as_ref());
        Self::new(Namespace::Session, TableOfName::None, writer.finish())
    }

    /// Returns the name of one use of the same row, table or resource, which has a separate lock:
    /// `notifications:42#send` and `notifications:42` do not exclude each other. A second call
    /// replaces the scope.
    ///
    /// An [exact](Self::exact) name takes no scope:
    /// [acquiring](crate::LockDsl::acquire) the result returns
    /// [`LockError::InvalidName`](crate::LockError::InvalidName).
    #[must_use]
    pub fn scope(self, scope: impl AsRef<str>) -> Self {
        if self.namespace.is_exact() {
            return self.refuse(&"an exact name takes no scope; write the scope into the name");
        }
        let (namespace, table) = (self.namespace, self.table.clone());
        let base = match self.unscoped {
            Some(base) => base,
            None => Arc::new(self),
        };
        let scoped = NameWriter::scope(&base.text, base.hash.as_deref(), scope.as_ref());
        LockName {
            unscoped: Some(base),
            ..Self::new(namespace, table, scoped)
        }
    }

    /// Returns the same name in `namespace`, instead of in the connection's current schema or the
    /// schema in `table!`. Programs that work in different schemas share a lock this way.
    ///
    /// On PostgreSQL it replaces the schema in which the session finds the table, and the table
    /// need not exist. Sessions in two databases never share a lock there.
    ///
    /// On MySQL and MariaDB, use it too for connections that change their schema with `USE`. With
    /// Diesel's statement cache, the default, a session without an explicit namespace keeps the
    /// schema in which it first acquired a lock, as Diesel's own queries keep their schema. With
    /// `CacheSize::Disabled` both follow `USE`.
    ///
    /// An [exact](Self::exact) name takes no namespace:
    /// [acquiring](crate::LockDsl::acquire) the result returns
    /// [`LockError::InvalidName`](crate::LockError::InvalidName).
    #[must_use]
    pub fn namespace(self, namespace: impl AsRef<str>) -> Self {
        if self.namespace.is_exact() {
            return self.refuse(&"an exact name takes no namespace; write it into the name");
        }
        LockName {
            namespace: Namespace::Explicit(namespace_prefix(namespace.as_ref())),
            ..self
        }
    }

    /// Returns the full name that is sent to the server on a connection whose current schema is
    /// `schema` (`""` for none).
    ///
    /// Use it to search `performance_schema.metadata_locks`, or as the argument of `IS_USED_LOCK`.
    /// PostgreSQL has [`postgres_key`](Self::postgres_key) instead, a hash of this name.
    ///
    /// ```
    /// use diesel_advisory_lock::LockName;
    ///
    /// assert_eq!(LockName::named("nightly").full_name("app"), "a172cedc/=nightly");
    /// ```
    pub fn full_name(&self, schema: &str) -> String {
        match self.namespace {
            Namespace::Session => self.after(namespace_prefix(schema)),
            Namespace::Explicit(prefix) => self.after(prefix),
            Namespace::Exact | Namespace::PostgresKey(_) => self.text.to_string(),
        }
    }

    /// Returns the key of the lock on PostgreSQL, for a table in the schema `schema`: the first
    /// eight bytes of the SHA-256 of the [full name](Self::full_name).
    ///
    /// A name of [`named`](Self::named) has the empty namespace on PostgreSQL, since locks belong
    /// to the database there, and not to a schema: pass `""`. The guide's page on lock names
    /// shows how to search `pg_locks` for the key.
    ///
    /// ```
    /// use diesel_advisory_lock::LockName;
    ///
    /// diesel::table! {
    ///     notifications (id) { id -> Integer, }
    /// }
    ///
    /// let name = LockName::row(notifications::table, 42);
    /// assert_eq!(name.full_name("app"), "a172cedc/notifications:42");
    /// assert_eq!(name.postgres_key("app"), 4878127644074511631);
    /// ```
    pub fn postgres_key(&self, schema: &str) -> i64 {
        match self.namespace {
            Namespace::PostgresKey(key) => key.as_i64(),
            _ => PostgresKey::of_full_name(&self.full_name(schema)).as_i64(),
        }
    }

    /// What a backend computes its lock key from.
    pub(crate) fn key_source(&self) -> KeySource<'_> {
        match self.namespace {
            Namespace::Session => KeySource::InSessionNamespace {
                text: &self.text,
                table: self.table.name(),
            },
            Namespace::Explicit(_) | Namespace::Exact => KeySource::FullName(self.full_name("")),
            Namespace::PostgresKey(key) => KeySource::PostgresKey(key, &self.text),
        }
    }

    /// The name in errors about an empty set.
    pub(crate) fn of_empty_set() -> &'static Self {
        static NOTHING: LazyLock<LockName> = LazyLock::new(|| LockName::named("nothing"));
        &NOTHING
    }

    /// Returns why the name must not be sent to a server.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        self.refused.copied()
    }

    /// An exact name whose text is not checked.
    pub(crate) fn exact_unchecked(text: &str) -> Self {
        LockName {
            namespace: Namespace::Exact,
            text: text.into(),
            hash: None,
            unscoped: None,
            refused: None,
            table: TableOfName::None,
        }
    }

    /// The name of a lock that is known by its key alone.
    pub(crate) fn of_postgres_key(key: PostgresKey) -> Self {
        LockName {
            namespace: Namespace::PostgresKey(key),
            ..Self::exact_unchecked(&key.to_string())
        }
    }

    /// Whether only PostgreSQL has this lock.
    pub(crate) fn is_postgres_key(&self) -> bool {
        matches!(self.namespace, Namespace::PostgresKey(_))
    }

    pub(crate) fn refuse(mut self, reason: &'static &'static str) -> Self {
        self.refused = Some(reason);
        self
    }

    /// An order of names that is the same everywhere in the process.
    pub(crate) fn cmp_in_process(&self, other: &Self) -> std::cmp::Ordering {
        self.identity().cmp(&other.identity())
    }

    fn identity(&self) -> (Namespace, &str, bool) {
        (self.namespace, &self.text, self.refused.is_some())
    }

    fn new(namespace: Namespace, table: TableOfName, written: Finished) -> Self {
        LockName {
            namespace,
            text: written.text,
            hash: written.hash,
            unscoped: None,
            refused: None,
            table,
        }
    }

    fn in_table<T: LockTable>(table: &T, kind: Kind) -> (Namespace, TableOfName, NameWriter) {
        crate::table::with_identity(table, |table, kept| {
            let namespace = match &table.schema {
                None => Namespace::Session,
                Some(schema) => Namespace::Explicit(namespace_prefix(schema)),
            };
            let mut name = NameWriter::new(kind);
            name.component("", &table.name);
            let of = match kept {
                Some(table) => TableOfName::Static(table),
                None => TableOfName::Dynamic(Arc::new(table.clone())),
            };
            (namespace, of, name)
        })
    }

    /// The label of the name in metrics.
    #[cfg(feature = "metrics")]
    pub(crate) fn label(&self) -> NameLabel<'_> {
        let base = self.unscoped.as_deref().unwrap_or(self);
        match (self.table.label(), self.namespace) {
            (Some(table), _) => NameLabel::Table(table),
            (None, namespace) if namespace.is_exact() => NameLabel::Exact,
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

impl LockName {
    /// Returns the name of the lock `pg_advisory_lock(key)`, to share a lock with a PostgreSQL
    /// program that does not use this crate. For anything else use [`named`](Self::named).
    ///
    /// On another server, acquiring it returns
    /// [`LockError::InvalidName`](crate::LockError::InvalidName). It takes neither a scope nor a
    /// namespace.
    ///
    /// ```
    /// use diesel_advisory_lock::LockName;
    ///
    /// let name = LockName::exact_key(42);
    /// assert_eq!((name.to_string(), name.postgres_key("")), ("42".to_owned(), 42));
    /// ```
    pub fn exact_key(key: i64) -> Self {
        Self::of_postgres_key(PostgresKey::One(key))
    }

    /// Returns the name of the lock `pg_advisory_lock(first, second)`, which is another lock than
    /// that of any single key; see [`exact_key`](Self::exact_key).
    ///
    /// [`postgres_key`](Self::postgres_key) has `first` in its high 32 bits.
    ///
    /// ```
    /// use diesel_advisory_lock::LockName;
    ///
    /// let name = LockName::exact_keys(1, 2);
    /// assert_eq!((name.to_string(), name.postgres_key("")), ("(1, 2)".to_owned(), (1 << 32) + 2));
    /// ```
    pub fn exact_keys(first: i32, second: i32) -> Self {
        Self::of_postgres_key(PostgresKey::Two(first, second))
    }
}

/// A refused name never equals a valid one.
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
            Namespace::Explicit(prefix) => {
                let prefix = str::from_utf8(prefix).map_err(|_| fmt::Error)?;
                return quoted(f, &format!("{prefix}/{}", self.text));
            }
            Namespace::Exact | Namespace::PostgresKey(_) => "",
        };
        quoted(f, &format!("{prefix}{}", self.text))
    }
}

/// Formats the name as a string literal, since an exact name may contain line breaks and quotes.
fn quoted(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    write!(f, "LockName({name:?})")
}

#[cfg(test)]
mod tests {
    use super::{LockName, PostgresKey};

    #[test]
    fn debug_quotes_the_name() {
        let exact = LockName::exact_unchecked("a\n\"b\"");
        assert_eq!(format!("{exact:?}"), r#"LockName("a\n\"b\"")"#);
        let named = LockName::named("nightly");
        assert_eq!(format!("{named:?}"), r#"LockName("<schema>/=nightly")"#);
        let named = named.namespace("app");
        assert_eq!(format!("{named:?}"), r#"LockName("a172cedc/=nightly")"#);
    }

    #[test]
    fn key_of_a_name_is_the_start_of_its_sha256() {
        let key = PostgresKey::of_full_name("a172cedc/notifications:42");
        assert_eq!(key, PostgresKey::One(0x43b2_973f_3213_0d0f));
        // The first bit is the sign.
        let key = PostgresKey::of_full_name("");
        assert_eq!(key, PostgresKey::One(0xe3b0_c442_98fc_1c14_u64 as i64));
    }

    #[test]
    fn two_numbers_are_the_halves_of_64_bits() {
        for (first, second, bits) in [
            (0, 0, 0),
            (1, 2, 0x1_0000_0002),
            (7, -2, 0x7_ffff_fffe),
            (-1, 0, -0x1_0000_0000),
            (-1, -1, -1),
            (i32::MIN, 0, i64::MIN),
            (i32::MIN, i32::MIN, i64::MIN + 0x8000_0000),
            (i32::MAX, -1, i64::MAX),
        ] {
            assert_eq!(PostgresKey::Two(first, second).as_i64(), bits);
            let name = LockName::exact_keys(first, second);
            assert_eq!(name.postgres_key("app"), bits);
            assert_ne!(name, LockName::exact_key(bits));
        }
    }

    #[test]
    fn key_is_written_as_arguments() {
        let name = LockName::exact_key(i64::MIN);
        assert_eq!(name.to_string(), "-9223372036854775808");
        assert_eq!(name.full_name("app"), "-9223372036854775808");
        assert_eq!(LockName::exact_keys(7, -2).to_string(), "(7, -2)");
        assert_eq!(format!("{name:?}"), r#"LockName("-9223372036854775808")"#);
    }

    /// The text of an exact name may be that of a key.
    #[test]
    fn key_differs_from_the_exact_name_of_its_text() {
        let key = LockName::exact_key(42);
        assert_ne!(key, LockName::exact_unchecked("42"));
        assert_eq!(key, LockName::exact_key(42));
        let hashed = LockName::exact_unchecked("42").postgres_key("");
        assert_eq!(hashed, 0x7347_5cb4_0a56_8e8d);
    }

    #[test]
    fn scope_and_namespace_of_a_key_are_refused() {
        for key in [LockName::exact_key(1), LockName::exact_keys(1, 2)] {
            assert!(key.refusal().is_none());
            for refused in [key.clone().scope("a"), key.clone().namespace("a")] {
                assert!(refused.refusal().is_some());
                assert_ne!(refused, key);
            }
        }
    }

    /// The namespace of the session does not matter to a name that has its own.
    #[test]
    fn schema_matters_only_to_names_without_a_namespace() {
        let name = LockName::named("job");
        assert_ne!(name.postgres_key("a"), name.postgres_key("b"));
        let in_a = name.clone().namespace("a");
        assert_eq!(in_a.postgres_key("b"), name.postgres_key("a"));
        let exact = LockName::exact_unchecked("job");
        assert_eq!(exact.postgres_key("a"), exact.postgres_key("b"));
    }
}
