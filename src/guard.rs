//! [`Guard`]: what runs under a lock, for guards that borrow or own their connection, and hold one lock or several.

use crate::backend::LockConnection;
use crate::error::{FromLockError, LockError};
use crate::hold::{self, Hold, Work};
use crate::in_use::{Enclosing, InUse};
use crate::name::LockName;
use crate::observe::{Observed, Scope};
use crate::transaction::{self, Depth};

/// What a guard has, to work with all at once.
pub(crate) struct Parts<'g, C> {
    pub(crate) conn: &'g mut C,
    pub(crate) holds: &'g [Hold],
    /// What errors are about that are not of one lock.
    pub(crate) label: &'g LockName,
    pub(crate) before: Depth,
    pub(crate) work: &'g mut Work,
}

pub(crate) trait Guard: Sized {
    type Connection: LockConnection;

    fn parts(&mut self) -> Parts<'_, Self::Connection>;

    /// Of the last lock, within which the others are.
    fn observed(&self) -> Option<&Observed>;

    /// Ends what is left open, and releases.
    fn end(self) -> Result<(), LockError>;

    fn scope(&self) -> Scope {
        self.observed().map_or_else(Scope::default, Observed::scope)
    }

    fn begin(&mut self) -> Result<(), LockError> {
        let Parts {
            conn, label, work, ..
        } = self.parts();
        hold::guarded(conn, transaction::begin)
            .map_err(|source| LockError::before(label, source))?;
        *work = Work::Begun;
        Ok(())
    }

    /// COMMIT, once the session has proved that it holds the locks.
    fn commit(&mut self) -> Result<(), LockError> {
        let Parts {
            conn,
            holds,
            label,
            before,
            work,
        } = self.parts();
        let condition = hold::commit(conn, holds, label, before)?;
        *work = Work::Committed(condition);
        Ok(())
    }

    /// As long as this lives, a closure on this thread runs under the locks.
    fn enclosing(&mut self) -> Enclosing {
        Enclosing::enter(self.parts().holds.iter().map(|hold| &hold.name))
    }
}

/// Runs `body` with what `prepare` gives, which is in use until it returns. Its error, or a panic, ends the lock all the
/// same.
pub(crate) fn run<G, M, R, E>(
    mut held: G,
    prepare: impl FnOnce(&mut G) -> Result<(M, InUse), LockError>,
    body: impl FnOnce(M, &mut G::Connection) -> Result<R, E>,
) -> Result<R, E>
where
    G: Guard,
    E: FromLockError,
{
    let value = run_body(&mut held, prepare, body)?;
    held.end()?;
    Ok(value)
}

/// The same in a transaction: BEGIN before `prepare`, so that it reads what is committed under the lock, and COMMIT
/// before the lock ends.
pub(crate) fn run_in_transaction<G, M, R, E>(
    mut held: G,
    prepare: impl FnOnce(&mut G) -> Result<(M, InUse), LockError>,
    body: impl FnOnce(M, &mut G::Connection) -> Result<R, E>,
) -> Result<R, E>
where
    G: Guard,
    E: FromLockError,
{
    held.begin()?;
    let value = run_body(&mut held, prepare, body)?;
    held.commit()?;
    held.end()?;
    Ok(value)
}

fn run_body<G, M, R, E>(
    held: &mut G,
    prepare: impl FnOnce(&mut G) -> Result<(M, InUse), LockError>,
    body: impl FnOnce(M, &mut G::Connection) -> Result<R, E>,
) -> Result<R, E>
where
    G: Guard,
    E: FromLockError,
{
    let (given, _in_use) = prepare(held)?;
    let _enclosing = held.enclosing();
    held.scope().run(|| body(given, held.parts().conn))
}
