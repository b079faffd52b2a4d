//! What a call returns, and its outcome in the history.

use diesel::result::Error as DieselError;
use diesel_advisory_lock::LockError;
use stress_check::history::{Claim, Outcome};

/// The result of one call that acquires locks.
pub(crate) type Done = Result<Reached, WorkError>;

/// The result of a call that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The body ran, and the lock was held until its end.
    End,
    /// Another session holds the lock.
    Contended,
    /// A guard was dropped, which returns no error.
    Dropped,
    /// A guard on an asynchronous connection was dropped, which ends its session.
    #[cfg(feature = "async")]
    Cut,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error(transparent)]
    Lock(#[from] LockError),

    /// An error of a statement of the body.
    #[error(transparent)]
    Body(#[from] DieselError),

    /// An error of the COMMIT of a transaction that is not the library's.
    #[allow(dead_code, reason = "only on PostgreSQL")]
    #[error("the COMMIT failed: {0}")]
    Commit(#[source] DieselError),

    /// A row changed under a lock that excludes its writers.
    #[allow(dead_code, reason = "only on PostgreSQL")]
    #[error("the row changed under its lock")]
    Changed,

    /// A statement got the answer to another one.
    #[cfg(feature = "async")]
    #[error("the answer is that to another statement")]
    WrongAnswer,

    #[error("failed on purpose")]
    Deliberate,

    /// A nested call failed.
    #[error("the nested call returned `{0}`")]
    Inner(Outcome),
}

impl WorkError {
    /// The error of a nested call, which says nothing about the outer one.
    pub(crate) fn inner(error: LockError) -> Self {
        Self::Inner(of_lock(&error))
    }
}

/// What the library's error claims became of the work.
pub(crate) fn claim(done: &Done) -> Option<Claim> {
    let error = match done {
        Err(WorkError::Lock(error)) => error,
        Err(WorkError::Commit(_)) => return Some(Claim::Unknown),
        Err(WorkError::Body(error)) => LockError::in_diesel(error)?,
        _ => return None,
    };
    match error.outcome() {
        diesel_advisory_lock::Outcome::NothingHappened => Some(Claim::NothingHappened),
        diesel_advisory_lock::Outcome::RolledBack => Some(Claim::RolledBack),
        diesel_advisory_lock::Outcome::Ran => Some(Claim::Ran),
        diesel_advisory_lock::Outcome::Committed => Some(Claim::Committed),
        diesel_advisory_lock::Outcome::Unknown => Some(Claim::Unknown),
        _ => None,
    }
}

/// The outcome of a call, for the history.
pub(crate) fn outcome(done: &Done) -> Outcome {
    match done {
        Ok(Reached::End) => Outcome::Ok,
        Ok(Reached::Contended) => Outcome::Contended,
        Ok(Reached::Dropped) => Outcome::Dropped,
        #[cfg(feature = "async")]
        Ok(Reached::Cut) => Outcome::Cut,
        Err(WorkError::Lock(error)) => of_lock(error),
        Err(WorkError::Body(error)) => match LockError::in_diesel(error) {
            Some(error) => of_lock(error),
            None => Outcome::BodyDatabase,
        },
        Err(WorkError::Commit(_)) => Outcome::BodyDatabase,
        Err(WorkError::Changed) => Outcome::Other,
        #[cfg(feature = "async")]
        Err(WorkError::WrongAnswer) => Outcome::WrongAnswer,
        Err(WorkError::Deliberate) => Outcome::Failed,
        Err(WorkError::Inner(inner)) => match inner {
            Outcome::Lost | Outcome::Database | Outcome::BodyDatabase => Outcome::BodyDatabase,
            _ => Outcome::Failed,
        },
    }
}

fn of_lock(error: &LockError) -> Outcome {
    match error {
        LockError::Timeout { .. } => Outcome::Timeout,
        LockError::Deadlock { .. } => Outcome::Deadlock,
        LockError::Interrupted { .. } => Outcome::Interrupted,
        LockError::OpenTransaction { .. } => Outcome::OpenTransaction,
        LockError::IsolationLevel { .. } => Outcome::IsolationLevel,
        LockError::SharedHeld { .. } => Outcome::SharedHeld,
        LockError::TransactionLeftOpen { .. } => Outcome::LeftOpen,
        LockError::Lost {
            source: Some(_), ..
        } => Outcome::Lost,
        LockError::Lost { source: None, .. } => Outcome::NotHeld,
        LockError::CommitUnknown { .. } => Outcome::CommitUnknown,
        LockError::RowNotFound { .. } => Outcome::RowNotFound,
        LockError::KeyMismatch { .. } => Outcome::KeyMismatch,
        LockError::Pool { .. } => Outcome::Pool,
        LockError::Database { .. } => Outcome::Database,
        _ => Outcome::Other,
    }
}
