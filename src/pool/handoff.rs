//! What a request of a [`LockPool`](super::LockPool) holds, its permits and its locked connection,
//! and how that ends: it is handed off to the next request in the queue, or released.

use std::sync::Arc;
use std::thread;

use diesel::r2d2::{ConnectionManager, Pool, PooledConnection};

use super::budget::{HandoffBudget, Limits};
use super::connection::PoolConnection;
use super::wait_queue::{Permit, Phase, WaitQueue};
use crate::backend::{Backend, Condition, LockConnection};
use crate::driver::ready;
use crate::error::LockError;
use crate::held_locks::HeldLocks;
use crate::in_use;
use crate::name::LockName;
use crate::one_or_many::OneOrMany;
use crate::session_lock::{self, Armed, Closed, Progress, SessionLock, without_second_panic};
use crate::transaction;

/// The queue of a [`LockPool`](super::LockPool).
pub(super) type Queue<C> = Arc<WaitQueue<LockName, Handoff<C>>>;

/// A connection from the pool, and the locks that its session holds. Dropping it releases them.
pub(super) struct LockedConnection<C: PoolConnection> {
    pub(super) conn: PooledConnection<ConnectionManager<C>>,
    pub(super) locks: HeldLocks<C::Server>,
    /// Its locks are released, or the session has ended.
    pub(super) ended: bool,
}

impl<C: PoolConnection> LockedConnection<C> {
    fn release(&mut self) -> Result<(), LockError> {
        self.ended = true;
        ready(self.locks.end::<C>(&mut self.conn))
    }
}

impl<C: PoolConnection> Drop for LockedConnection<C> {
    fn drop(&mut self) {
        if !self.ended {
            // `Drop` cannot return an error: telemetry records it, and a failed release has ended
            // the session.
            drop(without_second_panic(|| self.release()));
        }
    }
}

/// What the next request in the queue gets beside its permit.
pub(super) struct Handoff<C: PoolConnection> {
    pub(super) locked: LockedConnection<C>,
    /// The permits of a set's other names.
    pub(super) other_permits: Vec<Permit<LockName, Handoff<C>>>,
    pub(super) budget: HandoffBudget,
}

/// The names of a request, each once, in the order in which their permits are waited for. They are
/// shared with the queue, which compares whole sets.
pub(super) type QueuedNames = OneOrMany<LockName, Arc<[LockName]>>;

/// The permits that a request holds, and what it needs to pass them on.
pub(super) struct QueueSlot<C: PoolConnection> {
    pub(super) pool: Pool<ConnectionManager<C>>,
    pub(super) limits: Limits,
    pub(super) names: QueuedNames,
    /// One for each name.
    pub(super) permits: Vec<Permit<LockName, Handoff<C>>>,
    pub(super) budget: HandoffBudget,
}

impl<C: PoolConnection> QueueSlot<C> {
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

    /// Records that a closure runs under the locks on this thread.
    pub(super) fn set_running(&self) {
        self.set_phase(Phase::Running(in_use::context()));
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
    pub(super) fn end(self, mut locked: LockedConnection<C>) -> Result<(), LockError> {
        let LockedConnection { conn, locks, ended } = &mut locked;
        // A panic ends the session, and with it the locks.
        *ended = true;
        let mut armed = Armed::<C>::new(conn);
        let (result, budget) = ready(self.end_or_keep(armed.conn(), locks));
        armed.disarm();
        *ended = budget.is_none();
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
                let released = handoff.locked.release();
                drop((handoff, first));
                result.and(released)
            }
        }
    }

    /// Ends one call. If a budget is returned, the session still holds the locks for the next
    /// request.
    async fn end_or_keep(
        &self,
        conn: &mut C,
        held: &mut HeldLocks<C::Server>,
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
                .all(|lock| C::Server::outlives_transaction(&lock.key))
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
            && self.pool.state().idle_connections > 0
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
async fn is_fit<C: LockConnection>(
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
