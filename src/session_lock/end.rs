//! The end of a lock: open transactions are rolled back, and only then is the lock released.

use std::slice;

use diesel::result::Error as DieselError;

use crate::backend::{Backend, Condition, LockDriver, ReacquireAnswer, ReleaseAnswer};
use crate::error::{LockError, Outcome};
use crate::name::LockName;
use crate::telemetry::{self, Ended};
use crate::transaction::{self, Depth, TransactionContext};

use super::armed::Armed;
use super::lock::SessionLock;

/// The state of the work under a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The closure runs without a transaction of the library.
    Plain,
    /// The library has begun a transaction, and has not committed it yet.
    Begun,
    /// It is committed, by a session in this condition that had proved that it held the lock.
    Committed(Condition),
}

impl Progress {
    /// The outcome of an error after the closure.
    fn outcome(self) -> Outcome {
        match self {
            Progress::Plain => Outcome::Ran,
            Progress::Begun => Outcome::RolledBack,
            Progress::Committed(_) => Outcome::Committed,
        }
    }

    fn ended(self, error: Option<&LockError>) -> Ended<'_> {
        match (error, self) {
            (Some(error), Progress::Committed(_)) => Ended::AfterCommit(error),
            (Some(error), _) => Ended::Failed(error),
            (None, Progress::Begun) => Ended::RolledBack,
            (None, _) => Ended::Released,
        }
    }

    /// After a COMMIT no error is returned, since the work was done under the lock. Telemetry still
    /// records it.
    fn result(self, error: Option<LockError>) -> Result<(), LockError> {
        match (error, self) {
            (Some(error), Progress::Plain | Progress::Begun) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The result of [`close`].
pub(crate) enum Closed {
    /// No transaction was open, or only the library's.
    Clean,
    /// An open transaction has been rolled back, which is an error.
    LeftOpen(LockError),
    /// An open transaction could not be rolled back.
    Failed(DieselError),
}

/// Rolls back transactions that were begun under the locks and are still open. Then releases the
/// locks, the last one first.
pub(crate) async fn end<C: LockDriver>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
    before: Depth,
    progress: Progress,
) -> Result<(), LockError> {
    let mut armed = Armed::new(conn);
    let ended = end_steps(armed.conn(), locks, before, progress).await;
    armed.disarm();
    ended
}

pub(super) async fn end_steps<C: LockDriver>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
    before: Depth,
    progress: Progress,
) -> Result<(), LockError> {
    let closed = close(conn, locks, before, progress).await;
    release(conn, locks, closed, progress).await
}

/// Rolls back transactions that were begun under the locks and are still open.
pub(crate) async fn close<C: LockDriver>(
    conn: &mut C,
    locks: &[SessionLock<C::Server>],
    before: Depth,
    progress: Progress,
) -> Closed {
    // A set may be empty.
    let name = || match locks.first() {
        Some(lock) => lock.name.clone(),
        None => LockName::of_empty_set().clone(),
    };
    let left = match Depth::of(conn) {
        Ok(_) => match transaction::roll_back_to(conn, before).await {
            Ok(false) => return Closed::Clean,
            Ok(true) => LockError::TransactionLeftOpen { name: name() },
            Err(source) => return Closed::Failed(source),
        },
        // Diesel has marked the connection as broken, and commits nothing on it.
        Err(broken) => match C::Server::roll_back_all(conn).await {
            Ok(()) => LockError::Database {
                name: name(),
                source: broken,
                outcome: progress.outcome(),
            },
            Err(source) => return Closed::Failed(source),
        },
    };
    match progress {
        Progress::Plain | Progress::Committed(_) => Closed::LeftOpen(left),
        Progress::Begun => Closed::Clean,
    }
}

/// Releases locks after [`close`].
pub(crate) async fn release<C: LockDriver>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
    closed: Closed,
    progress: Progress,
) -> Result<(), LockError> {
    release_by(conn, locks, closed, progress, None).await
}

/// After [`close`], releases the lock to sessions that wait on the server. Returns `true` if there
/// were none, so that this session holds the lock again.
pub(crate) async fn release_and_reacquire<C: LockDriver>(
    conn: &mut C,
    lock: &mut SessionLock<C::Server>,
    closed: Closed,
    progress: Progress,
) -> (Result<(), LockError>, bool) {
    let answer = match C::Server::release_and_reacquire(conn, &lock.key).await {
        ReacquireAnswer::Reacquired => {
            let locks = slice::from_mut(lock);
            return (keep(locks, closed, progress), true);
        }
        // Nothing was released. A plain release has fallbacks.
        ReacquireAnswer::TransactionOpen | ReacquireAnswer::NotRun => None,
        ReacquireAnswer::Released => Some(Ok(LockState::Free)),
        ReacquireAnswer::StillHeld => Some(Ok(LockState::StillHeld)),
        ReacquireAnswer::NotHeld => Some(Err(None)),
        ReacquireAnswer::Failed(error) => Some(Err(Some(error))),
    };
    let locks = slice::from_mut(lock);
    let ended = release_by(conn, locks, closed, progress, answer).await;
    (ended, false)
}

/// The result of a release. The error is why the server does not confirm it, if known.
type ReleaseResult = Result<LockState, Option<DieselError>>;

enum LockState {
    Free,
    /// Held after its outermost release: a guard was leaked, or raw SQL has acquired the lock.
    StillHeld,
}

/// `answer`: the server's answer for the last lock, if it was released already.
async fn release_by<C: LockDriver>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
    closed: Closed,
    progress: Progress,
    mut answer: Option<ReleaseResult>,
) -> Result<(), LockError> {
    let (mut left_open, mut failed) = match closed {
        Closed::Clean => (None, None),
        Closed::LeftOpen(error) => (Some(error), None),
        Closed::Failed(error) => (None, Some(Some(error))),
    };
    let mut lost = None;
    let mut discard = failed.is_some();
    let is_outermost = locks.iter().any(|lock| !lock.reentrant);
    for lock in locks.iter_mut().rev() {
        let released = match (&mut failed, answer.take()) {
            // No lock is released before its transaction: ending the session does both.
            (Some(error), _) => Err(error.take()),
            (None, Some(answer)) => answer,
            (None, None) => release_one(conn, lock, &mut left_open).await,
        };
        lock.restore_idle_timeout(conn).await;
        let error = match released {
            Ok(LockState::Free) => None,
            Ok(LockState::StillHeld) => {
                telemetry::still_held(&lock.name);
                discard = true;
                None
            }
            Err(source) => {
                discard = true;
                Some(LockError::Lost {
                    name: lock.name.clone(),
                    source,
                    outcome: progress.outcome(),
                })
            }
        };
        let ended = progress.ended(error.as_ref().or(left_open.as_ref()));
        lock.telemetry.ended(&lock.name, ended);
        lost = lost.or(error);
    }
    // A connection that is marked as broken may have a cached statement that must not run again.
    if discard || (is_outermost && !transaction::is_usable(conn)) {
        C::Server::end_session(conn).await;
    }
    progress.result(lost.or(left_open))
}

async fn release_one<C: LockDriver>(
    conn: &mut C,
    lock: &SessionLock<C::Server>,
    left_open: &mut Option<LockError>,
) -> ReleaseResult {
    // After a rollback, a transaction that the server still reports is due to a session setting.
    let mut context = match left_open {
        None => lock.before.context(),
        Some(_) => TransactionContext::Transaction,
    };
    loop {
        return match C::Server::release(conn, &lock.key, context).await {
            ReleaseAnswer::Released {
                still_held,
                transaction_open,
            } => {
                if transaction_open {
                    roll_back_all(conn, lock, left_open).await?;
                }
                Ok(match still_held && !lock.reentrant {
                    true => LockState::StillHeld,
                    false => LockState::Free,
                })
            }
            ReleaseAnswer::TransactionOpen => {
                roll_back_all(conn, lock, left_open).await?;
                context = TransactionContext::Transaction;
                continue;
            }
            ReleaseAnswer::NotHeld => Err(None),
            ReleaseAnswer::Failed(error) => Err(Some(error)),
        };
    }
}

/// Rolls back a transaction that Diesel does not know of.
async fn roll_back_all<C: LockDriver>(
    conn: &mut C,
    lock: &SessionLock<C::Server>,
    left_open: &mut Option<LockError>,
) -> Result<(), Option<DieselError>> {
    C::Server::roll_back_all(conn).await.map_err(Some)?;
    *left_open = Some(LockError::TransactionLeftOpen {
        name: lock.name.clone(),
    });
    Ok(())
}

/// Ends one call. The session keeps the locks for the next call.
pub(crate) fn keep<B: Backend>(
    locks: &mut [SessionLock<B>],
    closed: Closed,
    progress: Progress,
) -> Result<(), LockError> {
    let error = match closed {
        Closed::LeftOpen(error) => Some(error),
        Closed::Clean | Closed::Failed(_) => None,
    };
    for lock in locks {
        lock.telemetry
            .kept(&lock.name, progress.ended(error.as_ref()));
    }
    progress.result(error)
}

/// Restores the idle timeouts that the locks' options have raised.
pub(crate) async fn restore_idle_timeouts<C: LockDriver>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
) {
    for lock in locks.iter_mut().rev() {
        lock.restore_idle_timeout(conn).await;
    }
}

impl<B: Backend> SessionLock<B> {
    /// Restores the idle timeout. A session that fails to do so is discarded.
    async fn restore_idle_timeout<C: LockDriver<Server = B>>(&mut self, conn: &mut C) {
        if let Some(timeout) = self.idle_timeouts_before.take()
            && let Err(error) = B::restore_idle_timeouts(conn, timeout).await
        {
            telemetry::idle_timeout_not_restored(&self.name, &error);
            C::Server::discard(conn).await;
        }
    }
}
