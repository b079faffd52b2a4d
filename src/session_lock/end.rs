//! The end of a lock: what is left of a transaction is rolled back, and only then the lock is
//! released.

use std::slice;

use diesel::result::Error as DieselError;

use crate::backend::{Backend, Condition, LockConnection, ReacquireAnswer, ReleaseAnswer};
use crate::error::{LockError, Outcome};
use crate::name::LockName;
use crate::telemetry::{self, Ended};
use crate::transaction::{self, Depth, TransactionContext};

use super::armed::Armed;
use super::lock::SessionLock;

/// How far the work under a lock has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is not in a transaction of ours.
    Plain,
    /// It is in a transaction that we began, and that is rolled back unless it is committed.
    Begun,
    /// It is committed, by a session that had proved that it held the lock; and in this condition.
    Committed(Condition),
}

impl Progress {
    /// What an error after the closure means.
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

    /// After a COMMIT no error is the caller's: the work was done under the lock. Telemetry records
    /// it all the same.
    fn result(self, error: Option<LockError>) -> Result<(), LockError> {
        match (error, self) {
            (Some(error), Progress::Plain | Progress::Begun) => Err(error),
            _ => Ok(()),
        }
    }
}

/// What was still open when the lock ended.
pub(crate) enum Closed {
    /// Nothing, or only what was to be rolled back.
    Clean,
    /// It has been rolled back, and that is an error.
    LeftOpen(LockError),
    /// It could not be rolled back.
    Failed(DieselError),
}

/// Ends what was begun under the locks and is still open, and only then releases them, the last one
/// first.
pub(crate) async fn end<C: LockConnection>(
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

pub(super) async fn end_steps<C: LockConnection>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
    before: Depth,
    progress: Progress,
) -> Result<(), LockError> {
    let closed = close(conn, locks, before, progress).await;
    release(conn, locks, closed, progress).await
}

/// Rolls back what is still open.
pub(crate) async fn close<C: LockConnection>(
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
        // Diesel has given up on the connection. Nothing on it commits any more.
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
pub(crate) async fn release<C: LockConnection>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
    closed: Closed,
    progress: Progress,
) -> Result<(), LockError> {
    release_by(conn, locks, closed, progress, None).await
}

/// After [`close`], lets the sessions that wait on the server have the lock. Returns whether there
/// were none, so that this session has it again.
pub(crate) async fn release_and_reacquire<C: LockConnection>(
    conn: &mut C,
    lock: &mut SessionLock<C::Server>,
    closed: Closed,
    progress: Progress,
) -> (Result<(), LockError>, bool) {
    let answer = match C::Server::release_and_reacquire(conn, &lock.key).await {
        Ok(ReacquireAnswer::Reacquired) => {
            let locks = slice::from_mut(lock);
            return (keep(locks, closed, progress), true);
        }
        Ok(ReacquireAnswer::TransactionOpen) => None,
        Ok(ReacquireAnswer::Released) => Some(Ok(LockState::Free)),
        Ok(ReacquireAnswer::StillHeld) => Some(Ok(LockState::StillHeld)),
        Ok(ReacquireAnswer::NotHeld) => Some(Err(None)),
        Err(error) if C::Server::may_have_run(conn, &error).await => Some(Err(Some(error))),
        // Nothing was released: the release has ways of its own.
        Err(_) => None,
    };
    let locks = slice::from_mut(lock);
    let ended = release_by(conn, locks, closed, progress, answer).await;
    (ended, false)
}

/// What became of a lock. The error is why the server does not confirm the release, if it said.
type ReleaseResult = Result<LockState, Option<DieselError>>;

enum LockState {
    Free,
    /// After its outermost release: a guard was leaked, or raw SQL has acquired the lock again.
    StillHeld,
}

/// `answer`: what the server has said already of the last lock.
async fn release_by<C: LockConnection>(
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
            // If not even a transaction can be rolled back, no lock is released before it.
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
    // What is marked as broken may still have a statement in it that must not run again.
    if discard || (is_outermost && !transaction::is_usable(conn)) {
        C::Server::end_session(conn).await;
    }
    progress.result(lost.or(left_open))
}

async fn release_one<C: LockConnection>(
    conn: &mut C,
    lock: &SessionLock<C::Server>,
    left_open: &mut Option<LockError>,
) -> ReleaseResult {
    // What the server calls open after it was rolled back once is a setting of the session.
    let mut context = match left_open {
        None => lock.before.context(),
        Some(_) => TransactionContext::Transaction,
    };
    loop {
        return match C::Server::release(conn, &lock.key, context).await {
            ReleaseAnswer::Released { still_held } => Ok(match still_held && !lock.reentrant {
                true => LockState::StillHeld,
                false => LockState::Free,
            }),
            ReleaseAnswer::TransactionOpen => {
                C::Server::roll_back_all(conn).await.map_err(Some)?;
                *left_open = Some(LockError::TransactionLeftOpen {
                    name: lock.name.clone(),
                });
                context = TransactionContext::Transaction;
                continue;
            }
            ReleaseAnswer::NotHeld => Err(None),
            ReleaseAnswer::Failed(error) => Err(Some(error)),
        };
    }
}

/// Ends one call's time under the locks. The session keeps them for the next call.
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
            .ended(&lock.name, progress.ended(error.as_ref()));
    }
    progress.result(error)
}

/// Restores what the locks' options have raised.
pub(crate) async fn restore_idle_timeouts<C: LockConnection>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
) {
    for lock in locks.iter_mut().rev() {
        lock.restore_idle_timeout(conn).await;
    }
}

impl<B: Backend> SessionLock<B> {
    /// A session that cannot restore its timeout is of no further use.
    async fn restore_idle_timeout<C: LockConnection<Server = B>>(&mut self, conn: &mut C) {
        if let Some(timeout) = self.idle_timeout_before.take()
            && let Err(error) = B::restore_idle_timeout(conn, timeout).await
        {
            telemetry::idle_timeout_not_restored(&self.name, &error);
            C::Server::discard(conn).await;
        }
    }
}
