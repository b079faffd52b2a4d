//! [`ParsedLockName`]: a lock's name, read back from a server.

use std::fmt;

use crate::name_format::{HASH_CHARS, SLUG_MAX, is_plain, namespace_prefix};

/// The whole name of a lock as a server has it, read back.
///
/// ```
/// use diesel_advisory_lock::inspect::{LockedObject, ParsedLockName};
///
/// let name = ParsedLockName::parse("a172cedc/memberships:7,alice#send").expect("a name of this crate");
/// assert!(name.is_in("app"));
/// assert_eq!(name.scope(), Some("send"));
/// let LockedObject::Row { table, key } = name.subject() else { panic!("a row") };
/// assert_eq!((table.as_str(), key.as_slice()), ("memberships", &["7".to_owned(), "alice".to_owned()][..]));
///
/// assert!(ParsedLockName::parse("some other program's lock").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParsedLockName {
    written: String,
    subject: LockedObject,
    scope: Option<String>,
}

/// What a lock is of, as far as its name tells.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use diesel_advisory_lock::inspect::{LockedObject, ParsedLockName};
///
/// let written = LockName::table(notifications::table).full_name("app");
/// let read = ParsedLockName::parse(&written).expect("a name of this crate");
/// assert_eq!(*read.subject(), LockedObject::Table { table: "notifications".into() });
/// # Ok(())
/// # }
/// ```
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
    /// A name that was too long or had other characters than `[a-z0-9_.-]`, of which only a resemblance is left.
    Hashed {
        /// The start of what the name would be, in lower case, with `-` for all that is not plain.
        resembles: String,
    },
}

impl ParsedLockName {
    /// Reads a whole name, such as [`LockName::full_name`](crate::LockName::full_name) gives. `None`: it is not written as
    /// this crate writes names, or [exact](crate::LockName::exact), which looks like any other program's.
    ///
    /// ```
    /// use diesel_advisory_lock::inspect::ParsedLockName;
    ///
    /// assert!(ParsedLockName::parse("a172cedc/notifications:42").is_some());
    /// assert!(ParsedLockName::parse("notification|42").is_none());
    /// ```
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

    /// The whole name.
    ///
    /// ```
    /// use diesel_advisory_lock::inspect::ParsedLockName;
    ///
    /// let name = ParsedLockName::parse("a172cedc/=nightly").expect("a name of this crate");
    /// assert_eq!(name.as_str(), "a172cedc/=nightly");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The eight hex digits before the slash: the start of the SHA-256 of the namespace.
    ///
    /// ```
    /// use diesel_advisory_lock::inspect::ParsedLockName;
    ///
    /// let name = ParsedLockName::parse("a172cedc/=nightly").expect("a name of this crate");
    /// assert_eq!(name.namespace(), "a172cedc");
    /// ```
    pub fn namespace(&self) -> &str {
        &self.written[..8]
    }

    /// Whether the lock is in this namespace, such as a schema (`""` for none).
    ///
    /// ```
    /// use diesel_advisory_lock::inspect::ParsedLockName;
    ///
    /// let name = ParsedLockName::parse("a172cedc/=nightly").expect("a name of this crate");
    /// assert!(name.is_in("app") && !name.is_in("shop"));
    /// ```
    pub fn is_in(&self, namespace: &str) -> bool {
        self.namespace().as_bytes() == namespace_prefix(namespace)
    }

    /// What is locked.
    ///
    /// ```
    /// use diesel_advisory_lock::inspect::{LockedObject, ParsedLockName};
    ///
    /// let name = ParsedLockName::parse("a172cedc/=nightly").expect("a name of this crate");
    /// assert_eq!(*name.subject(), LockedObject::Named { name: "nightly".into() });
    /// ```
    pub fn subject(&self) -> &LockedObject {
        &self.subject
    }

    /// The [scope](crate::LockName::scope), where it is plain. A hashed name may have one that cannot be told.
    ///
    /// ```
    /// use diesel_advisory_lock::inspect::ParsedLockName;
    ///
    /// let name = ParsedLockName::parse("a172cedc/accounts:7#statement").expect("a name of this crate");
    /// assert_eq!(name.scope(), Some("statement"));
    /// ```
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

/// The whole name.
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
