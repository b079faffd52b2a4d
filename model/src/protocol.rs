//! The steps of the library: which statement a caller sends next, and what it makes of the answer.

use crate::config::{Body, Call, Config, Form, Isolation, Server};
use crate::database::{Failure, Level};
use crate::mutant::Mutant;
use crate::state::{Caller, Progress, Report, State, Step};
use statement::Answer;

mod end;
mod pool;
mod statement;

/// What becomes of a statement. `ran`: whether it had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Answered,
    /// It was canceled, and the session lives on.
    Interrupted {
        ran: bool,
    },
    /// The connection has failed.
    Cut {
        ran: bool,
    },
    /// The wait for a lock or for a permit has timed out.
    TimedOut,
    /// The caller's future was dropped.
    Dropped {
        ran: bool,
    },
}

/// A step of one caller.
pub struct Turn<'a> {
    config: &'a Config,
    state: &'a mut State,
    index: usize,
    call: Call,
}

impl<'a> Turn<'a> {
    pub fn new(config: &'a Config, state: &'a mut State, index: usize) -> Option<Self> {
        let call = config.call(index, state.callers[index].call)?;
        Some(Turn {
            config,
            state,
            index,
            call,
        })
    }

    fn me(&mut self) -> &mut Caller {
        &mut self.state.callers[self.index]
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.config.is(mutant)
    }

    fn session(&self) -> u8 {
        self.state.callers[self.index]
            .session
            .expect("a connection")
    }

    fn is_pooled(&self) -> bool {
        self.config.callers[self.index].is_pooled
    }

    fn go(&mut self, step: Step) {
        self.me().step = step;
    }

    /// Takes the next step.
    pub fn take(mut self, delivery: Delivery) {
        match self.me().step {
            _ if matches!(delivery, Delivery::Dropped { .. }) => self.drop_future(delivery),
            Step::Start => self.start(),
            Step::Enqueue => self.enqueue(),
            Step::Queued if delivery == Delivery::TimedOut => self.leave_queue(),
            Step::Queued => self.take_permit(),
            Step::CheckOut => self.check_out(),
            Step::Rest => self.end_body(),
            Step::HandOff => self.hand_off(),
            Step::Leak => self.leak(),
            Step::Done => {}
            _ => {
                let answer = self.send(delivery);
                self.receive(answer, delivery);
            }
        }
    }

    /// Chooses the next step by the answer to this one.
    fn receive(&mut self, answer: Result<Answer, Failure>, delivery: Delivery) {
        let is_mysql = self.config.server == Server::Mysql;
        match (self.me().step, answer) {
            (Step::BeginOuter, _) => self.go(Step::Acquire),
            (Step::Acquire | Step::Waiting, Ok(Answer::Granted)) => self.acquired(),
            (Step::Acquire, Ok(Answer::Queued)) => self.go(Step::Waiting),
            (Step::Acquire, Ok(_)) => self.not_acquired(),
            // MySQL answers a wait that has timed out with 0, and without an error.
            (Step::Waiting, Err(Failure::Refused))
                if is_mysql && delivery == Delivery::TimedOut =>
            {
                self.not_acquired();
            }
            (step @ (Step::Acquire | Step::Waiting), Err(failure)) => {
                if failure == Failure::Deadlock {
                    // A set may be part of a deadlock of nested calls.
                    self.state.has_set_deadlock |= self.config.has_only_sets();
                }
                let is_attempt = step == Step::Acquire && failure != Failure::Deadlock;
                let keeps_lock = match is_attempt {
                    true => self.is(Mutant::FailedAttemptKeepsLock),
                    false => self.is(Mutant::FailedWaitKeepsLock),
                };
                match (is_attempt && is_mysql, keeps_lock) {
                    (_, true) => self.not_acquired(),
                    (true, false) => {
                        self.end_session();
                        self.not_acquired();
                    }
                    (false, false) => self.go(Step::Undo),
                }
            }
            (Step::Undo, answer) => {
                if answer.is_err() && !self.is(Mutant::FailedUndoKeepsSession) {
                    self.end_session();
                }
                self.not_acquired();
            }
            (Step::Begin, Ok(_)) => {
                self.me().progress = Progress::Begun;
                self.reload();
            }
            (Step::Begin | Step::Reload, Err(_)) => self.fail(Report::NothingHappened),
            (Step::Reload, Ok(Answer::Row(row))) => {
                self.me().copy = row;
                self.begin_body();
            }
            // In a transaction the theft comes first, and otherwise last.
            (Step::Steal, Ok(_)) if self.me().progress == Progress::Begun => self.go(Step::Work),
            (Step::Work, Ok(_)) if self.steals() && self.me().progress == Progress::Plain => {
                self.go(Step::Steal);
            }
            (Step::Work | Step::Steal, Ok(_)) => self.go(Step::Rest),
            (Step::Work, Err(Failure::Refused)) if self.call.body == Body::IgnoreError => {
                self.go(Step::Rest);
            }
            (Step::Work | Step::Steal, Err(_)) => match self.me().progress {
                Progress::Plain => self.fail(Report::Unknown),
                _ => self.fail(Report::RolledBack),
            },
            (Step::Prove, Ok(Answer::Held(true))) => self.go(Step::Commit),
            (Step::Prove, answer) => {
                // An aborted transaction of PostgreSQL answers nothing.
                if is_mysql || answer != Err(Failure::Refused) {
                    self.me().is_broken = true;
                }
                self.fail(Report::RolledBack);
            }
            (Step::Commit, Ok(Answer::Done)) => {
                self.me().progress = Progress::Committed;
                self.close();
            }
            (Step::Commit, Ok(_)) => {
                self.me().is_broken = true;
                self.fail(Report::RolledBack);
            }
            (Step::Commit, Err(Failure::Closed)) => {
                self.end_session();
                match self.is(Mutant::UnknownCommitIsRolledBack) {
                    true => self.fail(Report::RolledBack),
                    false => self.fail(Report::Unknown),
                }
            }
            (Step::Commit, Err(_)) => self.fail(Report::RolledBack),
            (Step::RollBack, Ok(_)) => {
                if self.me().progress == Progress::Plain {
                    self.me().error.get_or_insert(Report::Ran);
                }
                self.end_call();
            }
            (Step::RollBack, Err(_)) if self.is(Mutant::FailedRollbackReleases) => self.end_call(),
            // No lock is released before its transaction: ending the session does both.
            (Step::RollBack, Err(_)) => {
                self.end_session();
                self.lose();
                self.finish();
            }
            (Step::Release, answer) => self.released(answer),
            (Step::ProveForHandoff, Ok(Answer::Held(true))) => self.go(Step::HandOff),
            (Step::ProveForHandoff, _) => self.release(),
            (Step::Reacquire, Ok(Answer::Reacquired)) => self.reacquired(),
            (Step::Reacquire, answer) => self.released(answer),
            (Step::CommitOuter, _) => self.next_call(),
            (step, answer) => unreachable!("{answer:?} to {step:?}"),
        }
    }

    /// The server has ended the wait of this caller.
    pub fn fail_wait(mut self, failure: Failure) {
        self.receive(Err(failure), Delivery::Answered);
    }

    fn steals(&self) -> bool {
        matches!(self.call.body, Body::Theft | Body::TheftUnderNestedLock)
    }

    /// The number of this call in the records.
    fn number(&self) -> u8 {
        let before = self.config.callers[..self.index].iter();
        let calls: usize = before.map(|caller| caller.calls.len()).sum();
        u8::try_from(calls).expect("few calls") + self.state.callers[self.index].call
    }

    fn start(&mut self) {
        let row = self.state.db.row;
        self.me().copy = row;
        if self.is_pooled() {
            return self.go(Step::Enqueue);
        }
        if self.me().session.is_none() {
            let session = self.state.connect();
            self.me().session = Some(session);
        }
        self.me().level = self.level();
        self.go(match self.call.in_transaction {
            true => Step::BeginOuter,
            false => Step::Acquire,
        });
    }

    /// What holds locks that the server grants. At READ COMMITTED, a `.transaction` form on
    /// PostgreSQL begins its transaction together with its locks.
    fn level(&self) -> Level {
        let is_fit =
            self.config.isolation == Isolation::ReadCommitted || self.is(Mutant::LockInSnapshot);
        match (self.config.server, self.call.form) {
            (Server::Postgres, Form::Transaction) if is_fit && !self.call.in_transaction => {
                Level::Transaction
            }
            _ => Level::Session,
        }
    }

    fn acquired(&mut self) {
        self.me().acquired += 1;
        if usize::from(self.me().acquired) < self.call.locks.len() {
            return self.go(Step::Acquire);
        }
        if self.is_pooled() {
            self.renew_budget(0);
        }
        self.enter();
    }

    /// The locks are held.
    fn enter(&mut self) {
        match (self.call.form, self.me().level) {
            (Form::Transaction, Level::Session) => self.go(Step::Begin),
            (Form::Transaction, Level::Transaction) => {
                self.me().progress = Progress::Begun;
                self.reload();
            }
            _ => self.reload(),
        }
    }

    fn reload(&mut self) {
        match self.is(Mutant::NoReload) {
            true => self.begin_body(),
            false => self.go(Step::Reload),
        }
    }

    fn begin_body(&mut self) {
        let id = self.session();
        let (copy, db) = (self.me().copy, &self.state.db);
        let is_stale = db.holds_all(id, self.call.locks) && copy != db.row;
        self.state.has_stale_body |= is_stale;
        self.go(match self.call.form {
            Form::Transaction if self.steals() => Step::Steal,
            _ => Step::Work,
        });
    }

    fn end_body(&mut self) {
        let level = self.me().level;
        match self.call.form {
            Form::Run => self.close(),
            Form::LeakedGuard => self.go(Step::Leak),
            Form::Transaction if self.is(Mutant::ReleaseBeforeCommit) => self.release(),
            Form::Transaction if self.is(Mutant::NoProofBeforeCommit) => self.go(Step::Commit),
            // This COMMIT checks that the transaction is still the one that holds the lock.
            Form::Transaction if level == Level::Transaction => self.go(Step::Commit),
            Form::Transaction => self.go(Step::Prove),
        }
    }

    /// No lock was acquired: those that were acquired before it are released.
    fn not_acquired(&mut self) {
        self.me().error.get_or_insert(Report::NothingHappened);
        match self.is(Mutant::FailedSetKeepsFirstLock) {
            true => self.finish(),
            false => self.release(),
        }
    }

    /// The work has failed. The first error is reported.
    fn fail(&mut self, report: Report) {
        self.me().error.get_or_insert(report);
        self.close();
    }
}
