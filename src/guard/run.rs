//! [`Guard`]: what all guards have in common, and the steps around a closure.

use crate::backend::LockDriver;
use crate::driver::ready;
use crate::error::{FromLockError, LockError};
use crate::held_locks::HeldLocks;
use crate::in_use::{Enclosing, InUse};
use crate::set::{ReloadSet, Rows};

/// Whether the library runs the closure in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// It does not.
    No,
    /// It does.
    Begin,
}

/// A guard, which holds locks and a connection. It releases the locks, or ends the session, when it
/// is dropped.
pub trait Guard: Sized {
    /// Its connection.
    type Driver: LockDriver;

    /// Borrows the connection and the locks.
    fn parts(&mut self) -> Parts<'_, Self::Driver>;

    /// Rolls back what is open, and releases the locks.
    fn end(self) -> impl Future<Output = Result<(), LockError>>;
}

/// A guard's connection and locks.
pub type Parts<'g, D> = (&'g mut D, &'g mut HeldLocks<<D as LockDriver>::Server>);

/// The steps before a closure: BEGIN, if it runs in a transaction.
///
/// # Errors
///
/// [`LockError::Database`].
// Inlined, since a call would copy the future.
#[inline(always)]
pub async fn begin<G: Guard>(guard: &mut G, transaction: Transaction) -> Result<(), LockError> {
    let (driver, locks) = guard.parts();
    match transaction {
        Transaction::No => Ok(()),
        Transaction::Begin => locks.begin(driver).await,
    }
}

/// The steps after a closure: COMMIT, if it succeeded in a transaction, and the release. After an
/// error, the transaction is rolled back.
///
/// # Errors
///
/// The error of the closure, of the COMMIT, or of the release, whichever comes first.
// Inlined, since a call would copy the future and the guard.
#[inline(always)]
pub async fn finish<G: Guard, R, E: FromLockError>(
    mut guard: G,
    transaction: Transaction,
    result: Result<R, E>,
) -> Result<R, E> {
    let (driver, locks) = guard.parts();
    let result = match transaction {
        Transaction::Begin if result.is_ok() => match locks.commit(driver).await {
            Ok(()) => result,
            Err(error) => Err(error.into()),
        },
        _ => result,
    };
    // Telemetry records an error of the release. The first error is returned.
    let ended = guard.end().await;
    let value = result?;
    ended?;
    Ok(value)
}

/// A guard of a blocking connection.
pub(crate) trait BlockingGuard: Guard {
    /// Records that a closure runs on this thread, until the result is dropped.
    fn enter_closure(&mut self) -> Enclosing {
        self.parts().1.enter_closure()
    }
}

/// Runs `body` under the locks of a guard, and ends the guard. An error or a panic of `body` leaves
/// no lock and no transaction behind.
pub(crate) fn run<G, L, R, E>(
    mut guard: G,
    mut set: L,
    transaction: Transaction,
    body: impl FnOnce(L::Locked, &mut G::Driver) -> Result<R, E>,
) -> Result<R, E>
where
    G: BlockingGuard,
    L: ReloadSet<G::Driver>,
    E: FromLockError,
{
    ready(begin(&mut guard, transaction))?;
    let in_use = reload(&mut guard, &mut set)?;
    let enclosing = guard.enter_closure();
    let (conn, locks) = guard.parts();
    let result = locks.span().run(|| body(set.into_locked(), conn));
    drop((enclosing, in_use));
    ready(finish(guard, transaction, result))
}

/// Reloads the models of a set, which are in use until the result is dropped.
pub(crate) fn reload<G, L>(guard: &mut G, set: &mut L) -> Result<InUse, LockError>
where
    G: Guard,
    L: ReloadSet<G::Driver>,
{
    let (conn, locks) = guard.parts();
    let mut rows = Rows::new(conn, locks);
    set.reload(&mut rows)?;
    Ok(rows.into_in_use())
}
