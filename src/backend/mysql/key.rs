//! [`Key`]: a lock's name as sent to the server.

use std::cmp::Ordering;

/// The full name of a lock.
///
/// MySQL folds case, MariaDB does not. Keys are sorted by their folded form first, so that two keys
/// that may be one lock are neighbors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub(super) String);

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let folded = |key: &Self| key.0.to_ascii_lowercase();
        folded(self)
            .cmp(&folded(other))
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
