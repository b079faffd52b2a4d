//! [`Guard`]: what both guards have in common. [`run`] has the steps of every closure form.

use crate::backend::LockConnection;
use crate::driver::ready;
use crate::error::{FromLockError, LockError};
use crate::held_locks::HeldLocks;
use crate::in_use::{Enclosing, InUse};
use crate::set::{ReloadSet, Rows};

/// Whether the library runs the closure in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transaction {
    No,
    Begin,
}

/// A guard, which holds locks and a connection. It releases the locks when it is dropped.
pub(crate) trait Guard: Sized {
    type Connection: LockConnection;

    fn parts(&mut self) -> Parts<'_, Self::Connection>;

    /// Rolls back what is open, and releases the locks.
    fn end(self) -> Result<(), LockError>;

    /// Records that a closure runs on this thread, until the result is dropped.
    fn enter_closure(&mut self) -> Enclosing {
        self.parts().1.enter_closure()
    }
}

/// A guard's connection and locks.
pub(crate) type Parts<'g, C> = (&'g mut C, &'g mut HeldLocks<<C as LockConnection>::Server>);

/// Runs `body` under the locks of a guard, and ends the guard. An error or a panic of `body` leaves
/// no lock and no transaction behind.
pub(crate) fn run<G, L, R, E>(
    mut guard: G,
    mut set: L,
    transaction: Transaction,
    body: impl FnOnce(L::Locked, &mut G::Connection) -> Result<R, E>,
) -> Result<R, E>
where
    G: Guard,
    L: ReloadSet<G::Connection>,
    E: FromLockError,
{
    begin(&mut guard, transaction)?;
    let in_use = reload(&mut guard, &mut set)?;
    let enclosing = guard.enter_closure();
    let (conn, locks) = guard.parts();
    let value = locks.span().run(|| body(set.into_locked(), conn))?;
    drop((enclosing, in_use));
    finish(guard, transaction)?;
    Ok(value)
}

/// The steps before a closure: BEGIN, if it runs in a transaction.
pub(crate) fn begin<G: Guard>(guard: &mut G, transaction: Transaction) -> Result<(), LockError> {
    let (conn, locks) = guard.parts();
    match transaction {
        Transaction::No => Ok(()),
        Transaction::Begin => ready(locks.begin(conn)),
    }
}

/// Reloads the models of a set, which are in use until the result is dropped.
pub(crate) fn reload<G, L>(guard: &mut G, set: &mut L) -> Result<InUse, LockError>
where
    G: Guard,
    L: ReloadSet<G::Connection>,
{
    let (conn, locks) = guard.parts();
    let mut rows = Rows::new(conn, locks);
    set.reload(&mut rows)?;
    Ok(rows.into_in_use())
}

/// The steps after a closure that succeeded: COMMIT, if it ran in a transaction, and the release.
pub(crate) fn finish<G: Guard>(mut guard: G, transaction: Transaction) -> Result<(), LockError> {
    let (conn, locks) = guard.parts();
    if transaction == Transaction::Begin {
        ready(locks.commit(conn))?;
    }
    guard.end()
}
