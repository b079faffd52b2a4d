//! [`PooledLockGuard`]: the guard that owns its connection.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel::r2d2::{ConnectionManager, Pool};

use super::acquire::PooledLocks;
use super::connection::PoolConnection;
use crate::backend::LockSource;
use crate::driver::ready;
use crate::error::LockError;
use crate::guard::{BlockingGuard, Guard, Parts};
use crate::in_use::Enclosing;
use crate::name::LockName;
use crate::session_lock::without_second_panic;

/// A lock or a set of locks that is held, and the pooled connection that holds it.
///
/// It is like [`LockGuard`](crate::LockGuard), but owns the connection, so that it can be stored
/// and sent to another thread. When it is released or dropped, the connection returns to the pool,
/// or goes to the next request that waits for the lock in the same [`LockPool`](crate::LockPool).
///
/// If the server does not confirm the release, or the session still holds the lock after it, the
/// session is ended, and the pool discards the connection.
///
/// ```
/// # include!("../doctest_setup.rs");
/// # fn main() -> TestResult {
/// # let locks = LockPool::new(pool()?);
/// let mut held = locks.acquire(LockName::named("nightly-report").lock())?;
/// let count: i64 = notifications::table.count().get_result(&mut *held)?;
/// held.release()?;
/// # assert_eq!(count, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Limitations
///
/// - **A leaked guard** (`std::mem::forget`, a reference cycle) keeps its connection and its lock
///   until the session ends. The pool is one connection smaller, and later requests for the name in
///   the same `LockPool` time out.
/// - **A swapped connection** (`std::mem::swap` with another pooled one, through `DerefMut`) makes
///   the release return [`LockError::Lost`]. The session that holds the lock keeps it until it
///   ends; see [`LockGuard`](crate::LockGuard#limitations).
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct PooledLockGuard<C: PoolConnection> {
    /// `None` once the guard has ended.
    held: Option<PooledLocks<Pool<ConnectionManager<C>>>>,
}

impl<C: PoolConnection> PooledLockGuard<C> {
    pub(super) fn new(held: PooledLocks<Pool<ConnectionManager<C>>>) -> Self {
        PooledLockGuard { held: Some(held) }
    }

    /// Returns the name of the lock, or of the first lock of a set.
    pub fn name(&self) -> &LockName {
        self.held().locks().name()
    }

    /// Asks the server whether this session holds the lock at this moment: see
    /// [`LockGuard::verify`](crate::LockGuard::verify).
    ///
    /// # Errors
    ///
    /// As for `LockGuard::verify`.
    pub fn verify(&mut self) -> Result<(), LockError> {
        let (conn, locks) = self.parts();
        ready(locks.verify(conn))
    }

    /// Releases the lock, and returns an error if the lock was lost.
    ///
    /// # Errors
    ///
    /// As for [`LockGuard::release`](crate::LockGuard::release).
    pub fn release(mut self) -> Result<(), LockError> {
        self.end_once()
    }

    fn end_once(&mut self) -> Result<(), LockError> {
        match self.held.take() {
            Some(held) => ready(held.end()),
            None => Ok(()),
        }
    }

    fn held(&self) -> &PooledLocks<Pool<ConnectionManager<C>>> {
        self.held.as_ref().expect(HELD)
    }
}

const HELD: &str = "only a method that consumes the guard ends it";

#[doc(hidden)]
impl<C: PoolConnection> Guard for PooledLockGuard<C> {
    type Driver = C;

    fn parts(&mut self) -> Parts<'_, C> {
        self.held.as_mut().expect(HELD).parts()
    }

    async fn end(mut self) -> Result<(), LockError> {
        self.end_once()
    }
}

impl<C: PoolConnection> BlockingGuard for PooledLockGuard<C> {
    fn enter_closure(&mut self) -> Enclosing {
        let held = self.held();
        held.set_running();
        held.locks().enter_closure()
    }
}

impl<C: PoolConnection> LockSource for PooledLockGuard<C> {
    type Connection = C;

    fn connection(&mut self) -> &mut C {
        self
    }
}

impl<C: PoolConnection> Drop for PooledLockGuard<C> {
    fn drop(&mut self) {
        // `Drop` cannot return an error: telemetry records it, and a failed release has ended the
        // session.
        drop(without_second_panic(|| self.end_once()));
    }
}

impl<C: PoolConnection> Deref for PooledLockGuard<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.held().pooled()
    }
}

impl<C: PoolConnection> DerefMut for PooledLockGuard<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.parts().0
    }
}

impl<C: PoolConnection> fmt::Debug for PooledLockGuard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledLockGuard")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
