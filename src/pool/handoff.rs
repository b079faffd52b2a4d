//! What a request of a [`LockPool`](super::LockPool) holds, its permits and its locked connection,
//! and how that ends: it is handed off to the next request in the queue, or released.

use std::sync::Arc;
use std::thread;

use super::budget::{HandoffBudget, Limits};
use super::driver::{PoolDriver, Server};
use super::wait_queue::{Permit, Phase, WaitQueue};
use crate::backend::{Backend, Condition, LockDriver};
use crate::error::LockError;
use crate::held_locks::HeldLocks;
use crate::name::LockName;
use crate::one_or_many::OneOrMany;
use crate::session_lock::{self, Armed, Closed, Progress, SessionLock};
use crate::transaction;

/// The queue of a [`LockPool`](super::LockPool).
pub(super) type Queue<P> = Arc<WaitQueue<LockName, Handoff<P>>>;

/// A connection from the pool, and the locks that its session holds. Dropping it releases them.
pub(super) struct LockedConnection<P: PoolDriver> {
    pub(super) pooled: P::Pooled,
    pub(super) locks: HeldLocks<Server<P>>,
    /// Its locks are released, or the session has ended.
    pub(super) ended: bool,
}

impl<P: PoolDriver> LockedConnection<P> {
    pub(super) fn parts(&mut self) -> (&mut P::Driver, &mut HeldLocks<Server<P>>) {
        (P::driver(&mut self.pooled), &mut self.locks)
    }

    async fn release(&mut self) -> Result<(), LockError> {
        self.ended = true;
        let (conn, locks) = self.parts();
        locks.end(conn).await
    }
}

impl<P: PoolDriver> Drop for LockedConnection<P> {
    fn drop(&mut self) {
        if !self.ended {
            let (conn, locks) = self.parts();
            P::release_in_drop(conn, locks);
        }
    }
}

/// What the next request in the queue gets beside its permit.
pub(super) struct Handoff<P: PoolDriver> {
    pub(super) locked: LockedConnection<P>,
    /// The permits of a set's other names.
    pub(super) other_permits: Vec<Permit<LockName, Handoff<P>>>,
    pub(super) budget: HandoffBudget,
}

/// The names of a request, each once, in the order in which their permits are waited for. They are
/// shared with the queue, which compares whole sets.
pub(super) type QueuedNames = OneOrMany<LockName, Arc<[LockName]>>;

/// The permits that a request holds, and what it needs to pass them on.
pub(super) struct QueueSlot<P: PoolDriver> {
    pub(super) pool: P,
    pub(super) limits: Limits,
    pub(super) names: QueuedNames,
    /// One for each name.
    pub(super) permits: Vec<Permit<LockName, Handoff<P>>>,
    pub(super) budget: HandoffBudget,
}

impl<P: PoolDriver> QueueSlot<P> {
    pub(super) fn set_phase(&self, phase: Phase) {
        for permit in &self.permits {
            permit.set_phase(phase);
        }
    }

    /// Records that the request also waits for the permit of `name`.
    pub(super) fn set_waits_at(&self, name: &LockName) {
        for permit in &self.permits {
            permit.set_waits_at(name);
        }
    }

    /// How many requests wait for these locks and can take them over. It is 0 if a request waits
    /// for only one of the locks, or for other locks besides, since that request must not be
    /// overtaken.
    pub(super) fn handoff_count(&self) -> usize {
        match self.permits.split_first() {
            Some((first, others)) if others.iter().all(|permit| permit.waiter_count() == 0) => {
                first.handoff_count(self.names.as_slice())
            }
            _ => 0,
        }
    }

    /// Starts a new budget when the server has granted the locks.
    pub(super) fn renew_budget(&mut self) {
        self.budget = self.limits.budget(self.handoff_count());
    }

    /// Ends one call. The locks are handed off to the next request in the queue, or released.
    pub(super) async fn end(self, mut locked: LockedConnection<P>) -> Result<(), LockError> {
        // A panic ends the session, and with it the locks, and so does a dropped future.
        locked.ended = true;
        let (conn, locks) = locked.parts();
        let mut armed = Armed::new(conn);
        let (result, budget) = self.end_or_keep(armed.conn(), locks).await;
        armed.disarm();
        locked.ended = budget.is_none();
        let Some(budget) = budget else {
            // The connection is returned first, since the next request may need it.
            drop(locked);
            drop(self.permits);
            return result;
        };
        // The closure has ended.
        self.set_phase(Phase::Holding);
        let mut other_permits = self.permits;
        let first = other_permits.remove(0);
        let handoff = Handoff {
            locked,
            other_permits,
            budget,
        };
        match first.hand_off(self.names.as_slice(), handoff) {
            Ok(()) => result,
            Err((first, mut handoff)) => {
                let released = handoff.locked.release().await;
                drop((handoff, first));
                result.and(released)
            }
        }
    }

    /// Ends one call. If a budget is returned, the session still holds the locks for the next
    /// request.
    async fn end_or_keep(
        &self,
        conn: &mut P::Driver,
        held: &mut HeldLocks<Server<P>>,
    ) -> (Result<(), LockError>, Option<HandoffBudget>) {
        let progress = held.progress;
        let locks = held.locks.as_mut_slice();
        let closed = session_lock::close(conn, locks, held.before, progress).await;
        let waiters = self.handoff_count();
        if waiters > 0 {
            // The keep-alive belongs to the call that ends.
            session_lock::restore_idle_timeouts(conn, locks).await;
        }
        let may_keep_session = waiters > 0
            && locks
                .iter()
                .all(|lock| Server::<P>::outlives_transaction(&lock.key))
            && !thread::panicking()
            && !matches!(closed, Closed::Failed(_))
            && transaction::is_usable(conn);
        if may_keep_session && let Some(budget) = self.budget.next() {
            if is_fit(conn, locks, progress).await {
                return (session_lock::keep(locks, closed, progress), Some(budget));
            }
        } else if may_keep_session
            && let [lock] = locks
            // Without an idle connection, this one is returned, since other requests may need it.
            && self.pool.has_idle()
        {
            let (ended, is_kept) =
                session_lock::release_and_reacquire(conn, lock, closed, progress).await;
            return (ended, is_kept.then(|| self.limits.budget(waiters - 1)));
        }
        (
            session_lock::release(conn, locks, closed, progress).await,
            None,
        )
    }
}

/// Whether the session holds the locks and is fit for the next request. The proof before a COMMIT
/// that succeeded is still valid, if COMMIT releases none of them.
async fn is_fit<C: LockDriver>(
    conn: &mut C,
    locks: &[SessionLock<C::Server>],
    progress: Progress,
) -> bool {
    match progress {
        Progress::Committed(condition) if C::Server::COMMIT_KEEPS_LOCKS => {
            condition == Condition::Clean
        }
        _ => SessionLock::are_fit_for_next(locks, conn).await,
    }
}
