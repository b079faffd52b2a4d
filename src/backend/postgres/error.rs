//! What an error means. Diesel passes on neither the code of an error nor its severity, and the
//! message is in the server's language.
//!
//! So a check of the library fails by converting a text such as `diesel_advisory_lock:held` to a
//! number. The server quotes the text in its error, in any language. The other errors of a wait
//! differ in their details and hints: a deadlock has details, a lack of memory has a hint, and a
//! timeout has neither.

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::key::{Key, Target};
use crate::backend::AcquireError;

/// What the library's own checks fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// A transaction was open already.
    TransactionOpen,
    /// The transaction's isolation level is above READ COMMITTED.
    Isolation,
    /// The session holds the lock already.
    Held,
    /// The session does not find the table.
    NoTable,
    /// The transaction does not hold the lock.
    Lost,
}

impl Marker {
    const ALL: [Self; 5] = [
        Self::TransactionOpen,
        Self::Isolation,
        Self::Held,
        Self::NoTable,
        Self::Lost,
    ];

    /// The text, as an SQL literal.
    pub(super) const fn literal(self) -> &'static str {
        match self {
            Self::TransactionOpen => "'diesel_advisory_lock:transaction'",
            Self::Isolation => "'diesel_advisory_lock:isolation'",
            Self::Held => "'diesel_advisory_lock:held'",
            Self::NoTable => "'diesel_advisory_lock:table'",
            Self::Lost => "'diesel_advisory_lock:lost'",
        }
    }

    pub(super) fn of(error: &DieselError) -> Option<Self> {
        let DieselError::DatabaseError(_, information) = error else {
            return None;
        };
        let message = information.message();
        Self::ALL
            .into_iter()
            .find(|marker| message.contains(marker.literal().trim_matches('\'')))
    }
}

/// Whether the connection to the server is lost.
pub(super) fn is_closed(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, _) => matches!(
            kind,
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand
        ),
        DieselError::RollbackErrorOnCommit { rollback_error, .. } => is_closed(rollback_error),
        _ => false,
    }
}

/// The error of a statement that waited for a lock.
pub(super) fn of_wait(
    error: DieselError,
    key: &Key,
    elapsed: Duration,
    limit: Option<Duration>,
) -> AcquireError<Key> {
    let DieselError::DatabaseError(DatabaseErrorKind::Unknown, information) = &error else {
        return AcquireError::Database(error);
    };
    let key = || key.clone();
    if information.details().is_some() {
        AcquireError::Deadlock { key: key(), error }
    } else if information.hint().is_some() {
        AcquireError::Database(error)
    } else if limit.is_some_and(|limit| elapsed >= limit) {
        AcquireError::Timeout { key: key() }
    } else {
        AcquireError::Interrupted(Some(error))
    }
}

/// The error for a table that the session does not find, in the server's words. It does not come
/// from the server, since a failed statement would abort an open transaction.
pub(super) fn no_table(key: &Key) -> AcquireError<Key> {
    let table = match &key.target {
        Target::InTable { table, .. } => table,
        Target::Key(_) => &key.text,
    };
    let message = format!("relation \"{table}\" does not exist");
    AcquireError::Database(DieselError::DatabaseError(
        DatabaseErrorKind::Unknown,
        Box::new(message),
    ))
}
