//! [`LockPoolBuilder`]: the limits of a [`LockPool`].

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use diesel::r2d2::{ConnectionManager, Pool};

use super::budget::Limits;
use super::connection::PoolConnection;
use super::lock_pool::LockPool;

/// Sets the limits of a [`LockPool`]: how long a request waits, and how often a lock is handed off
/// within the process before sessions of other processes get their turn.
///
/// ```
/// use std::time::Duration;
///
/// # include!("../doctest_setup.rs");
/// # fn main() -> TestResult {
/// # let pool = pool()?;
/// let locks = LockPool::builder()
///     .max_handoffs(4)
///     .max_handoff_time(Duration::from_millis(20))
///     .timeout(Duration::from_secs(5))
///     .build(pool);
/// # locks.acquire(LockName::named("job").lock())?.release()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "there is no `LockPool` until `.build(pool)`"]
pub struct LockPoolBuilder<C> {
    limits: Limits,
    of: PhantomData<fn(C)>,
}

impl<C: PoolConnection> LockPoolBuilder<C> {
    /// Sets how often a lock is handed off before waiters in other processes get their turn. The
    /// default is 16: a waiter in another process waits for at most 17 closures of this process.
    /// With 0, each request acquires the lock on the server.
    pub fn max_handoffs(mut self, max_handoffs: u32) -> Self {
        self.limits.max_handoffs = max_handoffs;
        self
    }

    /// Sets for how long a lock is handed off after the server has granted it. The default is 100
    /// milliseconds. A closure that runs longer is not interrupted, but is the last one.
    pub fn max_handoff_time(mut self, max_handoff_time: Duration) -> Self {
        self.limits.max_handoff_time = max_handoff_time;
        self
    }

    /// Sets how long a request waits if neither the call nor the model's policy sets a timeout. The
    /// default is [`DEFAULT_TIMEOUT`](crate::DEFAULT_TIMEOUT). The timeout covers the wait in the
    /// process, for a connection and on the server. The `try_` methods do not wait.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// Makes a `LockPool` from a pool of connections.
    pub fn build(self, pool: Pool<ConnectionManager<C>>) -> LockPool<C> {
        LockPool::with_limits(pool, self.limits)
    }
}

impl<C> Default for LockPoolBuilder<C> {
    fn default() -> Self {
        LockPoolBuilder {
            limits: Limits::default(),
            of: PhantomData,
        }
    }
}

impl<C> fmt::Debug for LockPoolBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limits.fmt(f)
    }
}

impl<C: PoolConnection> LockPool<C> {
    /// Starts a `LockPool` with other limits than the defaults; see [`LockPoolBuilder`].
    pub fn builder() -> LockPoolBuilder<C> {
        LockPoolBuilder::default()
    }
}
