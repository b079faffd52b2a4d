//! [`LockPoolBuilder`]: the limits of a [`LockPool`].

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use diesel_advisory_lock::__core::Limits;

use super::connection_pool::ConnectionPool;
use super::lock_pool::LockPool;

/// Sets the limits of a [`LockPool`]: how long a request waits, and how often a lock is handed off
/// within the process before sessions of other processes get their turn.
#[must_use = "there is no `LockPool` until `.build(pool)`"]
pub struct LockPoolBuilder<P> {
    limits: Limits,
    of: PhantomData<fn(P)>,
}

impl<P: ConnectionPool> LockPoolBuilder<P> {
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
    pub fn build(self, pool: P) -> LockPool<P> {
        LockPool::with_limits(pool, self.limits)
    }
}

impl<P> Default for LockPoolBuilder<P> {
    fn default() -> Self {
        LockPoolBuilder {
            limits: Limits::default(),
            of: PhantomData,
        }
    }
}

impl<P> fmt::Debug for LockPoolBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limits.fmt(f)
    }
}

impl<P: ConnectionPool> LockPool<P> {
    /// Starts a `LockPool` with other limits than the defaults; see [`LockPoolBuilder`].
    pub fn builder() -> LockPoolBuilder<P> {
        LockPoolBuilder::default()
    }
}
