//! [`Guard`]: what runs under a lock, whoever owns the connection and however many locks there are.

use crate::backend::LockConnection;
use crate::error::{FromLockError, LockError};
use crate::name::LockName;
use crate::observe::{Observed, Scope};
use crate::transaction;

/// A lock or several that are held, with their connection. Dropping it rolls back and releases.
pub(crate) trait Guard: Sized {
    type Connection: LockConnection;

    /// The lock that errors speak of, and the connection.
    fn parts(&mut self) -> (&LockName, &mut Self::Connection);

    /// The lock within whose span the body runs; a set of none has none.
    fn observed(&self) -> Option<&Observed>;

    fn scope(&self) -> Scope {
        self.observed().map_or_else(Scope::default, Observed::scope)
    }

    /// Rolls back what was left open, releases, and tells whether the lock was still ours.
    ///
    /// `committed`: the last statement was a COMMIT and succeeded. The session was alive then, and so held
    /// its lock.
    fn end(self, committed: bool) -> Result<(), LockError>;

    /// A transaction that ends with the lock: [`commit`](Self::commit) it, or it is rolled back.
    fn begin(&mut self) -> Result<(), LockError> {
        let (name, conn) = self.parts();
        transaction::begin(conn).map_err(|source| LockError::database(name, source))
    }

    /// If a savepoint was left open, this ends only that, and the release finds the rest.
    fn commit(&mut self) -> Result<(), LockError> {
        let (name, conn) = self.parts();
        transaction::commit(conn).map_err(|source| LockError::database(name, source))
    }
}

/// Prepare what the closure gets, run it, release. An error of the closure goes before any of the
/// release.
pub(crate) fn run<G, M, R, E>(
    mut held: G,
    prepare: impl FnOnce(&mut G) -> Result<M, LockError>,
    body: impl FnOnce(M, &mut G::Connection) -> Result<R, E>,
) -> Result<R, E>
where
    G: Guard,
    E: FromLockError,
{
    let given = prepare(&mut held)?;
    let value = held.scope().run(|| body(given, held.parts().1))?;
    held.end(false)?;
    Ok(value)
}

/// The same in a transaction. On any error the guard rolls back first and then releases: nobody gets the
/// lock in between.
pub(crate) fn run_in_transaction<G, M, R, E>(
    mut held: G,
    prepare: impl FnOnce(&mut G) -> Result<M, LockError>,
    body: impl FnOnce(M, &mut G::Connection) -> Result<R, E>,
) -> Result<R, E>
where
    G: Guard,
    E: FromLockError,
{
    held.begin()?;
    let given = prepare(&mut held)?;
    let value = held.scope().run(|| body(given, held.parts().1))?;
    held.commit()?;
    held.end(true)?;
    Ok(value)
}
