//! [`PostgresKey`]: the number by which PostgreSQL knows a lock.

use std::fmt;

use sha2::{Digest, Sha256};

use super::LockName;

/// The key of a lock on PostgreSQL, which has two separate spaces of keys.
///
/// `Display` writes `4878127644074511631` or `(1, 2)`, as the arguments of `pg_advisory_lock`.
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

#[cfg(test)]
mod tests {
    use super::{LockName, PostgresKey};

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
