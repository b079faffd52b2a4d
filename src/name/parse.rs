//! [`ParsedLockName`]: the parts of a full name.

use std::fmt;

use super::PostgresKey;
use crate::name_format::{HASH_CHARS, SLUG_MAX, is_plain, namespace_prefix};

/// A lock's full name, parsed: what [`LockName::full_name`](crate::name::LockName::full_name)
/// returns and what a server lists.
///
/// ```
/// use diesel_advisory_lock::inspect::{LockedObject, ParsedLockName};
///
/// let name = "a172cedc/memberships:7,alice#send";
/// let name = ParsedLockName::parse(name).expect("a name of this crate");
/// assert!(name.is_in("app"));
/// assert_eq!(name.scope(), Some("send"));
/// let LockedObject::Row { table, key } = name.subject() else { panic!("a row") };
/// assert_eq!((&**table, key.join(",")), ("memberships", "7,alice".to_owned()));
///
/// assert!(ParsedLockName::parse("some other program's lock").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParsedLockName {
    written: String,
    subject: LockedObject,
    scope: Option<String>,
}

/// What a lock locks, as far as its name says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockedObject {
    /// [`LockName::row`](crate::LockName::row).
    Row {
        /// The table, without its schema.
        table: String,
        /// The parts of the primary key, as text.
        key: Vec<String>,
    },
    /// [`LockName::table`](crate::LockName::table).
    Table {
        /// The table, without its schema.
        table: String,
    },
    /// [`LockName::named`](crate::LockName::named).
    Named {
        /// The name.
        name: String,
    },
    /// A name that was hashed, since it was too long or had other characters than `[a-z0-9_.-]`.
    Hashed {
        /// The start of the readable name, in lower case, with `-` for all other characters.
        resembles: String,
    },
    /// [`LockName::exact`](crate::LockName::exact), which
    /// [`held_locks`](crate::inspect::held_locks) reports on PostgreSQL.
    Exact {
        /// The name.
        name: String,
    },
    /// A lock of PostgreSQL of which only the key is known. It may be a lock of another program.
    Key {
        /// The key.
        key: PostgresKey,
    },
}

impl ParsedLockName {
    /// Parses a full name. Returns `None` if it does not have the format of this crate, as an
    /// [exact](crate::name::LockName::exact) name.
    pub fn parse(written: &str) -> Option<Self> {
        let (namespace, text) = written.split_once('/')?;
        let is_hex = |char: char| matches!(char, '0'..='9' | 'a'..='f');
        if namespace.len() != 8 || !namespace.chars().all(is_hex) {
            return None;
        }
        let (subject, scope) = match text.rsplit_once('~') {
            Some((slug, hash)) => (hashed(slug, hash)?, None),
            None => plain(text)?,
        };
        Some(ParsedLockName {
            written: written.to_owned(),
            subject,
            scope,
        })
    }

    /// The name whose key on PostgreSQL is known to be the lock's.
    #[cfg(feature = "postgres_backend")]
    pub(crate) fn of_known_name(written: String) -> Self {
        Self::parse(&written).unwrap_or_else(|| ParsedLockName {
            subject: LockedObject::Exact {
                name: written.clone(),
            },
            written,
            scope: None,
        })
    }

    /// A lock of which only the key is known.
    #[cfg(feature = "postgres_backend")]
    pub(crate) fn of_unknown_name(key: PostgresKey) -> Self {
        ParsedLockName {
            written: key.to_string(),
            subject: LockedObject::Key { key },
            scope: None,
        }
    }

    /// Returns the full name, or the text of the key if [only that is known](LockedObject::Key).
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Returns the eight hex digits before the slash: the start of the SHA-256 of the namespace. It
    /// is empty if the name [is exact](LockedObject::Exact) or [not known](LockedObject::Key).
    pub fn namespace(&self) -> &str {
        match self.subject {
            LockedObject::Exact { .. } | LockedObject::Key { .. } => "",
            _ => &self.written[..8],
        }
    }

    /// Returns whether the lock is in this namespace, such as a schema (`""` for none). `false` if
    /// the [namespace](Self::namespace) is empty.
    pub fn is_in(&self, namespace: &str) -> bool {
        self.namespace().as_bytes() == namespace_prefix(namespace)
    }

    /// Returns what is locked.
    pub fn subject(&self) -> &LockedObject {
        &self.subject
    }

    /// Returns the [scope](crate::name::LockName::scope), if there is one and the name is not
    /// hashed.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

/// Writes the text of [`ParsedLockName::as_str`].
impl fmt::Display for ParsedLockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

fn hashed(slug: &str, hash: &str) -> Option<LockedObject> {
    let is_base32 = |char: char| matches!(char, 'a'..='z' | '2'..='7');
    let is_slug = is_plain(slug) && slug.len() <= SLUG_MAX;
    let is_hash = hash.len() == HASH_CHARS && hash.chars().all(is_base32);
    (is_slug && is_hash).then(|| LockedObject::Hashed {
        resembles: slug.to_owned(),
    })
}

fn plain(text: &str) -> Option<(LockedObject, Option<String>)> {
    let owned = |text: &str| is_plain(text).then(|| text.to_owned());
    let (text, scope) = match text.split_once('#') {
        Some((text, scope)) => (text, Some(owned(scope)?)),
        None => (text, None),
    };
    let subject = if let Some(name) = text.strip_prefix('=') {
        LockedObject::Named { name: owned(name)? }
    } else {
        let (table, key) = text.split_once(':')?;
        let table = owned(table)?;
        match key {
            "*" => LockedObject::Table { table },
            key => LockedObject::Row {
                table,
                key: key.split(',').map(owned).collect::<Option<_>>()?,
            },
        }
    };
    Some((subject, scope))
}

#[cfg(all(test, feature = "postgres_backend"))]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_exact_names_have_no_namespace() {
        let unknown = ParsedLockName::of_unknown_name(PostgresKey::Two(1, 2));
        let exact = ParsedLockName::of_known_name("job".to_owned());
        assert_eq!((unknown.as_str(), exact.as_str()), ("(1, 2)", "job"));
        for name in [&unknown, &exact] {
            assert_eq!((name.namespace(), name.is_in("")), ("", false));
        }
        let key = PostgresKey::Two(1, 2);
        assert_eq!(unknown.subject(), &LockedObject::Key { key });
        let name = "job".to_owned();
        assert_eq!(exact.subject(), &LockedObject::Exact { name });
    }
}
