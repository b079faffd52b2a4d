//! Names that a server would refuse, cut, or take for another one.

use crate::error::LockError;
use crate::name::LockName;

impl LockName {
    /// A name as given and without a namespace, to share a lock with a program that
    /// does not use this crate. For anything else prefer [`named`](Self::named).
    ///
    /// MySQL folds ASCII case here, MariaDB does not: `Job` and `job` are one lock on the former and
    /// two on the latter. Beyond ASCII, MariaDB compares bytes: this crate asks for the name's UTF-8, whatever character
    /// sets its session has. Another program asks for the same lock if its connection's character set is `utf8mb4`.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidName`] if a server would refuse the name, cut it or take it for another:
    /// if it is empty, longer than 64 characters (MySQL's limit), or holds a NUL (both servers
    /// end the name there), a character beyond U+FFFF (MySQL refuses it) or a capital letter
    /// outside ASCII (MySQL reads `É` as `é`, and the Kelvin sign as `k`).
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

    /// An error if no server may be asked for this name.
    pub(crate) fn check(&self) -> Result<(), LockError> {
        match self.refusal() {
            None => Ok(()),
            Some(reason) => Err(LockError::InvalidName {
                name: self.clone(),
                reason,
            }),
        }
    }
}

/// What the servers do to names, measured: MariaDB 10.11, MySQL 9.7.
fn refusal_of_exact(name: &str) -> Option<&'static &'static str> {
    let folded = |char: char| !char.is_ascii() && !char.to_lowercase().eq([char]);
    if name.is_empty() {
        Some(&"it is empty: give it at least one character")
    } else if name.chars().count() > 64 {
        Some(&"it is longer than 64 characters, MySQL's limit")
    } else if name.contains('\0') {
        Some(&"it holds a NUL, where both servers would end it")
    } else if name.chars().any(|char| char > '\u{FFFF}') {
        Some(&"it holds a character beyond U+FFFF, which MySQL refuses")
    } else if name.chars().any(folded) {
        Some(&"it holds a capital letter outside ASCII, which MySQL takes for the small one")
    } else {
        None
    }
}
