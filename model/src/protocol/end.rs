//! The end of a call: ROLLBACK, release, report.

use super::Turn;
use super::statement::Answer;
use crate::config::Body;
use crate::database::{Failure, Level, Unlocked};
use crate::mutant::Mutant;
use crate::state::{Caller, Progress, Report, Step};

impl Turn<'_> {
    /// Rolls back what is still open, and then ends the call.
    pub(super) fn close(&mut self) {
        let is_left_open =
            self.call.body == Body::LeaveOpen && !self.is(Mutant::LeftOpenNotRolledBack);
        match self.me().progress {
            Progress::Begun => self.go(Step::RollBack),
            Progress::Plain if is_left_open => self.go(Step::RollBack),
            _ => self.end_call(),
        }
    }

    /// Hands off the lock, or releases it.
    pub(super) fn end_call(&mut self) {
        match self.is_pooled() {
            true => self.end_pooled(),
            false => self.release(),
        }
    }

    /// Releases the locks, the last one first. The end of a transaction has released its own.
    pub(super) fn release(&mut self) {
        match self.me() {
            Caller { acquired: 0, .. }
            | Caller {
                level: Level::Transaction,
                ..
            } => self.finish(),
            _ => self.go(Step::Release),
        }
    }

    /// The server has answered a release.
    pub(super) fn released(&mut self, answer: Result<Answer, Failure>) {
        match answer {
            Ok(Answer::Unlocked(Unlocked::Free)) => {}
            // Another call on this connection, or the caller itself, has leaked a guard.
            Ok(Answer::Unlocked(Unlocked::StillHeld)) => {
                let was_leaked = self.config.is_leaked_in_pool;
                let is_ignored = self.is(Mutant::StillHeldIgnored)
                    || (was_leaked && self.is(Mutant::PooledLockIsReentrant));
                self.me().is_broken |= !is_ignored;
            }
            _ if self.is(Mutant::ReleaseAnswerIgnored) => {}
            _ => self.lose(),
        }
        self.me().acquired -= 1;
        if self.me().acquired > 0 && self.me().step == Step::Release {
            return;
        }
        if self.me().is_broken && !self.is(Mutant::FailedReleaseKeepsSession) {
            self.end_session();
        }
        match (self.me().error, self.me().progress) {
            // Only the mutant that releases the lock first.
            (None, Progress::Begun) => self.go(Step::Commit),
            _ => self.finish(),
        }
    }

    /// The lock was lost, which is an error unless the work is committed.
    pub(super) fn lose(&mut self) {
        let keeps_session = self.is(Mutant::FailedReleaseKeepsSession);
        let caller = self.me();
        caller.is_broken |= !keeps_session;
        let report = match caller.progress {
            Progress::Plain => Report::Ran,
            Progress::Begun => Report::RolledBack,
            Progress::Committed => return,
        };
        caller.error.get_or_insert(report);
    }

    /// Ends the session, and marks the connection as broken.
    pub(super) fn end_session(&mut self) {
        let id = self.session();
        self.me().is_broken = true;
        if self.state.db.is_reachable(id) {
            self.state.db.end(id);
        }
    }

    /// The guard is leaked, and the connection closed. The server has yet to notice.
    pub(super) fn leak(&mut self) {
        self.me().session = None;
        self.me().error = Some(Report::Leaked);
        self.finish();
    }

    /// A future that is dropped ends its session without waiting for the server.
    pub(super) fn drop_future(&mut self, delivery: super::Delivery) {
        if !matches!(self.me().step, Step::Queued | Step::CheckOut | Step::Rest) {
            // The caller gets no answer.
            let _ = self.send(delivery);
        }
        if self.me().step == Step::Queued {
            self.cancel_wait();
        }
        let keeps_session = self.is(Mutant::DroppedFutureKeepsSession);
        let caller = self.me();
        caller.is_broken |= !keeps_session;
        caller.error = Some(Report::Dropped);
        self.finish();
    }

    /// Returns the connection and the permit, and reports the result.
    pub(super) fn finish(&mut self) {
        let report = self.me().error.unwrap_or(Report::Success);
        let number = usize::from(self.number());
        self.state.records[number].report = Some(report);
        self.return_connection();
        if self.me().has_permit {
            self.grant_permit();
        }
        // The caller commits its own transaction, or one that its body has left open.
        let is_open = self.state.callers[self.index].session.is_some_and(|id| {
            let session = self.state.db.session(id);
            session.is_alive && session.transaction.is_some()
        });
        match is_open && report != Report::Dropped {
            true => self.go(Step::CommitOuter),
            false => self.next_call(),
        }
    }

    pub(super) fn next_call(&mut self) {
        let calls = self.config.callers[self.index].calls.len();
        let caller = self.me();
        let call = caller.call + 1;
        *caller = Caller {
            call,
            session: caller.session,
            step: match usize::from(call) < calls {
                true => Step::Start,
                false => Step::Done,
            },
            ..Caller::default()
        };
    }

    fn return_connection(&mut self) {
        let is_broken = self.me().is_broken;
        let Some(id) = self.me().session else {
            return;
        };
        if self.is_pooled() || is_broken {
            self.me().session = None;
        }
        if self.is_pooled() {
            match is_broken {
                true => self.state.add_idle(),
                false => self.state.pool.idle.push_back(id),
            }
        }
    }
}
