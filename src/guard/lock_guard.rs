//! [`LockGuard`]: the guard that borrows its connection.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::backend::{LockDriver, LockSource};
use crate::driver::ready;
use crate::error::LockError;
use crate::held_locks::HeldLocks;
use crate::name::LockName;
use crate::session_lock::without_second_panic;

use super::run::{BlockingGuard, Guard, Parts};

/// A lock or a set of locks that is held, and the connection that holds it.
///
/// The guard derefs to the connection, which cannot be used in any other way while the lock is
/// held. [`release`](Self::release) releases the lock, and returns an error if the lock was lost.
/// Dropping the guard releases the lock too, but `Drop` cannot return an error.
///
/// ```
/// # include!("../doctest_setup.rs");
/// # fn main() -> TestResult {
/// # let mut conn = establish_connection();
/// let name = LockName::named("nightly-report");
/// let mut held = name.lock().acquire(&mut conn)?;
/// let count: i64 = notifications::table.count().get_result(&mut *held)?;
/// held.release()?;
/// # assert_eq!(count, 1);
/// # Ok(())
/// # }
/// ```
///
/// In both cases a transaction that was begun under the lock and is still open is rolled back
/// first. If the server does not confirm the release, or the session still holds the lock after its
/// outermost release, the session is ended (`KILL CONNECTION_ID()`), which frees the lock. The
/// connection is then marked as broken, so that a pool discards it.
///
/// # Limitations
///
/// Safe Rust allows two things that no guard can detect in time:
///
/// - **A leaked guard** (`std::mem::forget`, a reference cycle) releases nothing. If it was the
///   outermost one on a pooled connection, the connection returns to the pool with the lock held,
///   until its session ends. A later lock of the same name on that connection is then re-entrant. A
///   [`LockPool`](crate::LockPool) ends such a session after its next lock of that name.
/// - **A swapped connection.** The guard derefs mutably, so `std::mem::swap` can put another
///   connection in its place. The release then goes to a session that does not hold the lock: it
///   returns [`LockError::Lost`], and that session is ended. The session that holds the lock keeps
///   it until it ends.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct LockGuard<'c, S: LockSource> {
    source: &'c mut S,
    locks: HeldLocks<<S::Connection as LockDriver>::Server>,
    ended: bool,
}

impl<'c, S: LockSource> LockGuard<'c, S> {
    pub(crate) fn new(
        source: &'c mut S,
        locks: HeldLocks<<S::Connection as LockDriver>::Server>,
    ) -> Self {
        LockGuard {
            source,
            locks,
            ended: false,
        }
    }

    /// Returns the name of the lock, or of the first lock of a set.
    pub fn name(&self) -> &LockName {
        self.locks.name()
    }

    /// Returns whether the session already held the lock, or all locks of a set, when this guard
    /// was acquired. If so, the session still holds them after this guard ends.
    pub fn is_reentrant(&self) -> bool {
        self.locks.is_reentrant()
    }

    /// Asks the server, in one round trip, whether this session holds the lock at this moment.
    ///
    /// Use it after a long time, before something that cannot be undone. It says nothing about the
    /// time before: a lock that was released by raw SQL and acquired again in the same session
    /// passes.
    ///
    /// # Errors
    ///
    /// [`LockError::Lost`] if the server does not confirm it. The connection is then marked as
    /// broken, and the session is ended when the guard ends.
    pub fn verify(&mut self) -> Result<(), LockError> {
        ready(self.locks.verify(self.source.connection()))
    }

    /// Releases the lock, and returns an error if the lock was lost.
    ///
    /// # Errors
    ///
    /// - [`LockError::Lost`] if the server does not confirm that this session held the lock. The
    ///   session has been ended.
    /// - [`LockError::TransactionLeftOpen`] if a transaction was begun under the lock and is still
    ///   open. It has been rolled back, and the lock is released.
    /// - [`LockError::Database`] if Diesel has marked the connection as broken meanwhile, so that
    ///   it is unknown whether a transaction was left open. An open transaction has been rolled
    ///   back.
    pub fn release(mut self) -> Result<(), LockError> {
        self.end_once()
    }

    fn end_once(&mut self) -> Result<(), LockError> {
        self.ended = true;
        ready(self.locks.end(self.source.connection()))
    }
}

#[doc(hidden)]
impl<S: LockSource> Guard for LockGuard<'_, S> {
    type Driver = S::Connection;

    fn parts(&mut self) -> Parts<'_, S::Connection> {
        (self.source.connection(), &mut self.locks)
    }

    async fn end(mut self) -> Result<(), LockError> {
        self.ended = true;
        self.locks.end(self.source.connection()).await
    }
}

impl<S: LockSource> BlockingGuard for LockGuard<'_, S> {}

impl<S: LockSource> LockSource for LockGuard<'_, S> {
    type Connection = S::Connection;

    fn connection(&mut self) -> &mut S::Connection {
        self.source.connection()
    }
}

impl<S: LockSource> Drop for LockGuard<'_, S> {
    fn drop(&mut self) {
        if !self.ended {
            // `Drop` cannot return an error: telemetry records it, and a failed release has ended
            // the session.
            drop(without_second_panic(|| self.end_once()));
        }
    }
}

impl<S: LockSource> Deref for LockGuard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.source
    }
}

impl<S: LockSource> DerefMut for LockGuard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.source
    }
}

impl<S: LockSource> fmt::Debug for LockGuard<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("name", self.name())
            .field("reentrant", &self.is_reentrant())
            .finish_non_exhaustive()
    }
}
