//! `LockPool`: the queue for the permit of lock 0, and the handoff of the lock with its connection.

use super::Turn;
use crate::config::Server;
use crate::database::Level;
use crate::mutant::Mutant;
use crate::state::{Grant, Handoff, Progress, Report, Step};

impl Turn<'_> {
    pub(super) fn enqueue(&mut self) {
        let me = u8::try_from(self.index).expect("few callers");
        let pool = &mut self.state.pool;
        if pool.is_permit_taken {
            pool.waiters.push_back(me);
            return self.go(Step::Queued);
        }
        pool.is_permit_taken = true;
        self.me().has_permit = true;
        self.go(Step::CheckOut);
    }

    fn take_granted(&mut self) -> Option<Grant> {
        let index = self.index;
        let granted = &mut self.state.pool.granted;
        granted.take_if(|grant| usize::from(grant.to) == index)
    }

    /// Takes the permit that was granted, and the lock that was handed off with it.
    pub(super) fn take_permit(&mut self) {
        let Some(grant) = self.take_granted() else {
            return;
        };
        self.me().has_permit = true;
        let Some(handoff) = grant.handoff else {
            return self.go(Step::CheckOut);
        };
        let caller = self.me();
        caller.session = Some(handoff.session);
        caller.budget = handoff.budget;
        caller.handoffs = handoff.handoffs;
        caller.acquired = 1;
        caller.level = Level::Session;
        self.enter();
    }

    /// The wait has timed out. A permit that has been granted by then is taken.
    pub(super) fn leave_queue(&mut self) {
        self.cancel_wait();
        self.me().error = Some(Report::NothingHappened);
        self.finish();
    }

    /// Leaves the queue. A permit that was granted goes to the next request, after the connection
    /// that was handed off with it is closed.
    pub(super) fn cancel_wait(&mut self) {
        let index = self.index;
        self.state
            .pool
            .waiters
            .retain(|it| usize::from(*it) != index);
        if let Some(grant) = self.take_granted() {
            if grant.handoff.is_some() {
                self.state.add_idle();
            }
            self.me().has_permit = !self.is(Mutant::DroppedWaiterKeepsPermit);
        }
    }

    pub(super) fn check_out(&mut self) {
        let session = self.state.pool.idle.pop_front();
        let level = self.level();
        let caller = self.me();
        caller.session = session;
        caller.level = level;
        self.go(Step::Acquire);
    }

    /// Grants the permit to the first request that waits.
    pub(super) fn grant_permit(&mut self) {
        let is_granted = !self.is(Mutant::PermitNotGranted);
        let pool = &mut self.state.pool;
        match pool.waiters.pop_front() {
            Some(to) if is_granted => pool.granted = Some(Grant { to, handoff: None }),
            Some(to) => pool.waiters.push_front(to),
            None => pool.is_permit_taken = false,
        }
    }

    fn waiters(&self) -> u8 {
        u8::try_from(self.state.pool.waiters.len()).expect("few callers")
    }

    /// Starts a new budget. It covers the requests that wait now, apart from `served`.
    pub(super) fn renew_budget(&mut self, served: u8) {
        let waiters = self.waiters().saturating_sub(served);
        self.me().budget = waiters.min(self.config.max_handoffs);
    }

    /// Chooses one of three ways: hand off, let other sessions have their turn, or release.
    pub(super) fn end_pooled(&mut self) {
        let has_budget = self.me().budget > 0 || self.is(Mutant::HandoffsNotCounted);
        let may_hand_off =
            self.waiters() > 0 && self.me().level == Level::Session && !self.me().is_broken;
        // On MySQL the proof before COMMIT is still valid.
        let is_proved = self.me().progress == Progress::Committed
            && (self.config.server == Server::Mysql || self.is(Mutant::CommitProofForHandoff));
        // For the next request.
        let caller = self.me();
        caller.handoffs += 1;
        caller.budget = caller.budget.saturating_sub(1);
        if may_hand_off && has_budget {
            match is_proved || self.is(Mutant::HandoffWithoutProof) {
                true => self.go(Step::HandOff),
                false => self.go(Step::ProveForHandoff),
            }
        } else if may_hand_off && self.is(Mutant::BudgetRenewedWithoutRelease) {
            self.renew_budget(1);
            self.go(Step::HandOff);
        } else if may_hand_off && !self.state.pool.idle.is_empty() {
            self.go(Step::Reacquire);
        } else {
            self.release();
        }
    }

    /// The server has had no other session that waits, and the next request begins anew.
    pub(super) fn reacquired(&mut self) {
        self.renew_budget(1);
        self.me().handoffs = 0;
        self.go(Step::HandOff);
    }

    /// Hands off the lock to the first request that waits, or releases it if there is none.
    pub(super) fn hand_off(&mut self) {
        let Some(to) = self.state.pool.waiters.pop_front() else {
            return self.release();
        };
        let session = self.session();
        let db = &self.state.db;
        self.state.has_bad_handoff |= db.is_reachable(session) && !db.holds(session, 0);
        let caller = self.me();
        let handoff = Handoff {
            session,
            budget: caller.budget,
            handoffs: caller.handoffs,
        };
        caller.session = None;
        caller.has_permit = false;
        self.state.pool.granted = Some(Grant {
            to,
            handoff: Some(handoff),
        });
        self.finish();
    }
}
