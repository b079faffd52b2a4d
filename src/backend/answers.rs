//! The requests to a backend, and its answers.

use diesel::result::Error as DieselError;

use crate::deadline::Wait;
use crate::error::OpenTransactionReason;
use crate::mode::LockMode;
use crate::name::KeySource;
use crate::transaction::TransactionContext;

/// A request for a lock.
#[derive(Debug)]
pub struct Request<'n> {
    pub(crate) lock: KeySource<'n>,
    pub(crate) wait: Wait,
    pub(crate) context: TransactionContext,
    #[cfg_attr(
        not(feature = "postgres_backend"),
        allow(dead_code, reason = "other servers have one mode")
    )]
    pub(crate) mode: LockMode,
}

/// A lock that was acquired.
#[derive(Debug)]
pub struct Acquired<K, S> {
    pub(crate) key: K,
    pub(crate) session: S,
    /// Whether the session held the lock before.
    pub(crate) reentrant: bool,
    /// Whether the request had to wait for another session.
    pub(crate) contended: bool,
}

/// Why a lock was not acquired. The session does not hold it, unless it held it before.
#[derive(Debug)]
pub enum AcquireError<K> {
    /// Another session held it for the whole wait.
    Timeout { key: K },
    /// A transaction is open that would outlive the lock.
    OpenTransaction(OpenTransactionReason),
    /// The holder waits for a lock of this session.
    Deadlock { key: K, error: DieselError },
    /// The server ended the wait, as for `KILL QUERY`.
    Interrupted(Option<DieselError>),
    /// The session holds the lock shared, and would deadlock with another one that does the same.
    SharedHeld,
    /// The transaction's snapshot may be older than the lock.
    Isolation(&'static str),
    /// A lock until the end of the transaction, without a transaction.
    NoTransaction,
    /// Any other error.
    Database(DieselError),
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub enum CommitError {
    /// The session does not hold the lock of this index. The transaction is still open.
    NotHeld(usize),
    /// The session did not answer whether it holds its locks.
    NoAnswer(DieselError),
    /// After this COMMIT another transaction would be open. The transaction is still open.
    TransactionOpen,
    /// The COMMIT failed, and the transaction is rolled back or still open.
    Failed(DieselError),
    /// The session did not answer the COMMIT.
    Unknown(DieselError),
}

/// A session's answer to a release.
#[derive(Debug)]
pub enum ReleaseAnswer {
    /// It held the lock, and has released it once.
    Released {
        /// It held the lock more than once.
        still_held: bool,
        /// A transaction is open, which has not written anything.
        transaction_open: bool,
    },
    /// A transaction is open that would outlive the lock. Nothing was released.
    TransactionOpen,
    /// It did not hold the lock.
    NotHeld,
    /// It is unknown whether it holds the lock; also if the connection is dead.
    Failed(DieselError),
}

/// A session's answer to whether it holds several locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    All(Condition),
    /// The index of the first lock that the session does not hold.
    Missing(usize),
}

/// Whether the session is fit for a new caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Clean,
    /// A transaction is open, or every statement opens one.
    TransactionOpen,
    /// Its namespace is no longer the one that its locks' keys were computed for.
    OtherNamespace,
}

/// A session's answer to a release that lets waiting sessions go first.
#[derive(Debug)]
pub enum ReacquireAnswer {
    /// No session waited, so this one holds the lock again.
    Reacquired,
    /// Another session may hold the lock now.
    Released,
    /// This session held the lock more than once, and holds it still.
    StillHeld,
    /// This session did not hold the lock.
    NotHeld,
    /// A transaction is open that would outlive the lock. Nothing was released.
    TransactionOpen,
    /// The statement failed before it ran. Nothing was released.
    NotRun,
    /// It is unknown whether the session holds the lock.
    Failed(DieselError),
}
