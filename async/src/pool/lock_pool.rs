//! [`LockPool`].

use std::fmt;
use std::future::Future;

use diesel_advisory_lock::__core::{
    Deadline, Limits, LockPoolState, PoolQueue, Transaction, or_none,
};
use diesel_advisory_lock::{FromLockError, Lock, LockError, LockSet};

use super::connection_pool::{ConnectionPool, ViaPool};
use super::guard::PooledLockGuard;
use crate::body::LockBody;
use crate::guard;
use crate::reload::ReloadSet;

/// Acquires locks on connections from a pool, which one contended lock cannot exhaust.
///
/// A request that waits for a lock on a connection occupies that connection, and soon no other
/// request gets one. Through a `LockPool` the requests for one name queue in the process, in FIFO
/// order, **without a connection**. Only the first request checks out a connection and asks the
/// server. When it is done, it hands off *the connection with the lock still held* to the next
/// request.
///
/// It is the `LockPool` of the blocking crate, whose documentation has its guarantees, its fairness
/// to other processes and its cost. The pool is the receiver of the six finishing methods, and takes
/// the [`Lock`] with its options. `P` is a pool of deadpool or bb8:
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_advisory_lock_async::prelude::*;
#[cfg_attr(
    feature = "deadpool",
    doc = "use diesel_async::pooled_connection::deadpool::Pool;"
)]
#[cfg_attr(
    not(feature = "deadpool"),
    doc = "use diesel_async::pooled_connection::bb8::Pool;"
)]
/// # use diesel_async::RunQueryDsl;
/// # diesel::table! { accounts (id) { id -> Integer, balance -> BigInt, } }
/// # #[cfg(feature = "mysql")] type Conn = diesel_async::AsyncMysqlConnection;
/// # #[cfg(not(feature = "mysql"))] type Conn = diesel_async::AsyncPgConnection;
/// # #[derive(Queryable, Selectable, Identifiable, AsChangeset)]
/// # struct Account { id: i32, balance: i64 }
///
/// async fn withdraw(locks: &LockPool<Pool<Conn>>, account: &mut Account) -> QueryResult<usize> {
///     let lock = account.lock();
///     locks
///         .transaction(lock, async |account, conn| {
///             account.balance -= 30;
///             diesel::update(&*account).set(&*account).execute(conn).await
///         })
///         .await
/// }
/// ```
///
/// # Cancellation
///
/// Every future may be dropped at any time. A request that waits in the queue leaves it. A request
/// that has a connection ends its session, the pool discards the connection at once, and the next
/// request asks the server for the lock. A waiter that is neither polled nor dropped delays the
/// waiters behind it.
///
/// # Limitations
///
/// The server does not see requests that wait here, so it does not detect deadlocks among them.
/// Within a body, use the connection that it is given: a call to the pool for the same lock returns
/// [`TimeoutCause::EnclosingCall`](crate::TimeoutCause::EnclosingCall) at once if it is made in the
/// body's own future, and waits until its timeout if it is made in another task.
///
/// # Panics
///
/// A call that has to wait panics if the runtime of tokio has no timer: see
/// [`enable_time`](https://docs.rs/tokio/latest/tokio/runtime/struct.Builder.html#method.enable_time).
///
/// Clones share one queue. Two `LockPool`s made from clones of one pool do not.
#[derive(Clone)]
pub struct LockPool<P: ConnectionPool> {
    queue: PoolQueue<ViaPool<P>>,
}

// Not `async fn`: see `lock.rs`.
#[allow(clippy::manual_async_fn)]
impl<P: ConnectionPool> LockPool<P> {
    /// Makes a `LockPool` with the default limits; [`builder`](Self::builder) sets others.
    pub fn new(pool: P) -> Self {
        Self::with_limits(pool, Limits::default())
    }

    /// Returns the pool of connections, for work that needs no lock.
    pub fn pool(&self) -> &P {
        &self.queue.pool().0
    }

    pub(super) fn with_limits(pool: P, limits: Limits) -> Self {
        LockPool {
            queue: PoolQueue::new(ViaPool(pool), limits),
        }
    }

    /// Returns how many names are held or waited for in this `LockPool` at this moment, and how
    /// many requests wait.
    pub fn state(&self) -> LockPoolState {
        self.queue.state()
    }

    /// Like [`LockDsl::run`](crate::LockDsl::run), on a connection from the pool.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::run`](crate::LockDsl::run), and [`LockError::Pool`].
    pub fn run<L, R, E, F>(
        &self,
        lock: Lock<L>,
        body: F,
    ) -> impl Future<Output = Result<R, E>> + Send
    where
        L: ReloadSet<P::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut P::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut P::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        async move {
            let deadline = lock.deadline_or(self.queue.limits().timeout);
            let guard = self
                .acquire_guard(&lock, &deadline, Transaction::No)
                .await?;
            guard::run(guard, lock.into_set(), Transaction::No, body).await
        }
    }

    /// Like [`LockDsl::try_run`](crate::LockDsl::try_run), on a connection from the pool.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::try_run`](crate::LockDsl::try_run), and [`LockError::Pool`].
    pub fn try_run<L, R, E, F>(
        &self,
        lock: Lock<L>,
        body: F,
    ) -> impl Future<Output = Result<Option<R>, E>> + Send
    where
        L: ReloadSet<P::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut P::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut P::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        async move {
            let deadline = lock.try_deadline();
            let guard = self.acquire_guard(&lock, &deadline, Transaction::No).await;
            let Some(guard) = or_none(guard)? else {
                return Ok(None);
            };
            let ran = guard::run(guard, lock.into_set(), Transaction::No, body).await;
            ran.map(Some)
        }
    }

    /// Like [`LockDsl::transaction`](crate::LockDsl::transaction), on a connection from the pool.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::transaction`](crate::LockDsl::transaction), and [`LockError::Pool`].
    pub fn transaction<L, R, E, F>(
        &self,
        lock: Lock<L>,
        body: F,
    ) -> impl Future<Output = Result<R, E>> + Send
    where
        L: ReloadSet<P::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut P::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut P::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        async move {
            let deadline = lock.deadline_or(self.queue.limits().timeout);
            let guard = self
                .acquire_guard(&lock, &deadline, Transaction::Begin)
                .await?;
            guard::run(guard, lock.into_set(), Transaction::Begin, body).await
        }
    }

    /// Like [`LockDsl::try_transaction`](crate::LockDsl::try_transaction), on a connection from the pool.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::try_transaction`](crate::LockDsl::try_transaction), and [`LockError::Pool`].
    pub fn try_transaction<L, R, E, F>(
        &self,
        lock: Lock<L>,
        body: F,
    ) -> impl Future<Output = Result<Option<R>, E>> + Send
    where
        L: ReloadSet<P::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut P::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut P::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        async move {
            let deadline = lock.try_deadline();
            let guard = self
                .acquire_guard(&lock, &deadline, Transaction::Begin)
                .await;
            let Some(guard) = or_none(guard)? else {
                return Ok(None);
            };
            let ran = guard::run(guard, lock.into_set(), Transaction::Begin, body).await;
            ran.map(Some)
        }
    }

    /// Like [`LockDsl::acquire`](crate::LockDsl::acquire), on a connection from the pool, which the
    /// guard owns.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::acquire`](crate::LockDsl::acquire), and [`LockError::Pool`].
    pub fn acquire<L>(
        &self,
        lock: Lock<L>,
    ) -> impl Future<Output = Result<PooledLockGuard<P>, LockError>> + Send
    where
        L: ReloadSet<P::Connection>,
    {
        async move {
            let deadline = lock.deadline_or(self.queue.limits().timeout);
            let guard = self
                .acquire_guard(&lock, &deadline, Transaction::No)
                .await?;
            guard::reloaded(guard, lock.into_set()).await
        }
    }

    /// Like [`LockDsl::try_acquire`](crate::LockDsl::try_acquire), on a connection from the pool,
    /// which the guard owns.
    ///
    /// # Errors
    ///
    /// As for [`LockDsl::try_acquire`](crate::LockDsl::try_acquire), and [`LockError::Pool`].
    pub fn try_acquire<L>(
        &self,
        lock: Lock<L>,
    ) -> impl Future<Output = Result<Option<PooledLockGuard<P>>, LockError>> + Send
    where
        L: ReloadSet<P::Connection>,
    {
        async move {
            let deadline = lock.try_deadline();
            let guard = self.acquire_guard(&lock, &deadline, Transaction::No).await;
            let Some(guard) = or_none(guard)? else {
                return Ok(None);
            };
            guard::reloaded(guard, lock.into_set()).await.map(Some)
        }
    }

    /// The future does not borrow the lock.
    fn acquire_guard<L: LockSet>(
        &self,
        lock: &Lock<L>,
        deadline: &Deadline,
        transaction: Transaction,
    ) -> impl Future<Output = Result<PooledLockGuard<P>, LockError>> + Send + use<'_, P, L> {
        let (requested, deadline) = (lock.requested(), *deadline);
        async move {
            let held = self.queue.acquire(&requested, &deadline, transaction).await;
            held.map(PooledLockGuard::new)
        }
    }
}

impl<P: ConnectionPool> fmt::Debug for LockPool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockPool")
            .field("state", &self.state())
            .field("limits", &self.queue.limits())
            .finish_non_exhaustive()
    }
}
