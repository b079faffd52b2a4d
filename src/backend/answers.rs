//! What is asked of a server, and what it answers.

use diesel::result::Error as DieselError;

use crate::deadline::Wait;
use crate::error::OpenTransactionReason;
use crate::name::KeySource;
use crate::transaction::TransactionContext;

/// What is asked of a session.
#[derive(Debug)]
pub struct Request<'n> {
    pub(crate) lock: KeySource<'n>,
    pub(crate) wait: Wait,
    pub(crate) context: TransactionContext,
}

/// A lock that was acquired.
#[derive(Debug)]
pub struct Acquired<K, S> {
    pub(crate) key: K,
    pub(crate) session: S,
    /// Whether the session held the lock before.
    pub(crate) reentrant: bool,
    /// Whether another session held it first.
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
    /// The wait was ended from outside.
    Interrupted(Option<DieselError>),
    /// Any other error.
    Database(DieselError),
}

/// A session's answer to a release.
#[derive(Debug)]
pub enum ReleaseAnswer {
    /// It held the lock, and has released it once. `still_held`: it holds it still.
    Released { still_held: bool },
    /// A transaction is open that would outlive the lock. Nothing was released.
    TransactionOpen,
    /// It did not hold the lock.
    NotHeld,
    /// It is unknown whether it holds the lock.
    Failed(DieselError),
}

/// A session's answer to whether it holds several locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    All(Condition),
    /// The first that the session does not hold.
    Missing(usize),
}

/// Whether the session, beside holding its locks, is as a new caller expects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Clean,
    /// A transaction is open, or every statement opens one.
    TransactionOpen,
    /// Its namespace is no longer the one that its locks' keys were computed for.
    OtherNamespace,
}

/// What became of a lock that was offered to the sessions that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReacquireAnswer {
    /// No session waited: this one has it again.
    Reacquired,
    /// Another session has it.
    Released,
    /// This session holds it more than once, so that it could not be released.
    StillHeld,
    /// It was not this session's.
    NotHeld,
    /// Nothing was released: a transaction is open that would outlive the lock.
    TransactionOpen,
}
