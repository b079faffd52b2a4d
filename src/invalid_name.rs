//! [`LockName::exact`], and the names that a server would refuse, truncate or confuse.

use crate::backend::Backend;
use crate::error::LockError;
use crate::name::LockName;

impl LockName {
    /// Returns an unchanged name without a namespace, to share a lock with a program that does not
    /// use this crate. For anything else use [`named`](Self::named).
    ///
    /// MySQL folds ASCII case, MariaDB does not: `Job` and `job` are one lock on MySQL and two
    /// locks on MariaDB. MariaDB compares bytes, and this crate sends the name as UTF-8, whatever
    /// the character sets of the session. Another program must use a connection with `utf8mb4`.
    ///
    /// On PostgreSQL the lock is that of a hash of the name
    /// ([`postgres_key`](Self::postgres_key)). For a program that has its own numbers there, use
    /// [`exact_key`](Self::exact_key) or [`exact_keys`](Self::exact_keys).
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidName`] if MySQL or MariaDB would refuse the name, truncate it, or treat
    /// it as equal to another one, whatever the server of the connection. This is so if the name
    ///
    /// - is empty,
    /// - is longer than 64 characters (MySQL's limit),
    /// - contains a NUL, where both of them end the name,
    /// - contains a character beyond U+FFFF, which MySQL refuses, or
    /// - contains a capital letter outside ASCII: MySQL reads `É` as `é`, and the Kelvin sign as
    ///   `k`.
    ///
    /// ```
    /// use diesel_advisory_lock::LockName;
    ///
    /// assert!(LockName::exact("Notification|42").is_ok());
    /// assert!(LockName::exact("").is_err());
    /// ```
    pub fn exact(name: impl AsRef<str>) -> Result<Self, LockError> {
        let text = name.as_ref();
        let refusal = refusal_of_exact(text);
        let name = LockName::exact_unchecked(text);
        match refusal {
            None => Ok(name),
            Some(reason) => Err(LockError::InvalidName {
                name: name.refuse(reason),
                reason,
            }),
        }
    }

    /// Returns an error if the name must not be sent to the server.
    pub(crate) fn check<B: Backend>(&self) -> Result<(), LockError> {
        let reason = match self.refusal() {
            Some(reason) => reason,
            None if self.is_postgres_key() && !B::HAS_POSTGRES_KEYS => {
                "only PostgreSQL has locks that are named by numbers; use `LockName::exact`, or \
                 `LockName::named`"
            }
            None => return Ok(()),
        };
        Err(LockError::InvalidName {
            name: self.clone(),
            reason,
        })
    }
}

/// The limits of MariaDB 10.11 and MySQL 9.7, measured.
fn refusal_of_exact(name: &str) -> Option<&'static &'static str> {
    let folded = |char: char| !char.is_ascii() && !char.to_lowercase().eq([char]);
    if name.is_empty() {
        Some(&"it is empty; use at least one character")
    } else if name.chars().count() > 64 {
        Some(
            &"it is longer than 64 characters, MySQL's limit; shorten it, or use `LockName::named`",
        )
    } else if name.contains('\0') {
        Some(&"it contains a NUL, where both servers would end it; remove the NUL")
    } else if name.chars().any(|char| char > '\u{FFFF}') {
        Some(&"it contains a character beyond U+FFFF, which MySQL refuses; use `LockName::named`")
    } else if name.chars().any(folded) {
        Some(
            &"it contains a capital letter outside ASCII, which MySQL reads as the small letter; \
              use the small letter, or `LockName::named`",
        )
    } else {
        None
    }
}
