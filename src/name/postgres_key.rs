//! [`PostgresKey`]: the number by which PostgreSQL knows a lock.

use std::fmt;

use sha2::{Digest, Sha256};

/// The key of a lock on PostgreSQL, which has two separate spaces of keys.
///
/// `Display` writes `4878127644074511631` or `(1, 2)`, as the arguments of `pg_advisory_lock`.
///
/// ```
/// use diesel_advisory_lock::inspect::PostgresKey;
///
/// assert_eq!(PostgresKey::One(42).to_string(), "42");
/// assert_eq!(PostgresKey::Two(1, 2).to_string(), "(1, 2)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostgresKey {
    /// `pg_advisory_lock(bigint)`, as for all names of this crate.
    One(i64),
    /// `pg_advisory_lock(int, int)`.
    Two(i32, i32),
}

impl PostgresKey {
    /// The first eight bytes of the SHA-256 of the full name.
    pub(crate) fn of_full_name(name: &str) -> Self {
        let hash = Sha256::digest(name);
        let bytes = hash.first_chunk().expect("a SHA-256 has 32 bytes");
        PostgresKey::One(i64::from_be_bytes(*bytes))
    }

    /// The 64 bits of the key, as `pg_locks` shows them in `classid` and `objid`.
    pub(crate) fn as_i64(self) -> i64 {
        match self {
            PostgresKey::One(key) => key,
            PostgresKey::Two(high, low) => i64::from(high) << 32 | i64::from(low as u32),
        }
    }
}

impl fmt::Display for PostgresKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PostgresKey::One(key) => write!(f, "{key}"),
            PostgresKey::Two(high, low) => write!(f, "({high}, {low})"),
        }
    }
}
