//! [`PooledLockGuard`]: the guard that owns its connection.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel_advisory_lock::__core::{Guard, Parts, PooledLocks};
use diesel_advisory_lock::{LockError, LockName};

use super::connection_pool::{ConnectionPool, ViaPool};
use crate::body::Scope;
use crate::connection::LockSource;
use crate::driver::Via;
use crate::guard::AsyncGuard;

/// A lock or a set of locks that is held, and the pooled connection that holds it.
///
/// It is like [`LockGuard`](crate::LockGuard), but owns the connection, so that it can be stored
/// and sent to another task. **End it by [`release`](Self::release)**: the connection returns to the
/// pool, or goes to the next request that waits for the lock in the same
/// [`LockPool`](crate::LockPool).
///
/// Dropping the guard **ends the session**, as with a [`LockGuard`](crate::LockGuard), and the pool
/// discards the connection. The next request asks the server for the lock.
///
/// ```no_run
/// use diesel_advisory_lock_async::{ConnectionPool, prelude::*};
/// use diesel_async::SimpleAsyncConnection;
///
/// # async fn run(locks: LockPool<impl ConnectionPool>) -> diesel::QueryResult<()> {
/// let mut held = locks.acquire(LockName::named("nightly-report").lock()).await?;
/// held.batch_execute("DELETE FROM reports").await?;
/// held.release().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Limitations
///
/// **A leaked guard** (`std::mem::forget`, a reference cycle) keeps its connection and its lock
/// until the session ends. The pool is one connection smaller, and later requests for the name in
/// the same `LockPool` time out.
#[must_use = "the session is ended as soon as the guard is dropped"]
pub struct PooledLockGuard<P: ConnectionPool> {
    held: PooledLocks<ViaPool<P>>,
}

impl<P: ConnectionPool> PooledLockGuard<P> {
    pub(super) fn new(held: PooledLocks<ViaPool<P>>) -> Self {
        PooledLockGuard { held }
    }

    /// Returns the name of the lock, or of the first lock of a set.
    pub fn name(&self) -> &LockName {
        self.held.locks().name()
    }

    /// Asks the server whether this session holds the lock at this moment: see
    /// [`LockGuard::verify`](crate::LockGuard::verify).
    ///
    /// # Errors
    ///
    /// As for `LockGuard::verify`.
    pub async fn verify(&mut self) -> Result<(), LockError> {
        let (driver, locks) = self.held.parts();
        locks.verify(driver).await
    }

    /// Releases the lock, and returns an error if the lock was lost.
    ///
    /// # Errors
    ///
    /// As for [`LockGuard::release`](crate::LockGuard::release).
    pub async fn release(self) -> Result<(), LockError> {
        self.end().await
    }
}

impl<P: ConnectionPool> Guard for PooledLockGuard<P> {
    type Driver = Via<P::Pooled>;

    fn parts(&mut self) -> Parts<'_, Self::Driver> {
        self.held.parts()
    }

    async fn end(self) -> Result<(), LockError> {
        self.held.end().await
    }
}

impl<P: ConnectionPool> AsyncGuard for PooledLockGuard<P> {
    fn set_running(&self, closure: &Scope) {
        self.held.set_running_future(&closure.enclosing);
    }
}

impl<P: ConnectionPool> LockSource for PooledLockGuard<P> {
    type Connection = P::Connection;

    fn connection(&mut self) -> &mut P::Connection {
        self.held.parts().0.conn()
    }
}

impl<P: ConnectionPool> Deref for PooledLockGuard<P> {
    type Target = P::Connection;

    fn deref(&self) -> &P::Connection {
        &self.held.pooled().0
    }
}

impl<P: ConnectionPool> DerefMut for PooledLockGuard<P> {
    fn deref_mut(&mut self) -> &mut P::Connection {
        self.connection()
    }
}

impl<P: ConnectionPool> fmt::Debug for PooledLockGuard<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledLockGuard")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
