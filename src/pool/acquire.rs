//! [`PoolQueue`]: how a request of a [`LockPool`](super::LockPool) gets its locks.

use std::sync::Arc;

use super::budget::Limits;
use super::driver::{PoolDriver, Server};
use super::handoff::{Handoff, LockedConnection, Queue, QueueSlot, QueuedNames};
use super::wait_queue::{Accepts, Enqueued, Granted, Phase, WaitQueue, Waiter};
use crate::deadline::Deadline;
use crate::error::{LockError, TimeoutCause};
use crate::guard::Transaction;
use crate::held_locks::{self, HeldLocks, Hold};
use crate::in_use::{self, EnclosingFuture};
use crate::mode::LockMode;
use crate::name::LockName;
use crate::one_or_many::OneOrMany;
use crate::session_lock::PendingLock;
use crate::telemetry;

/// A pool of connections, and the queue of the requests for locks on them.
#[derive(Clone)]
pub struct PoolQueue<P: PoolDriver> {
    pool: P,
    queue: Queue<P>,
    limits: Limits,
}

/// A lock or a set of locks that is held, the pooled connection that holds it, and its place in the
/// queue.
pub struct PooledLocks<P: PoolDriver> {
    // Dropped first, since the next request may need the connection.
    locked: LockedConnection<P>,
    slot: QueueSlot<P>,
}

impl<P: PoolDriver + Clone> PoolQueue<P> {
    /// Makes an empty queue.
    pub fn new(pool: P, limits: Limits) -> Self {
        PoolQueue {
            pool,
            queue: Arc::new(WaitQueue::new()),
            limits,
        }
    }

    /// The pool of connections.
    pub fn pool(&self) -> &P {
        &self.pool
    }

    /// How often and for how long a lock is handed off.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many names are in use, and how many requests wait.
    pub fn state(&self) -> LockPoolState {
        let (names, waiting) = self.queue.size();
        LockPoolState { names, waiting }
    }

    /// Waits, without a connection, for the permit of each name, in the order that all requests
    /// use. Then the request in front hands off its locks, or the server is asked for them.
    ///
    /// # Errors
    ///
    /// Any [`LockError`] that is returned before a closure runs.
    pub async fn acquire(
        &self,
        requested: &OneOrMany<LockName>,
        deadline: &Deadline,
        transaction: Transaction,
    ) -> Result<PooledLocks<P>, LockError> {
        // Before the queue: an invalid name must not wait behind a valid one of the same text.
        held_locks::check_names::<Server<P>>(requested.as_slice(), deadline)?;
        let mut slot = QueueSlot {
            pool: self.pool.clone(),
            limits: self.limits,
            names: queued_names(requested),
            permits: Vec::with_capacity(1),
            budget: self.limits.budget(0),
        };
        let mut hold = Hold {
            mode: LockMode::Exclusive,
            in_transaction: transaction == Transaction::Begin,
            contended: false,
        };
        for index in 0..slot.names.as_slice().len() {
            let name = &slot.names.as_slice()[index];
            let (permit, handoff) = match self.queue.enqueue(name, accepts(&slot.names, index)) {
                Enqueued::First(permit) => (permit, None),
                Enqueued::Behind(waiter) => {
                    hold.contended = true;
                    slot.set_waits_at(name);
                    let granted = wait_for_permit::<P>(waiter, name, deadline).await;
                    granted.map_err(|phase| {
                        let pending = PendingLock::with(name.clone(), None, true);
                        let has_idle = self.pool.has_idle();
                        pending.not_acquired(deadline, |name| {
                            queue_timeout(name, phase, deadline, has_idle)
                        })
                    })?
                }
            };
            slot.permits.push(permit);
            if let Some(handoff) = handoff {
                let Handoff {
                    locked,
                    other_permits,
                    budget,
                } = handoff;
                slot.permits.extend(other_permits);
                slot.budget = budget;
                let mut held = PooledLocks { locked, slot };
                let (conn, locks) = held.locked.parts();
                if let Err(error) = locks.take_over(requested, conn, deadline).await {
                    // Telemetry records both errors; the first one is returned.
                    drop(held.end().await);
                    return Err(error);
                }
                return Ok(held);
            }
        }
        slot.set_phase(Phase::Connecting);
        self.acquire_on_server(slot, requested, deadline, hold)
            .await
    }

    /// Checks out a connection, and acquires the locks on it. On an error the permits go to the
    /// next requests.
    async fn acquire_on_server(
        &self,
        mut slot: QueueSlot<P>,
        requested: &OneOrMany<LockName>,
        deadline: &Deadline,
        hold: Hold,
    ) -> Result<PooledLocks<P>, LockError> {
        let mut pooled = self.pool.check_out(deadline).await.map_err(|source| {
            let label = held_locks::label(requested.as_slice());
            let pending = PendingLock::with(label, None, hold.contended);
            pending.not_acquired(deadline, |name| LockError::Pool { name, source })
        })?;
        slot.set_phase(Phase::Asking);
        let names = requested.clone();
        let locks = HeldLocks::acquire(P::driver(&mut pooled), names, deadline, hold).await;
        let mut locked = LockedConnection {
            locks: locks?,
            pooled,
            ended: false,
        };
        locked.locks.treat_as_outermost();
        slot.set_phase(Phase::Holding);
        slot.renew_budget();
        Ok(PooledLocks { locked, slot })
    }
}

impl<P: PoolDriver> PooledLocks<P> {
    /// The locks.
    pub fn locks(&self) -> &HeldLocks<Server<P>> {
        &self.locked.locks
    }

    /// The pooled connection.
    pub fn pooled(&self) -> &P::Pooled {
        &self.locked.pooled
    }

    /// The connection and the locks.
    pub fn parts(&mut self) -> (&mut P::Driver, &mut HeldLocks<Server<P>>) {
        self.locked.parts()
    }

    /// Records that a closure runs under the locks on this thread.
    pub(crate) fn set_running(&self) {
        self.slot.set_phase(Phase::Running(in_use::context()));
    }

    /// Records that a closure runs under the locks, which is a future.
    pub fn set_running_future(&self, closure: &EnclosingFuture) {
        self.slot.set_phase(Phase::Running(closure.number));
    }

    /// Rolls back what is open. Then the locks are handed off to the next request in the queue, or
    /// released.
    ///
    /// # Errors
    ///
    /// See `LockGuard::release`.
    pub async fn end(self) -> Result<(), LockError> {
        let PooledLocks { locked, slot } = self;
        slot.end(locked).await
    }
}

/// Each name once, in the order in which all requests of the process wait for them.
fn queued_names(requested: &OneOrMany<LockName>) -> QueuedNames {
    match requested {
        OneOrMany::One(name) => QueuedNames::One(name.clone()),
        OneOrMany::Many(names) => {
            let mut names = names.clone();
            names.sort_by(LockName::cmp_in_process);
            names.dedup();
            QueuedNames::Many(names.into())
        }
    }
}

/// What a request can take over while it waits for the turn of one of its names.
fn accepts(names: &QueuedNames, index: usize) -> Accepts<LockName> {
    match names {
        QueuedNames::One(_) => Accepts::Handoff,
        QueuedNames::Many(names) if index == 0 => Accepts::HandoffOfSet(Arc::clone(names)),
        QueuedNames::Many(_) => Accepts::PermitOnly,
    }
}

/// Waits for the permit. If this call is made in the closure that the request in front runs, it
/// fails at once.
async fn wait_for_permit<P: PoolDriver>(
    waiter: Waiter<LockName, Handoff<P>>,
    name: &LockName,
    deadline: &Deadline,
) -> Result<Granted<LockName, Handoff<P>>, Option<Phase>> {
    match waiter.phase() {
        Some(Phase::Running(closure)) if in_use::is_within(closure) => Err(waiter.cancel()),
        _ => {
            let queued = telemetry::queued(name);
            let granted = P::wait(waiter, deadline.instant()).await;
            queued.end();
            granted
        }
    }
}

/// The error of a request that did not get its permit, which says what it was waiting for.
fn queue_timeout(
    name: LockName,
    phase: Option<Phase>,
    deadline: &Deadline,
    has_idle: bool,
) -> LockError {
    let is_own = match phase {
        Some(Phase::Running(closure)) => in_use::is_within(closure),
        _ => false,
    };
    let cause = match phase {
        _ if is_own || in_use::is_enclosing(&name) => TimeoutCause::EnclosingCall,
        // With an idle connection, the request in front is about to have it.
        Some(Phase::Connecting) if !deadline.is_without_wait() && !has_idle => {
            return LockError::Pool {
                name,
                source: "the request ahead of this one still waits for a connection".into(),
            };
        }
        Some(Phase::Asking) => TimeoutCause::Session,
        _ => TimeoutCause::Queue,
    };
    deadline.timeout(name, cause)
}

/// How many names and requests are in a [`LockPool`](crate::LockPool) at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockPoolState {
    /// Names that are held or waited for. A name without requests takes no memory.
    pub names: usize,
    /// Requests that wait.
    pub waiting: usize,
}
