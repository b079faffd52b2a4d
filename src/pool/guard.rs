//! [`PooledLockGuard`]: the guard that owns its connection.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::connection::PoolConnection;
use super::handoff::{LockedConnection, QueueSlot};
use crate::backend::LockSource;
use crate::deadline::Deadline;
use crate::driver::ready;
use crate::error::LockError;
use crate::guard::{Guard, Parts};
use crate::in_use::Enclosing;
use crate::name::LockName;
use crate::one_or_many::OneOrMany;
use crate::session_lock::without_second_panic;

/// A lock that is held, or a set of locks, and the pooled connection that holds it.
///
/// Like [`LockGuard`](crate::LockGuard), but it owns the connection, so that it may be kept and sent to
/// another thread. When it ends, the connection goes back to the pool, or to the next request that
/// waits for the lock in the same [`LockPool`](crate::LockPool).
///
/// If the server does not confirm the release, or the session still holds the lock after it, the
/// session is ended, and the pool discards the connection.
///
/// # Limitations
///
/// - **A leaked guard** (`std::mem::forget`, a reference cycle) keeps its connection and its lock:
///   the pool is one connection smaller, and the lock is held until the session ends. In a
///   `LockPool` it keeps the lock's turn as well, so later requests for the name time out.
/// - **A swapped connection** (`std::mem::swap` with another pooled one, through `DerefMut`) is
///   found out by the release, which is [`LockError::Lost`]. The session that holds the lock is
///   wherever the swap has put it, and keeps the lock until it ends; see
///   [`LockGuard`](crate::LockGuard#limitations).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let locks = LockPool::new(pool()?);
/// let mut held = locks.acquire(LockName::named("nightly-report").lock())?;
/// let count: i64 = notifications::table.count().get_result(&mut *held)?;
/// held.release()?;
/// # assert_eq!(count, 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct PooledLockGuard<C: PoolConnection> {
    /// `None` once it has ended.
    held: Option<(LockedConnection<C>, QueueSlot<C>)>,
}

impl<C: PoolConnection> PooledLockGuard<C> {
    pub(super) fn new(locked: LockedConnection<C>, slot: QueueSlot<C>) -> Self {
        PooledLockGuard {
            held: Some((locked, slot)),
        }
    }

    /// Goes on with locks that were handed off.
    pub(super) fn take_over(
        &mut self,
        names: &OneOrMany<LockName>,
        deadline: &Deadline,
    ) -> Result<(), LockError> {
        let LockedConnection { conn, locks, .. } = self.locked_mut();
        ready(locks.take_over::<C>(names, conn, deadline))
    }

    /// The name of the lock, or of the first one of a set.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let locks = LockPool::new(pool()?);
    /// let held = locks.acquire(LockName::named("job").lock())?;
    /// assert_eq!(held.name(), &LockName::named("job"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &LockName {
        self.locked().locks.name()
    }

    /// Asks the server whether this session holds the lock at this moment: see [`LockGuard::verify`](crate::LockGuard::verify).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::new(pool()?);
    /// let mut held = locks.acquire(LockName::named("job").lock())?;
    /// held.verify()?;
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `LockGuard::verify`.
    pub fn verify(&mut self) -> Result<(), LockError> {
        let LockedConnection { conn, locks, .. } = self.locked_mut();
        ready(locks.verify::<C>(conn))
    }

    /// Releases the lock, and returns an error if the lock was lost.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let locks = LockPool::new(pool()?);
    /// let held = locks.acquire(LockName::named("job").lock())?;
    /// held.release()?; // an error, if it was lost meanwhile
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`LockGuard::release`](crate::LockGuard::release).
    pub fn release(mut self) -> Result<(), LockError> {
        self.end_once()
    }

    fn end_once(&mut self) -> Result<(), LockError> {
        match self.held.take() {
            Some((locked, slot)) => slot.end(locked),
            None => Ok(()),
        }
    }

    fn locked(&self) -> &LockedConnection<C> {
        &self.held.as_ref().expect(HELD).0
    }

    fn locked_mut(&mut self) -> &mut LockedConnection<C> {
        &mut self.held.as_mut().expect(HELD).0
    }
}

const HELD: &str = "a guard is consumed by what ends it";

impl<C: PoolConnection> Guard for PooledLockGuard<C> {
    type Connection = C;

    fn parts(&mut self) -> Parts<'_, C> {
        let LockedConnection { conn, locks, .. } = self.locked_mut();
        (conn, locks)
    }

    fn end(mut self) -> Result<(), LockError> {
        self.end_once()
    }

    fn enclosing(&mut self) -> Enclosing {
        let (locked, slot) = self.held.as_ref().expect(HELD);
        slot.set_running();
        locked.locks.enclosing()
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
        &self.locked().conn
    }
}

impl<C: PoolConnection> DerefMut for PooledLockGuard<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.locked_mut().conn
    }
}

impl<C: PoolConnection> fmt::Debug for PooledLockGuard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledLockGuard")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
