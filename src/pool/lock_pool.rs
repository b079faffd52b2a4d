//! [`LockPool`].

use std::fmt;

use diesel::r2d2::{ConnectionManager, Pool};

use super::acquire::{LockPoolState, PoolQueue};
use super::budget::Limits;
use super::connection::PoolConnection;
use super::guard::PooledLockGuard;
use crate::deadline::Deadline;
use crate::driver::ready;
use crate::error::{FromLockError, LockError};
use crate::guard::{self, Transaction};
use crate::lock::{Lock, or_none};
use crate::set::{LockSet, ReloadSet};

/// Acquires locks on connections from a pool, which one contended lock cannot exhaust.
///
/// A request that waits for a lock on a connection occupies that connection. Sixty-four requests
/// for one row exhaust a pool of four, and then every *other* request fails for lack of a
/// connection. Through a `LockPool` the requests for one name queue in the process, in FIFO order,
/// **without a connection**. Only the first request checks out a connection and asks the server.
/// When it is done, it hands off *the connection with the lock still held* to the next request.
///
/// The pool is the receiver of the six finishing methods, and takes the [`Lock`] with its options:
///
/// ```
/// # include!("../doctest_setup.rs");
/// use diesel_advisory_lock::prelude::*;
///
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
/// let pool: Pool<ConnectionManager<MysqlConnection>> = pool()?;
/// let locks = LockPool::new(pool);
///
/// locks.run(notification.lock(), Notification::send)?;
/// # assert!(notification.sent);
///
/// if let Some(mut held) = locks.try_acquire(notification.lock().scope("archive"))? {
///     diesel::delete(&notification).execute(&mut *held)?;
///     held.release()?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
///
/// The guarantees are those of a lock on the caller's connection. The row is reloaded, an open
/// transaction is refused, and a lost lock is an error. On a panic or an error the open transaction
/// is rolled back.
///
/// Before the connection is handed off, the server is asked whether the session still holds the
/// lock, and whether it has an open transaction or another schema. If it does not hold the lock,
/// the call that has ended returns [`LockError::Lost`], and nothing is handed off. After a
/// [`transaction`](Self::transaction) the server is not asked again: the session has proved before
/// the COMMIT that it holds the lock.
///
/// The timeout starts with the request, and covers the queue, the connection and the lock. A
/// request that times out leaves the queue, and delays no other.
///
/// A request that does not wait (a `try_` form, `.no_wait()`) does not wait for a connection
/// either: if all are in use, it returns [`LockError::Pool`] at once. If the pool has not reached
/// its size yet, the request waits for the connection that the pool then establishes.
///
/// # Sets
///
/// A set of locks is handed off like a single lock, if the first request in the queue is for
/// exactly the same locks. A request for a set waits at the queue of each of its locks. If a
/// request for only one of them, or for other locks besides, came first, the set is released
/// instead, so that this request is not overtaken.
///
/// # Fairness to other processes
///
/// While a lock is handed off within the process, sessions that wait for it on the server do not
/// get it. So a lock is handed off only to as many requests as waited here when the server granted
/// it, at most [`max_handoffs`](crate::LockPoolBuilder::max_handoffs) times and for
/// [`max_handoff_time`](crate::LockPoolBuilder::max_handoff_time). Then sessions that wait on the
/// server get their turn.
///
/// # Limitations
///
/// The server does not see requests that wait here, so it does not detect deadlocks among them.
///
/// - Within a closure, use the connection that it is given. A call to the pool for the same lock
///   would wait for its own closure. If the lock is held by a closure on the same thread, the call
///   returns [`TimeoutCause::EnclosingCall`](crate::TimeoutCause::EnclosingCall) at once.
/// - Two threads that nest calls for two locks in opposite orders wait until their timeouts. To
///   acquire several locks, use [`lock_all`](crate::lock_all).
///
/// # Cost
///
/// While other requests wait here, the lock costs one round trip besides the closure's own: the
/// check that the session still holds the lock. It is made after a plain closure, and before the
/// COMMIT of a transaction. No waiter is woken through the server.
///
/// With 64 threads on one row and nothing to do under the lock, four connections ran 1.9 to 3.6
/// times as many closures as 64 connections did. With a round trip of one millisecond, they ran
/// 1.07 to 1.18 times as many (`cargo xtask bench --only hot`, one interleaved run). A waiting
/// request takes about 80 bytes and two copies of its name; an unused name takes no memory
/// (`tests/allocations.rs`).
///
/// Clones share one queue. Two `LockPool`s made from clones of one pool do not.
pub struct LockPool<C: PoolConnection> {
    queue: PoolQueue<Pool<ConnectionManager<C>>>,
}

impl<C: PoolConnection> LockPool<C> {
    /// Makes a `LockPool` with the default limits; [`builder`](Self::builder) sets others.
    pub fn new(pool: Pool<ConnectionManager<C>>) -> Self {
        Self::with_limits(pool, Limits::default())
    }

    /// Returns the pool of connections, for work that needs no lock.
    pub fn pool(&self) -> &Pool<ConnectionManager<C>> {
        self.queue.pool()
    }

    pub(super) fn with_limits(pool: Pool<ConnectionManager<C>>, limits: Limits) -> Self {
        LockPool {
            queue: PoolQueue::new(pool, limits),
        }
    }

    /// Returns how many names are held or waited for in this `LockPool` at this moment, and how
    /// many requests wait.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # fn main() -> TestResult {
    /// let locks = LockPool::new(pool()?);
    /// let held = locks.acquire(LockName::named("job").lock())?;
    /// assert_eq!((locks.state().names, locks.state().waiting), (1, 0));
    /// held.release()?;
    /// assert_eq!(locks.state().names, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn state(&self) -> LockPoolState {
        self.queue.state()
    }

    /// Like [`LockDsl::run`](crate::LockDsl::run), on a connection from the pool.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::run`](crate::LockDsl::run), and [`LockError::Pool`].
    pub fn run<L, R, E>(
        &self,
        lock: Lock<L>,
        body: impl FnOnce(L::Locked, &mut C) -> Result<R, E>,
    ) -> Result<R, E>
    where
        L: ReloadSet<C>,
        E: FromLockError,
    {
        let guard = self.acquire_guard(
            &lock,
            &lock.deadline_or(self.queue.limits().timeout),
            Transaction::No,
        )?;
        guard::run(guard, lock.into_set(), Transaction::No, body)
    }

    /// Like [`LockDsl::try_run`](crate::LockDsl::try_run), on a connection from the pool.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::try_run`](crate::LockDsl::try_run), and [`LockError::Pool`].
    pub fn try_run<L, R, E>(
        &self,
        lock: Lock<L>,
        body: impl FnOnce(L::Locked, &mut C) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        L: ReloadSet<C>,
        E: FromLockError,
    {
        let guard = self.acquire_guard(&lock, &lock.try_deadline(), Transaction::No);
        match or_none(guard)? {
            Some(guard) => guard::run(guard, lock.into_set(), Transaction::No, body).map(Some),
            None => Ok(None),
        }
    }

    /// Like [`LockDsl::transaction`](crate::LockDsl::transaction), on a connection from the pool.
    ///
    /// While other requests wait in the process, the lock costs one round trip: the proof before
    /// the COMMIT that the session holds it. Neither acquiring nor releasing it costs one.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::transaction`](crate::LockDsl::transaction), and [`LockError::Pool`].
    pub fn transaction<L, R, E>(
        &self,
        lock: Lock<L>,
        body: impl FnOnce(L::Locked, &mut C) -> Result<R, E>,
    ) -> Result<R, E>
    where
        L: ReloadSet<C>,
        E: FromLockError,
    {
        let guard = self.acquire_guard(
            &lock,
            &lock.deadline_or(self.queue.limits().timeout),
            Transaction::Begin,
        )?;
        guard::run(guard, lock.into_set(), Transaction::Begin, body)
    }

    /// Like [`LockDsl::try_transaction`](crate::LockDsl::try_transaction), on a connection from the
    /// pool.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::try_transaction`](crate::LockDsl::try_transaction), and
    /// [`LockError::Pool`].
    pub fn try_transaction<L, R, E>(
        &self,
        lock: Lock<L>,
        body: impl FnOnce(L::Locked, &mut C) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        L: ReloadSet<C>,
        E: FromLockError,
    {
        let guard = self.acquire_guard(&lock, &lock.try_deadline(), Transaction::Begin);
        match or_none(guard)? {
            Some(guard) => guard::run(guard, lock.into_set(), Transaction::Begin, body).map(Some),
            None => Ok(None),
        }
    }

    /// Like [`LockDsl::acquire`](crate::LockDsl::acquire), on a connection from the pool, which the
    /// guard owns.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::acquire`](crate::LockDsl::acquire), and [`LockError::Pool`].
    pub fn acquire<L>(&self, lock: Lock<L>) -> Result<PooledLockGuard<C>, LockError>
    where
        L: ReloadSet<C>,
    {
        let mut guard = self.acquire_guard(
            &lock,
            &lock.deadline_or(self.queue.limits().timeout),
            Transaction::No,
        )?;
        guard::reload(&mut guard, &mut lock.into_set())?;
        Ok(guard)
    }

    /// Like [`LockDsl::try_acquire`](crate::LockDsl::try_acquire), on a connection from the pool,
    /// which the guard owns.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::try_acquire`](crate::LockDsl::try_acquire), and [`LockError::Pool`].
    pub fn try_acquire<L>(&self, lock: Lock<L>) -> Result<Option<PooledLockGuard<C>>, LockError>
    where
        L: ReloadSet<C>,
    {
        let guard = self.acquire_guard(&lock, &lock.try_deadline(), Transaction::No);
        let Some(mut guard) = or_none(guard)? else {
            return Ok(None);
        };
        guard::reload(&mut guard, &mut lock.into_set())?;
        Ok(Some(guard))
    }

    fn acquire_guard<L: LockSet>(
        &self,
        lock: &Lock<L>,
        deadline: &Deadline,
        transaction: Transaction,
    ) -> Result<PooledLockGuard<C>, LockError> {
        let requested = lock.requested();
        let held = self.queue.acquire(&requested, deadline, transaction);
        ready(held).map(PooledLockGuard::new)
    }
}

impl<C: PoolConnection> Clone for LockPool<C> {
    fn clone(&self) -> Self {
        LockPool {
            queue: self.queue.clone(),
        }
    }
}

impl<C: PoolConnection> fmt::Debug for LockPool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockPool")
            .field("pool", &self.pool().state())
            .field("state", &self.state())
            .field("limits", &self.queue.limits())
            .finish_non_exhaustive()
    }
}
