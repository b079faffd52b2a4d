//! [`Hold`]: a lock that a session holds, and the steps of its life. Which connection that is, a guard
//! knows.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::backend::{
    Acquired, Condition, Holding, LockConnection, Passed, Refusal, ReleaseAnswer, Request,
};
use crate::error::{LockError, Outcome};
use crate::in_use;
use crate::name::LockName;
use crate::observe::{self, Ended, Observed};
use crate::transaction::{self, Depth, Surroundings};

pub(crate) struct Hold {
    pub(crate) name: LockName,
    pub(crate) observed: Observed,
    pub(crate) server_name: String,
    /// The session that holds it, as the server numbers them.
    session: u32,
    /// Whether the session held it before.
    pub(crate) nested: bool,
    /// Transactions that were open before the lock, which are not ours to end.
    pub(crate) before: Depth,
    /// The session's limit on idling, if it was too short for this hold: to be set back.
    idle_limit_before: Cell<Option<Duration>>,
}

/// How far the work under a lock has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// It is not in a transaction of ours.
    Plain,
    /// It is in a transaction that we began, and that is rolled back unless it is committed.
    Begun,
    /// It is committed, by a session that had proved that it held the lock; and in this condition.
    Committed(Condition),
}

impl Work {
    /// What an error after the closure means.
    fn outcome(self) -> Outcome {
        match self {
            Work::Plain => Outcome::Ran,
            Work::Begun => Outcome::RolledBack,
            Work::Committed(_) => Outcome::Committed,
        }
    }

    fn ended(self, error: Option<&LockError>) -> Ended<'_> {
        match (error, self) {
            (Some(error), Work::Committed(_)) => Ended::AfterCommit(error),
            (Some(error), _) => Ended::Failed(error),
            (None, Work::Begun) => Ended::RolledBack,
            (None, _) => Ended::Released,
        }
    }

    /// After a COMMIT no error is the caller's: the work was done under the lock. Telemetry has it all the same.
    fn result(self, error: Option<LockError>) -> Result<(), LockError> {
        match (error, self) {
            (Some(error), Work::Plain | Work::Begun) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Runs steps of our own, not the caller's. If one of them panics, in Diesel's instrumentation or in a `tracing`
/// subscriber, it is unknown what the session holds, so it is ended.
pub(crate) fn guarded<C: LockConnection, R>(conn: &mut C, steps: impl FnOnce(&mut C) -> R) -> R {
    struct EndOnPanic<'c, C: LockConnection> {
        conn: &'c mut C,
        panics: bool,
    }

    impl<C: LockConnection> Drop for EndOnPanic<'_, C> {
        fn drop(&mut self) {
            if self.panics {
                self.conn.end_session();
            }
        }
    }

    let mut armed = EndOnPanic { conn, panics: true };
    let result = steps(armed.conn);
    armed.panics = false;
    result
}

/// For `Drop`. While a panic unwinds, a second one would abort the process, and what ran has been undone by [`guarded`].
pub(crate) fn quietly<R>(steps: impl FnOnce() -> R) -> Option<R> {
    match std::thread::panicking() {
        true => catch_unwind(AssertUnwindSafe(steps)).ok(),
        false => Some(steps()),
    }
}

impl Hold {
    /// Armed before the statement is sent: a panic leaves nothing behind.
    pub(crate) fn acquire<C: LockConnection>(
        conn: &mut C,
        asked: Asked,
        attempt: &Attempt,
    ) -> Result<Self, LockError> {
        guarded(conn, |conn| Self::acquire_steps(conn, asked, attempt))
    }

    fn acquire_steps<C: LockConnection>(
        conn: &mut C,
        mut asked: Asked,
        attempt: &Attempt,
    ) -> Result<Self, LockError> {
        let wanted = match asked.name.wanted() {
            Ok(wanted) => wanted,
            Err(error) => return Err(asked.refused(attempt, |_| error)),
        };
        let before = match Depth::of(conn) {
            Ok(before) => before,
            Err(source) => {
                return Err(asked.refused(attempt, |name| LockError::before(&name, source)));
            }
        };
        // Inside a transaction a lock would be released before the COMMIT, and what the transaction reads may be older than
        // the lock, unless the session holds the lock around that transaction anyway.
        let acquired = conn.acquire(Request {
            name: wanted,
            wait: attempt.remaining(),
            surroundings: before.surroundings(),
        });
        let Acquired {
            server_name,
            session,
            nested,
            waited,
        } = match acquired {
            Ok(acquired) => acquired,
            Err(refusal) => {
                return Err(asked.refused(attempt, |name| refused(conn, name, refusal, attempt)));
            }
        };
        if waited {
            asked.observed.found_taken();
        }
        let mut hold = Hold {
            name: asked.name,
            observed: asked.observed,
            server_name,
            session,
            nested,
            before,
            idle_limit_before: Cell::new(None),
        };
        match hold.begin(conn, attempt) {
            Ok(()) => Ok(hold),
            Err(error) => {
                // The first error is the caller's; telemetry records both.
                let holds = std::slice::from_mut(&mut hold);
                drop(end_steps(conn, holds, before, Work::Plain));
                Err(error)
            }
        }
    }

    /// The lock is held: what was asked for beside it.
    fn begin<C: LockConnection>(
        &mut self,
        conn: &mut C,
        attempt: &Attempt,
    ) -> Result<(), LockError> {
        self.observed.acquired(attempt, self.nested);
        if let Some(longest) = attempt.longest_hold() {
            let raised = conn.raise_idle_limit(longest);
            let before = raised.map_err(|source| LockError::before(&self.name, source))?;
            self.idle_limit_before.set(before);
        }
        Ok(())
    }

    /// On a connection that has just been checked out, every lock is its outermost: a caller that put it back with the lock
    /// held will not release it. So the session ends with this lock.
    pub(crate) fn is_of_check_out(&mut self) {
        self.nested = false;
    }

    /// Whether both are of one lock, as far as the names tell: MySQL folds their case.
    pub(crate) fn is_same_lock(&self, other: &Hold) -> bool {
        self.server_name.eq_ignore_ascii_case(&other.server_name)
    }

    /// Whether the session still holds the lock, and is otherwise as the next caller expects it.
    pub(crate) fn is_fit_for_next<C: LockConnection>(&self, conn: &mut C) -> bool {
        let held = conn.holds(&[&self.server_name], Surroundings::NoTransaction);
        matches!(held, Ok(Holding::All(Condition::Clean)))
    }

    /// One caller's time under the lock has ended, and the session keeps it for the next.
    pub(crate) fn kept<C: LockConnection>(
        &mut self,
        conn: &mut C,
        closed: Closed,
        work: Work,
    ) -> Result<(), LockError> {
        // The next has times of its own.
        self.shorten(conn);
        let error = match closed {
            Closed::LeftOpen(error) => Some(error),
            Closed::Clean | Closed::Failed(_) => None,
        };
        self.observed.ended(&self.name, work.ended(error.as_ref()));
        work.result(error)
    }

    /// It goes on in other hands, which have asked for it, too.
    pub(crate) fn hand_to<C: LockConnection>(
        &mut self,
        asked: Asked,
        conn: &mut C,
        attempt: &Attempt,
    ) -> Result<(), LockError> {
        guarded(conn, |conn| {
            self.observed = asked.observed;
            self.begin(conn, attempt)
        })
    }

    /// Sets back what was raised. A session that cannot is of no further use.
    pub(crate) fn shorten<C: LockConnection>(&self, conn: &mut C) {
        if let Some(limit) = self.idle_limit_before.take()
            && let Err(error) = conn.set_idle_limit(limit)
        {
            observe::not_shortened(&self.name, &error);
            transaction::mark_broken(conn);
        }
    }

    /// Asks the server whether the lock is held at this moment.
    pub(crate) fn verify<C: LockConnection>(&self, conn: &mut C) -> Result<(), LockError> {
        let surroundings = Surroundings::TestTransaction;
        let holds = std::slice::from_ref(self);
        guarded(conn, |conn| {
            prove(conn, holds, surroundings, Outcome::Ran).map(drop)
        })
    }
}

fn refused<C: LockConnection>(
    conn: &mut C,
    name: LockName,
    refusal: Refusal,
    attempt: &Attempt,
) -> LockError {
    match refusal {
        Refusal::Timeout { server_name } => {
            let waited = attempt.elapsed();
            LockError::Timeout {
                cause: match in_use::is_enclosing(&name) {
                    true => crate::error::TimeoutCause::EnclosingCall,
                    false => crate::error::TimeoutCause::Session,
                },
                name,
                waited,
                holder: attempt.explain(|| conn.holder(&server_name)),
            }
        }
        Refusal::OpenTransaction(reason) => LockError::OpenTransaction { name, reason },
        Refusal::Deadlock { server_name, error } => LockError::Deadlock {
            name,
            holder: attempt.explain(|| conn.holder(&server_name)),
            source: error,
        },
        Refusal::Interrupted(source) => LockError::Interrupted { name, source },
        Refusal::Database(source) => LockError::before(&name, source),
    }
}

/// The server's word that the session holds all of these locks, and whether it is fit for a new caller. A session that
/// does not hold one of them, or cannot tell, is ended.
pub(crate) fn prove<C: LockConnection>(
    conn: &mut C,
    holds: &[Hold],
    surroundings: Surroundings,
    outcome: Outcome,
) -> Result<Condition, LockError> {
    let one;
    let several: Vec<&str>;
    let names = match holds {
        [hold] => {
            one = [&*hold.server_name];
            &one[..]
        }
        holds => {
            several = holds.iter().map(|hold| &*hold.server_name).collect();
            &several[..]
        }
    };
    let (index, source) = match names.is_empty() {
        true => return Ok(Condition::Clean),
        false => match conn.holds(names, surroundings) {
            Ok(Holding::All(condition)) => return Ok(condition),
            Ok(Holding::Not(index)) => (index, None),
            Err(error) => (0, Some(error)),
        },
    };
    transaction::mark_broken(conn);
    Err(LockError::Lost {
        name: holds[index].name.clone(),
        source,
        outcome,
    })
}

/// COMMIT, if the session proves that it holds the locks. Otherwise the transaction stays open, to be rolled back.
pub(crate) fn commit<C: LockConnection>(
    conn: &mut C,
    holds: &[Hold],
    label: &LockName,
    before: Depth,
) -> Result<Condition, LockError> {
    guarded(conn, |conn| {
        let failed = |source, outcome| LockError::Database {
            name: label.clone(),
            source,
            outcome,
        };
        let left_open = || LockError::TransactionLeftOpen {
            name: label.clone(),
        };
        let depth = Depth::of(conn).map_err(|source| failed(source, Outcome::RolledBack))?;
        let begun = depth.since(before);
        let outcome = match begun {
            // The closure has ended our transaction, and only it knows how. If it has put another connection in the place
            // of ours, our transaction went with it, and ends there.
            0 if !is_swapped(conn, holds) => Outcome::Unknown,
            _ => Outcome::RolledBack,
        };
        let condition = prove(conn, holds, Surroundings::Transaction, outcome)?;
        match begun {
            0 => return Err(failed(DieselError::NotInTransaction, outcome)),
            1 if !depth.is_exchanged(before) => {}
            _ => return Err(left_open()),
        }
        if condition == Condition::TransactionOpen {
            // With a setting that the closure has left, a COMMIT would begin the next transaction, or end the session.
            return Err(left_open());
        }
        match transaction::commit(conn) {
            Ok(()) => Ok(condition),
            // The server has answered neither to the COMMIT nor to a ROLLBACK after it.
            Err(source @ DieselError::RollbackErrorOnCommit { .. }) => {
                conn.end_session();
                let error = LockError::CommitUnknown {
                    name: label.clone(),
                    source,
                };
                // That the lock is gone, too, is no other loss.
                for hold in holds {
                    hold.observed.ended(&hold.name, Ended::Failed(&error));
                }
                Err(error)
            }
            Err(source) => Err(failed(source, Outcome::RolledBack)),
        }
    })
}

/// Whether the session is another one than that which acquired the locks.
fn is_swapped<C: LockConnection>(conn: &mut C, holds: &[Hold]) -> bool {
    let session = conn.session();
    holds
        .first()
        .is_some_and(|hold| session.is_ok_and(|session| session != hold.session))
}

/// Ends what was begun under the locks and is still open, and only then releases them, the last one first.
pub(crate) fn end<C: LockConnection>(
    conn: &mut C,
    holds: &mut [Hold],
    before: Depth,
    work: Work,
) -> Result<(), LockError> {
    guarded(conn, |conn| end_steps(conn, holds, before, work))
}

fn end_steps<C: LockConnection>(
    conn: &mut C,
    holds: &mut [Hold],
    before: Depth,
    work: Work,
) -> Result<(), LockError> {
    // A set may be empty.
    let name = || match holds.first() {
        Some(hold) => hold.name.clone(),
        None => LockName::named("nothing"),
    };
    let closed = close(conn, name, before, work);
    release(conn, holds, closed, work)
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

pub(crate) fn close<C: LockConnection>(
    conn: &mut C,
    name: impl FnOnce() -> LockName,
    before: Depth,
    work: Work,
) -> Closed {
    let left = match Depth::of(conn) {
        Ok(_) => match transaction::roll_back_to(conn, before) {
            Ok(false) => return Closed::Clean,
            Ok(true) => LockError::TransactionLeftOpen { name: name() },
            Err(source) => return Closed::Failed(source),
        },
        // Diesel has given up on the connection and cannot tell; nothing on it commits any more.
        Err(broken) => match conn.roll_back_everything() {
            Ok(()) => LockError::Database {
                name: name(),
                source: broken,
                outcome: work.outcome(),
            },
            Err(source) => return Closed::Failed(source),
        },
    };
    match work {
        Work::Plain | Work::Committed(_) => Closed::LeftOpen(left),
        Work::Begun => Closed::Clean,
    }
}

/// Releases locks after [`close`].
pub(crate) fn release<C: LockConnection>(
    conn: &mut C,
    holds: &mut [Hold],
    closed: Closed,
    work: Work,
) -> Result<(), LockError> {
    release_by(conn, holds, closed, work, release_one)
}

/// After [`close`], lets the sessions have the lock that wait on the server. Returns whether none did, so that this one has
/// it again.
pub(crate) fn give_way<C: LockConnection>(
    conn: &mut C,
    hold: &mut Hold,
    closed: Closed,
    work: Work,
) -> (Result<(), LockError>, bool) {
    let mut answer = match conn.give_way(&hold.server_name) {
        Ok(Passed::Kept) => return (hold.kept(conn, closed, work), true),
        Ok(Passed::TransactionOpen) => None,
        Ok(Passed::Released) => Some(Ok(Freed::Free)),
        Ok(Passed::StillHeld) => Some(Ok(Freed::StillHeld)),
        Ok(Passed::NotHeld) => Some(Err(None)),
        Err(error) => Some(Err(Some(error))),
    };
    let holds = std::slice::from_mut(hold);
    let ended = release_by(conn, holds, closed, work, |conn, hold, left_open| {
        answer
            .take()
            .unwrap_or_else(|| release_one(conn, hold, left_open))
    });
    (ended, false)
}

fn release_by<C: LockConnection>(
    conn: &mut C,
    holds: &mut [Hold],
    closed: Closed,
    work: Work,
    mut release: impl FnMut(&mut C, &Hold, &mut Option<LockError>) -> Result<Freed, Option<DieselError>>,
) -> Result<(), LockError> {
    let (mut left_open, mut failed) = match closed {
        Closed::Clean => (None, None),
        Closed::LeftOpen(error) => (Some(error), None),
        Closed::Failed(error) => (None, Some(Some(error))),
    };
    let mut lost = None;
    let mut discard = failed.is_some();
    let is_outermost = holds.iter().any(|hold| !hold.nested);
    for hold in holds.iter_mut().rev() {
        let answer = match &mut failed {
            // If not even a transaction can be rolled back, no lock is released before it.
            Some(error) => Err(error.take()),
            None => release(conn, hold, &mut left_open),
        };
        hold.shorten(conn);
        let error = match answer {
            Ok(Freed::Free) => None,
            Ok(Freed::StillHeld) => {
                observe::still_held(&hold.name);
                discard = true;
                None
            }
            Err(source) => {
                discard = true;
                Some(LockError::Lost {
                    name: hold.name.clone(),
                    source,
                    outcome: work.outcome(),
                })
            }
        };
        let ended = work.ended(error.as_ref().or(left_open.as_ref()));
        hold.observed.ended(&hold.name, ended);
        lost = lost.or(error);
    }
    // What is marked as broken may still have a statement in it that must not run again.
    if discard || (is_outermost && !transaction::works(conn)) {
        conn.end_session();
    }
    work.result(lost.or(left_open))
}

enum Freed {
    Free,
    /// After its outermost release: a guard was leaked, or `GET_LOCK` was called beside us.
    StillHeld,
}

/// The error is why the server does not confirm it, if it said.
fn release_one<C: LockConnection>(
    conn: &mut C,
    hold: &Hold,
    left_open: &mut Option<LockError>,
) -> Result<Freed, Option<DieselError>> {
    // What the server calls open after it was rolled back once is a setting of the session.
    let mut surroundings = match left_open {
        None => hold.before.surroundings(),
        Some(_) => Surroundings::Transaction,
    };
    loop {
        return match conn.release(&hold.server_name, surroundings) {
            ReleaseAnswer::Released { still_held } => Ok(match still_held && !hold.nested {
                true => Freed::StillHeld,
                false => Freed::Free,
            }),
            ReleaseAnswer::TransactionOpen => {
                conn.roll_back_everything().map_err(Some)?;
                *left_open = Some(LockError::TransactionLeftOpen {
                    name: hold.name.clone(),
                });
                surroundings = Surroundings::Transaction;
                continue;
            }
            ReleaseAnswer::NotHeld => Err(None),
            ReleaseAnswer::Failed(error) => Err(Some(error)),
        };
    }
}
