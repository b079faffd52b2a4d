//! [`Key`]: a lock of PostgreSQL, and the SQL that names it.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use data_encoding::HEXLOWER;

use crate::mode::LockMode;
use crate::name::{KeySource, PostgresKey};

/// The start of the SHA-256 of an empty text: the namespace of names without a table.
const EMPTY_NAMESPACE: &str = "e3b0c442";

/// Whether the session or a transaction holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Session,
    /// A transaction of the caller's, at whose end the lock is released.
    Transaction,
    /// A transaction of the library's, which is marked by this number.
    OwnTransaction(u64),
}

/// How a session is recognized.
#[derive(Clone, Copy, Debug)]
pub enum SessionId {
    /// The process of the session.
    Pid(i32),
    /// What the library has marked the session with.
    Mark(u64),
}

/// What a lock's number is computed from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A name of a table, in the schema in which the session finds the table.
    InTable {
        table: String,
        text: String,
    },
    Key(PostgresKey),
}

impl Target {
    pub(super) fn of(source: &KeySource<'_>) -> Self {
        match source {
            KeySource::InSessionNamespace {
                text,
                table: Some(table),
            } => Target::InTable {
                table: (*table).to_owned(),
                text: (*text).to_owned(),
            },
            KeySource::InSessionNamespace { text, table: None } => {
                Target::of_full_name(&[EMPTY_NAMESPACE, "/", text].concat())
            }
            KeySource::FullName(name) => Target::of_full_name(name),
            KeySource::PostgresKey(key, _) => Target::Key(*key),
        }
    }

    fn of_full_name(name: &str) -> Self {
        Target::Key(PostgresKey::of_full_name(name))
    }

    pub(super) fn columns(&self) -> &'static Columns {
        match self {
            Target::InTable { .. } | Target::Key(PostgresKey::One(_)) => &Columns::ONE,
            Target::Key(PostgresKey::Two(..)) => &Columns::TWO,
        }
    }

    /// A FROM item with the key's [`Columns`], as text.
    pub(super) fn table_sql(&self) -> String {
        match self {
            Target::InTable { .. } | Target::Key(PostgresKey::One(_)) => {
                format!("(SELECT {} AS k OFFSET 0) AS lock_key", self.key_sql())
            }
            Target::Key(PostgresKey::Two(first, second)) => {
                format!("(SELECT ({first})::int AS k1, ({second})::int AS k2 OFFSET 0) AS lock_key")
            }
        }
    }

    /// The key as a number, as text. Two numbers have none.
    pub(super) fn key_sql(&self) -> String {
        match self {
            Target::InTable { table, text } => {
                let [start, middle, end] = KEY_IN_TABLE;
                let (table, text) = (identifier(table), literal(text));
                [start, &table, middle, &text, end].concat()
            }
            Target::Key(key) => format!("({})::bigint", key.as_i64()),
        }
    }
}

/// Whether a text is the same in every encoding, and needs no escapes.
fn is_plain(text: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_.,:#=~/-".contains(char);
    text.chars().all(is_plain)
}

/// The bytes of a text.
fn literal(text: &str) -> String {
    match is_plain(text) {
        true => format!("'{text}'::bytea"),
        false => format!(
            "pg_catalog.decode('{}', 'hex')",
            HEXLOWER.encode(text.as_bytes())
        ),
    }
}

/// A name of a table, quoted.
fn identifier(table: &str) -> String {
    match is_plain(table) {
        true => format!("'\"{table}\"'"),
        false => [TABLE_OF_BYTES[0], &literal(table), TABLE_OF_BYTES[1]].concat(),
    }
}

/// A name of a table, quoted: the parts around its UTF-8 bytes.
pub(super) const TABLE_OF_BYTES: [&str; 2] = [
    "pg_catalog.quote_ident(pg_catalog.convert_from(",
    ", 'UTF8'))",
];

/// The key of a name of a table: the parts around the quoted table and the text, as UTF-8 bytes. It
/// is NULL if the session does not find the table.
///
/// A function finds the schema, since a query of `pg_class` and `pg_namespace` takes three times as
/// long to plan. It quotes the schema. 1259 is `pg_class` on every server.
pub(super) const KEY_IN_TABLE: [&str; 3] = [
    "('x' || pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256(pg_catalog.convert_to(\
     pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(\
     (pg_catalog.parse_ident((pg_catalog.pg_identify_object(1259, pg_catalog.to_regclass(",
    "), 0)).schema))[1], 'UTF8')), 'hex'), 8) || '/', 'UTF8') || ",
    "), 1, 8), 'hex'))::bit(64)::bigint",
];

/// The SQL of a key whose numbers are columns.
pub(super) struct Columns {
    /// The arguments of the locking functions.
    pub(super) args: &'static str,
    /// The key as text.
    pub(super) text: &'static str,
    /// Whether a row of `pg_locks` is of this key.
    pub(super) is_listed: &'static str,
}

/// `classid` and `objid` of a column of type `bigint`.
macro_rules! high {
    ($key:literal) => {
        concat!("(", $key, " >> 32) & 4294967295")
    };
}

impl Columns {
    pub(super) const ONE: Self = Columns {
        args: "k",
        text: "k::text",
        is_listed: concat!(
            "objsubid = 1 AND classid::bigint = ",
            high!("k"),
            " AND objid::bigint = k & 4294967295"
        ),
    };

    pub(super) const TWO: Self = Columns {
        args: "k1, k2",
        text: "k1 || ',' || k2",
        is_listed: "objsubid = 2 AND classid::bigint = k1::bigint & 4294967295 \
                    AND objid::bigint = k2::bigint & 4294967295",
    };
}

/// A lock of the server.
#[derive(Clone, Debug)]
pub struct Key {
    /// The name, without the namespace if that is the session's.
    pub(super) text: String,
    /// `None` for a lock whose number only the server has computed.
    pub(super) id: Option<PostgresKey>,
    pub(super) target: Target,
    pub(super) mode: LockMode,
    pub(super) level: Level,
    /// The process of the session, once it has answered.
    pub(super) pid: i32,
}

impl Key {
    pub(super) fn new(source: &KeySource<'_>, mode: LockMode, level: Level) -> Self {
        let text = match source {
            KeySource::InSessionNamespace { text, .. } | KeySource::PostgresKey(_, text) => {
                (*text).to_owned()
            }
            KeySource::FullName(name) => name.clone(),
        };
        let target = Target::of(source);
        let id = match &target {
            Target::InTable { .. } => None,
            Target::Key(key) => Some(*key),
        };
        Key {
            text,
            id,
            target,
            mode,
            level,
            pid: 0,
        }
    }

    /// What the server computed, or what it must compute.
    pub(super) fn resolved(&self) -> Target {
        match self.id {
            Some(id) => Target::Key(id),
            None => self.target.clone(),
        }
    }

    fn order(&self) -> (Option<PostgresKey>, &str) {
        (self.id, &self.text)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// By number, which is the same in all sessions.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.id, other.id) {
            (Some(id), Some(other)) => id.cmp(&other),
            _ => self.order().cmp(&other.order()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::EMPTY_NAMESPACE;
    use crate::name_format::namespace_prefix;

    #[test]
    fn names_without_a_table_have_the_empty_namespace() {
        assert_eq!(EMPTY_NAMESPACE.as_bytes(), namespace_prefix(""));
    }
}
