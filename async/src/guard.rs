//! [`LockGuard`]: holds locks and borrows their connection. [`run`] has the steps of every closure
//! form.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel_advisory_lock::__core::{
    Guard, HeldLocks, InUse, LockDriver, Parts, Transaction, begin, finish,
};
use diesel_advisory_lock::{FromLockError, LockError, LockName};

use crate::body::{LockBody, Scope};
use crate::connection::{LockConnection, LockSource};
use crate::driver::Via;
use crate::reload::{ReloadSet, Rows};

/// A lock or a set of locks that is held, and the connection that holds it.
///
/// The guard derefs to the connection, which cannot be used in any other way while the lock is
/// held. **End it by [`release`](Self::release)**, which releases the lock, and returns an error if
/// the lock was lost.
///
/// Dropping the guard cannot wait for the server, so it **ends the session** instead: the lock is
/// free within milliseconds, an open transaction is rolled back, and a pool discards the connection.
/// It works without a runtime, too. If the lock was re-entrant, the session's other locks end as
/// well, and the calls that hold them return [`LockError::Lost`].
#[must_use = "the session is ended as soon as the guard is dropped"]
pub struct LockGuard<'c, S: LockSource> {
    driver: Via<&'c mut S>,
    locks: HeldLocks<<S::Connection as LockConnection>::Server>,
    ended: bool,
}

impl<'c, S: LockSource> LockGuard<'c, S> {
    pub(crate) fn new(
        driver: Via<&'c mut S>,
        locks: HeldLocks<<S::Connection as LockConnection>::Server>,
    ) -> Self {
        LockGuard {
            driver,
            locks,
            ended: false,
        }
    }

    /// Returns the name of the lock, or of the first lock of a set.
    pub fn name(&self) -> &LockName {
        self.locks.name()
    }

    /// Returns whether the session already held the lock, or all locks of a set, when this guard
    /// was acquired. If so, the session still holds them after this guard is released.
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
    pub async fn verify(&mut self) -> Result<(), LockError> {
        self.locks.verify(&mut self.driver).await
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
    pub async fn release(self) -> Result<(), LockError> {
        self.end().await
    }
}

impl<'c, S: LockSource> Guard for LockGuard<'c, S> {
    type Driver = Via<&'c mut S>;

    fn parts(&mut self) -> Parts<'_, Self::Driver> {
        (&mut self.driver, &mut self.locks)
    }

    async fn end(mut self) -> Result<(), LockError> {
        // From here on, the step itself ends the session if it is dropped.
        self.ended = true;
        self.locks.end(&mut self.driver).await
    }
}

impl<S: LockSource> LockSource for LockGuard<'_, S> {
    type Connection = S::Connection;

    fn connection(&mut self) -> &mut S::Connection {
        self.driver.conn()
    }
}

impl<S: LockSource> Drop for LockGuard<'_, S> {
    fn drop(&mut self) {
        if !self.ended {
            self.driver.abandon();
            self.locks.session_ended();
        }
    }
}

impl<S: LockSource> Deref for LockGuard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.driver.0
    }
}

impl<S: LockSource> DerefMut for LockGuard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.driver.0
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

/// A guard of an asynchronous connection.
pub(crate) trait AsyncGuard: Guard {
    /// Records that a closure runs.
    fn set_running(&self, _closure: &Scope) {}
}

impl<S: LockSource> AsyncGuard for LockGuard<'_, S> {}

/// Runs `body` under the locks of a guard, and ends the guard. An error of `body` leaves no lock
/// and no transaction behind. If the future is dropped, or `body` panics, the session is ended.
pub(crate) async fn run<G, S, L, R, E, F>(
    mut guard: G,
    mut set: L,
    transaction: Transaction,
    body: F,
) -> Result<R, E>
where
    G: AsyncGuard<Driver = Via<S>>,
    S: LockSource,
    L: ReloadSet<S::Connection>,
    E: FromLockError,
    F: for<'a> LockBody<L::Locked, &'a mut S::Connection, Result<R, E>>,
{
    let in_use = match enter(&mut guard, &mut set, transaction).await {
        Ok(in_use) => in_use,
        Err(error) => return finish(guard, Transaction::No, Err(E::from(error))).await,
    };
    let scope = Scope::of(guard.parts().1);
    guard.set_running(&scope);
    let conn = guard.parts().0.conn();
    let result = scope.run(body(set.into_locked(), conn)).await;
    drop(in_use);
    finish(guard, transaction, result).await
}

pub(crate) async fn enter<G, S, L>(
    guard: &mut G,
    set: &mut L,
    transaction: Transaction,
) -> Result<InUse, LockError>
where
    G: Guard<Driver = Via<S>>,
    S: LockSource,
    L: ReloadSet<S::Connection>,
{
    begin(guard, transaction).await?;
    reload(guard, set).await
}

/// Reloads the models of a guard that the caller gets. After an error, the guard is released.
pub(crate) async fn reloaded<G, S, L>(mut guard: G, mut set: L) -> Result<G, LockError>
where
    G: Guard<Driver = Via<S>>,
    S: LockSource,
    L: ReloadSet<S::Connection>,
{
    match reload(&mut guard, &mut set).await {
        Ok(_) => Ok(guard),
        Err(error) => {
            finish(guard, Transaction::No, Err::<(), _>(error)).await?;
            unreachable!("an error is returned")
        }
    }
}

/// Reloads the models of a set, which are in use until the result is dropped.
pub(crate) async fn reload<G, S, L>(guard: &mut G, set: &mut L) -> Result<InUse, LockError>
where
    G: Guard<Driver = Via<S>>,
    S: LockSource,
    L: ReloadSet<S::Connection>,
{
    let (driver, locks) = guard.parts();
    let mut rows = Rows::new(driver, locks);
    set.reload(&mut rows).await?;
    Ok(rows.into_in_use())
}
