//! The lock that the arguments name.

use std::fmt;

use anyhow::{Result, bail};
use diesel_advisory_lock::inspect::{HeldLock, LockedObject, ParsedLockName, PostgresKey};
use diesel_advisory_lock::{KeyParts, LockKey, LockName};

use crate::args::Name;
use crate::output;

/// What decides about the namespace of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// MySQL and MariaDB: the schema.
    Mysql,
    /// The schema of the table; empty without one.
    Postgres,
}

/// A lock in a namespace.
pub(crate) struct Wanted {
    name: LockName,
    key: PostgresKey,
    /// Whether the argument does not look like a name of this crate.
    is_guess: bool,
}

/// The columns of a key in `pg_locks`.
pub(crate) struct Columns {
    pub(crate) classid: u32,
    pub(crate) objid: u32,
    pub(crate) objsubid: u8,
}

impl Wanted {
    #[cfg(feature = "mysql")]
    pub(crate) fn name(&self) -> &LockName {
        &self.name
    }

    pub(crate) fn key(&self) -> PostgresKey {
        self.key
    }

    pub(crate) fn full_name(&self) -> String {
        self.name.full_name("")
    }

    /// Whether the lock has only a key.
    pub(crate) fn is_number(&self) -> bool {
        self.name == Self::from(self.key).name
    }

    /// The halves of the key. Each has no sign there.
    pub(crate) fn columns(&self) -> Columns {
        let (high, low, objsubid) = match self.key {
            PostgresKey::One(key) => ((key >> 32) as u32, key as u32, 1),
            PostgresKey::Two(first, second) => (first as u32, second as u32, 2),
        };
        Columns {
            classid: high,
            objid: low,
            objsubid,
        }
    }

    /// Says on the standard error how the argument was read, if that may not be what was meant.
    pub(crate) fn note_guess(&self) {
        if self.is_guess {
            output::note(&format!(
                "note: `{self}` is taken as the name of another program's lock; for a named lock, \
                 add --named, and for a row --row <KEY>"
            ));
        }
    }

    pub(crate) fn is(&self, lock: &HeldLock) -> bool {
        match lock.postgres_key {
            Some(key) => key == self.key,
            None => lock.name.as_str() == self.full_name(),
        }
    }
}

impl From<LockName> for Wanted {
    /// The name must have a namespace.
    fn from(name: LockName) -> Self {
        let key = PostgresKey::One(name.postgres_key(""));
        Self {
            name,
            key,
            is_guess: false,
        }
    }
}

impl From<PostgresKey> for Wanted {
    fn from(key: PostgresKey) -> Self {
        let name = match key {
            PostgresKey::One(key) => LockName::exact_key(key),
            PostgresKey::Two(first, second) => LockName::exact_keys(first, second),
        };
        Self {
            name,
            key,
            is_guess: false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::readable::printable(&self.full_name()))
    }
}

/// What a name without a namespace is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of<'n> {
    Table(&'n str),
    /// The name is hashed.
    UnknownTable,
    /// A named lock.
    Nothing,
}

impl Name {
    /// Returns the lock. `default_schema` is asked if the name has no namespace, and no option
    /// decides about it.
    pub(crate) fn wanted(
        &self,
        dialect: Dialect,
        default_schema: impl FnOnce(Of<'_>) -> Result<String>,
    ) -> Result<Wanted> {
        let text = &*self.name;
        let (is_table, is_plain) = (
            self.table || !self.row.is_empty(),
            !self.named && !self.exact,
        );
        if is_plain
            && !is_table
            && dialect == Dialect::Postgres
            && let Some(key) = postgres_key(text)
        {
            return Ok(key.into());
        }
        if self.exact || (is_plain && !is_table && ParsedLockName::parse(text).is_some()) {
            return Ok(LockName::exact(text)?.into());
        }
        let namespace = |of| match (&self.namespace, dialect, of) {
            (Some(namespace), ..) => Ok(namespace.clone()),
            (None, Dialect::Postgres, Of::Nothing) => Ok(String::new()),
            _ => match &self.schema {
                Some(schema) => Ok(schema.clone()),
                None => default_schema(of),
            },
        };
        if is_table || self.named {
            let (name, of) = match (self.named, self.table) {
                (true, _) => (LockName::named(text), Of::Nothing),
                (false, true) => (LockName::table(dynamic_table(text)), Of::Table(text)),
                (false, false) => (
                    LockName::row_unchecked(dynamic_table(text), KeyText(&self.row)),
                    Of::Table(text),
                ),
            };
            let name = match &self.scope {
                Some(scope) => name.scope(scope),
                None => name,
            };
            return Ok(name.namespace(namespace(of)?).into());
        }
        // A name that is complete but for its namespace.
        if let Some(name) = ParsedLockName::parse(&in_namespace("", text)) {
            let of = match name.subject() {
                LockedObject::Row { table, .. } | LockedObject::Table { table } => Of::Table(table),
                // A hashed name has a `-` for the `=` of a named lock.
                LockedObject::Hashed { resembles } if !resembles.starts_with('-') => {
                    Of::UnknownTable
                }
                _ => Of::Nothing,
            };
            let namespace = namespace(of)?;
            return Ok(LockName::exact(in_namespace(&namespace, text))?.into());
        }
        if self.schema.is_some() || self.namespace.is_some() {
            bail!(
                "`{text}` is not a name that has a schema; for a named lock, add --named, and for \
                 a row --row <KEY>"
            );
        }
        Ok(Wanted {
            is_guess: true,
            ..LockName::exact(text)?.into()
        })
    }
}

/// The full name of which `text` is the part after the slash.
fn in_namespace(namespace: &str, text: &str) -> String {
    let other = LockName::named("").full_name(namespace);
    let (prefix, _) = other.split_once('/').unwrap_or_default();
    format!("{prefix}/{text}")
}

/// Parses `42`, `7,-2` or `(7, -2)`.
fn postgres_key(text: &str) -> Option<PostgresKey> {
    if let Ok(key) = text.parse() {
        return Some(PostgresKey::One(key));
    }
    let inner = text.strip_prefix('(').and_then(|it| it.strip_suffix(')'));
    let (first, second) = inner.unwrap_or(text).split_once(',')?;
    let number = |text: &str| text.trim().parse().ok();
    Some(PostgresKey::Two(number(first)?, number(second)?))
}

fn dynamic_table(name: &str) -> diesel_dynamic_schema::Table<String> {
    diesel_dynamic_schema::table(name.to_owned())
}

/// The text of each column of a primary key.
struct KeyText<'k>(&'k [String]);

impl LockKey for KeyText<'_> {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        for text in self.0 {
            text.write_parts(parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn wanted(dialect: Dialect, arguments: &[&str]) -> Result<Wanted> {
        let arguments = ["diesel-lock", "key"].iter().chain(arguments);
        match Cli::try_parse_from(arguments)?.command {
            Command::Key(key) => key.name.wanted(dialect, |of| match of {
                Of::UnknownTable => bail!("no schema"),
                _ => Ok("app".to_owned()),
            }),
            _ => bail!("another command"),
        }
    }

    fn full_names(arguments: &[&str]) -> [String; 2] {
        [Dialect::Mysql, Dialect::Postgres]
            .map(|dialect| wanted(dialect, arguments).expect("a name").full_name())
    }

    #[test]
    fn full_names_are_taken_as_they_are() {
        let name = "a172cedc/notifications:42#send";
        assert_eq!(full_names(&[name]), [name, name]);
        let key = wanted(Dialect::Postgres, &[name]).expect("a name").key();
        assert_eq!(key, PostgresKey::One(-3877307960987330209));
    }

    #[test]
    fn names_without_a_namespace_are_in_the_schema() {
        let row = "a172cedc/notifications:42";
        assert_eq!(full_names(&["notifications:42"]), [row, row]);
        let shared = "a4d26868/notifications:42";
        let option = ["notifications:42", "--schema", "shared"];
        assert_eq!(full_names(&option), [shared, shared]);
        let named = ["a172cedc/=nightly", "e3b0c442/=nightly"];
        assert_eq!(full_names(&["=nightly"]), named);
        assert_eq!(full_names(&["nightly", "--named"]), named);
        let namespace = ["=nightly", "--namespace", "app"];
        assert_eq!(full_names(&namespace), [named[0], named[0]]);
    }

    #[test]
    fn hashed_names_are_in_the_schema_unless_they_are_named() {
        let hashed = "documents-alice~2dxrguo33djacoxraybdt62xke";
        assert!(wanted(Dialect::Postgres, &[hashed]).is_err());
        let full = format!("a172cedc/{hashed}");
        let option = [hashed, "--schema", "app"];
        assert_eq!(full_names(&option), [&*full, &*full]);
        let named = "-nightly-report~em5uv4mb6abihta7cv75a2witm";
        assert_eq!(
            full_names(&[named]),
            [format!("a172cedc/{named}"), format!("e3b0c442/{named}")]
        );
    }

    #[test]
    fn components_give_the_golden_names() {
        let cases: [(&[&str], &str); 6] = [
            (
                &["documents", "--row", "Alice"],
                "documents-alice~2dxrguo33djacoxraybdt62xke",
            ),
            (
                &["documents", "--row", "Alice", "--scope", "send"],
                "documents-alice-send~k5ibsjkjwrg6235w62jqsa6sy4",
            ),
            (
                &["memberships", "--row", "7", "--row", "alice"],
                "memberships:7,alice",
            ),
            (&["notifications", "--row", "-7"], "notifications:-7"),
            (&["notifications", "--table"], "notifications:*"),
            (
                &["notifications", "--table", "--scope", "rebuild"],
                "notifications:*#rebuild",
            ),
        ];
        for (arguments, name) in cases {
            let name = format!("a172cedc/{name}");
            assert_eq!(full_names(arguments), [&*name, &*name]);
        }
    }

    #[test]
    fn numbers_are_keys_on_postgres() {
        let key = |text| wanted(Dialect::Postgres, &[text]).expect("a key").key();
        assert_eq!(key("42"), PostgresKey::One(42));
        assert_eq!(key("-9223372036854775808"), PostgresKey::One(i64::MIN));
        assert_eq!(key("7,-2"), PostgresKey::Two(7, -2));
        assert_eq!(key("(7, -2)"), PostgresKey::Two(7, -2));
        let exact = wanted(Dialect::Mysql, &["42"]).expect("a name");
        assert_eq!(exact.full_name(), "42");
        let exact = wanted(Dialect::Postgres, &["42", "--exact"]).expect("a name");
        assert_eq!(exact.key(), PostgresKey::One(0x7347_5cb4_0a56_8e8d));
    }

    #[test]
    fn other_names_are_exact() {
        let name = "Notification|42";
        assert_eq!(full_names(&[name]), [name, name]);
        assert!(wanted(Dialect::Mysql, &[""]).is_err());
        assert!(wanted(Dialect::Mysql, &["job", "--schema", "app"]).is_err());
    }
}
