//! [`Hold`]: a lock that a session holds, and the steps of its life. Which connection that is, a guard
//! knows.

use std::cell::Cell;
use std::time::Duration;

use diesel::result::Error as DieselError;

use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::backend::{Acquired, LockConnection, Refusal, Request};
use crate::error::LockError;
use crate::name::LockName;
use crate::observe::{self, Observed};
use crate::transaction;

pub(crate) struct Hold {
    pub(crate) name: LockName,
    pub(crate) observed: Observed,
    server_name: String,
    /// Whether the session held it before.
    pub(crate) nested: bool,
    /// Transactions that were open before the lock, which are not ours to end.
    pub(crate) depth_before: u32,
    /// The session's limit on idling, if it was too short for this hold: to be set back.
    idle_limit_before: Cell<Option<Duration>>,
}

impl Hold {
    pub(crate) fn acquire<C: LockConnection>(
        conn: &mut C,
        mut asked: Asked,
        attempt: &Attempt,
    ) -> Result<Self, LockError> {
        let wanted = match asked.name.wanted() {
            Ok(wanted) => wanted,
            Err(error) => return Err(asked.refused(attempt, |_| error)),
        };
        let depth = match transaction::depth(conn) {
            Ok(depth) => depth,
            Err(source) => {
                return Err(asked.refused(attempt, |name| LockError::Database { name, source }));
            }
        };
        // Inside a transaction a lock would be released too early and taken too late, unless
        // the session holds it around that transaction anyway.
        let only_again = depth > 0 && !transaction::is_test(conn, depth);
        let acquired = conn.acquire(Request {
            name: wanted,
            wait: attempt.remaining(),
            only_again,
        });
        let Acquired {
            server_name,
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
            nested,
            depth_before: depth,
            idle_limit_before: Cell::new(None),
        };
        match hold.begin(conn, attempt) {
            Ok(()) => Ok(hold),
            Err(error) => {
                // The first error is the caller's; whoever watches sees both.
                let released = hold.release(conn);
                drop(hold.ended(released));
                Err(error)
            }
        }
    }

    /// The lock is had: what was asked for beside it.
    fn begin<C: LockConnection>(
        &mut self,
        conn: &mut C,
        attempt: &Attempt,
    ) -> Result<(), LockError> {
        self.observed.acquired(attempt, self.nested);
        if let Some(longest) = attempt.longest_hold() {
            let raised = conn.raise_idle_limit(longest);
            let before = raised.map_err(|source| LockError::database(&self.name, source))?;
            self.idle_limit_before.set(before);
        }
        Ok(())
    }

    /// It goes on in other hands, which have asked for it, too.
    pub(crate) fn hand_to<C: LockConnection>(
        &mut self,
        asked: Asked,
        conn: &mut C,
        attempt: &Attempt,
    ) -> Result<(), LockError> {
        self.observed = asked.observed;
        self.begin(conn, attempt)
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

    /// How it ended, also in the eyes of whoever watches.
    pub(crate) fn ended(&mut self, ended: Result<(), LockError>) -> Result<(), LockError> {
        self.observed.ended(&self.name, &ended);
        ended
    }

    /// Gives it back, and tells whether it was still ours.
    pub(crate) fn release<C: LockConnection>(&self, conn: &mut C) -> Result<(), LockError> {
        let answer = conn.release(&self.server_name);
        let released = self.confirmed(conn, answer);
        self.shorten(conn);
        released
    }

    /// Keeps it, and tells whether it is still ours.
    pub(crate) fn confirm<C: LockConnection>(&self, conn: &mut C) -> Result<(), LockError> {
        let answer = conn.holds(&self.server_name);
        self.confirmed(conn, answer)
    }

    /// Lets those go first who wait on the server. Tells whether it was still ours, and whether
    /// nobody waited, so that it is ours again.
    pub(crate) fn give_way<C: LockConnection>(&self, conn: &mut C) -> Result<bool, LockError> {
        match conn.give_way(&self.server_name) {
            Ok((released, again)) => self.confirmed(conn, Ok(released)).map(|()| again),
            Err(error) => self.confirmed(conn, Err(error)).map(|()| false),
        }
    }

    /// Whether two holds are of one lock, as the server names it.
    pub(crate) fn is_same_lock(&self, other: &Hold) -> bool {
        self.server_name == other.server_name
    }

    /// What is not confirmed is lost, and the server must free whatever is left of it.
    fn confirmed<C: LockConnection>(
        &self,
        conn: &mut C,
        answer: Result<bool, DieselError>,
    ) -> Result<(), LockError> {
        let source = match answer {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(error) => Some(error),
        };
        Err(lost(conn, &self.name, source))
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
                name,
                waited,
                holder: attempt.explain(|| conn.holder(&server_name)),
            }
        }
        Refusal::NotHeld => LockError::OpenTransaction { name },
        Refusal::Deadlock { server_name, error } => LockError::Deadlock {
            name,
            holder: attempt.explain(|| conn.holder(&server_name)),
            source: error,
        },
        Refusal::Interrupted(source) => LockError::Interrupted { name, source },
        Refusal::Database(source) => LockError::Database { name, source },
    }
}

/// Ends what was begun under a lock and is still open, and only then lets `give_back` end the lock.
pub(crate) fn end<C: LockConnection>(
    conn: &mut C,
    name: &LockName,
    depth_before: u32,
    give_back: impl FnOnce(&mut C) -> Result<(), LockError>,
) -> Result<(), LockError> {
    match roll_back(conn, depth_before) {
        Ok(Left::Nothing) => give_back(conn),
        Ok(Left::Transaction) => {
            give_back(conn)?;
            Err(LockError::TransactionLeftOpen { name: name.clone() })
        }
        Ok(Left::Unknown(source)) => {
            give_back(conn)?;
            Err(LockError::database(name, source))
        }
        Err(source) => Err(lost(conn, name, Some(source))),
    }
}

fn lost<C: LockConnection>(
    conn: &mut C,
    name: &LockName,
    source: Option<DieselError>,
) -> LockError {
    transaction::mark_broken(conn);
    LockError::Lost {
        name: name.clone(),
        source,
    }
}

/// What was still open when the lock ended.
enum Left {
    Nothing,
    Transaction,
    /// Diesel has given up on the connection and cannot tell; nothing on it commits any more.
    Unknown(DieselError),
}

fn roll_back<C: LockConnection>(conn: &mut C, depth_before: u32) -> Result<Left, DieselError> {
    match transaction::depth(conn) {
        Ok(depth) if depth <= depth_before => Ok(Left::Nothing),
        Ok(_) => {
            transaction::roll_back_to(conn, depth_before)?;
            Ok(Left::Transaction)
        }
        Err(broken) => {
            conn.roll_back_everything()?;
            Ok(Left::Unknown(broken))
        }
    }
}
