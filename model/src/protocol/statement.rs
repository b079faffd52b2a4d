//! The statement of each step: how the server runs it, and what the caller gets to know.

use super::{Delivery, Turn};
use crate::config::Body;
use crate::database::{Failure, Granted, Level, Unlocked};
use crate::mutant::Mutant;
use crate::state::{Caller, Step};

/// The server's answer to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Granted,
    Queued,
    OpenTransaction,
    Row(u8),
    Held(bool),
    Unlocked(Unlocked),
    Reacquired,
}

impl Turn<'_> {
    /// Sends the statement of this step, and returns what the caller gets to know.
    pub(super) fn send(&mut self, delivery: Delivery) -> Result<Answer, Failure> {
        let id = self.session();
        if !self.state.db.is_reachable(id) {
            return Err(Failure::Closed);
        }
        let answer = match delivery {
            Delivery::Answered
            | Delivery::Interrupted { ran: true }
            | Delivery::Cut { ran: true }
            | Delivery::Dropped { ran: true } => self.execute(id),
            _ => Ok(Answer::Done),
        };
        match delivery {
            Delivery::Answered => answer,
            Delivery::Interrupted { .. } | Delivery::TimedOut => {
                Err(self.state.db.end_wait(id, Failure::Refused))
            }
            Delivery::Cut { .. } => {
                self.state.db.session_mut(id).is_connected = false;
                Err(Failure::Closed)
            }
            Delivery::Dropped { .. } => Err(Failure::Closed),
        }
    }

    /// Runs the statement of this step on the server.
    fn execute(&mut self, id: u8) -> Result<Answer, Failure> {
        let (call, number) = (self.call, self.number());
        let Caller {
            step,
            acquired,
            level,
            copy,
            ..
        } = *self.me();
        let allows_open = self.is(Mutant::OpenTransactionAllowed);
        let answers_aborted = self.is(Mutant::AbortedCommitIsSuccess);
        let needs_no_mark = self.is(Mutant::NoProofBeforeCommit);
        let db = &mut self.state.db;
        Ok(match step {
            Step::BeginOuter => {
                db.begin(id, false);
                Answer::Row(db.read(id)?)
            }
            Step::Acquire => {
                if level == Level::Transaction && acquired == 0 {
                    db.begin(id, true);
                } else if level == Level::Session
                    && db.session(id).transaction.is_some()
                    && !allows_open
                {
                    return Ok(Answer::OpenTransaction);
                }
                match db.acquire(id, call.locks[usize::from(acquired)], level)? {
                    Granted::Now => Answer::Granted,
                    Granted::Queued => Answer::Queued,
                }
            }
            Step::Waiting => Answer::Granted,
            Step::Undo => {
                match level {
                    Level::Transaction => db.roll_back(id),
                    Level::Session => {
                        db.unlock(id, call.locks[usize::from(acquired)]);
                    }
                }
                Answer::Done
            }
            Step::Begin => {
                db.begin(id, false);
                Answer::Done
            }
            Step::Reload => Answer::Row(db.read(id)?),
            Step::Steal => {
                match level {
                    Level::Transaction => {
                        db.roll_back(id);
                        db.begin(id, false);
                    }
                    Level::Session => {
                        if call.body == Body::TheftUnderNestedLock {
                            db.hold_again(id, call.locks[0]);
                        }
                        db.unlock(id, call.locks[0]);
                    }
                }
                Answer::Done
            }
            Step::Work => {
                match call.body {
                    Body::LeaveOpen => db.begin(id, false),
                    Body::LeakNested => db.hold_again(id, call.locks[0]),
                    _ => {}
                }
                db.write(id, copy + 1, number)?;
                Answer::Done
            }
            Step::Prove => Answer::Held(db.holds_all(id, call.locks)),
            Step::ProveForHandoff => {
                Answer::Held(db.holds_all(id, call.locks) && db.session(id).transaction.is_none())
            }
            Step::Commit => {
                let transaction = db.session(id).transaction.as_ref();
                let is_marked = transaction.is_some_and(|transaction| transaction.is_marked);
                if level == Level::Transaction && !is_marked && !needs_no_mark {
                    return Ok(Answer::Held(false));
                }
                match db.commit(id, call.locks) {
                    Err(_) if answers_aborted => {}
                    committed => committed?,
                }
                Answer::Done
            }
            Step::CommitOuter => {
                db.commit(id, &[])?;
                Answer::Done
            }
            Step::RollBack => {
                db.roll_back(id);
                Answer::Done
            }
            Step::Release => Answer::Unlocked(db.unlock(id, call.locks[usize::from(acquired) - 1])),
            Step::Reacquire => match db.unlock(id, call.locks[0]) {
                Unlocked::Free if db.holder(call.locks[0]).is_none() => {
                    db.acquire(id, call.locks[0], Level::Session)?;
                    Answer::Reacquired
                }
                unlocked => Answer::Unlocked(unlocked),
            },
            _ => unreachable!("not a statement"),
        })
    }
}
