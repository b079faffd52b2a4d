//! COMMIT under a lock: only if the session proves that it still holds it.

use diesel::result::Error as DieselError;

use crate::backend::{Backend, Condition, LockConnection};
use crate::error::{LockError, Outcome};
use crate::name::LockName;
use crate::telemetry::Ended;
use crate::transaction::{Depth, TransactionContext};

use super::armed::Armed;
use super::lock::SessionLock;
use super::verify::prove;

/// Commits if the session proves that it holds the locks. Otherwise the transaction stays open, to
/// be rolled back. `label` names the locks in errors, since a set may be empty.
pub(crate) async fn commit<C: LockConnection>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
    label: &LockName,
    before: Depth,
) -> Result<Condition, LockError> {
    let mut armed = Armed::new(conn);
    let committed = commit_steps(armed.conn(), locks, label, before).await;
    armed.disarm();
    committed
}

async fn commit_steps<C: LockConnection>(
    conn: &mut C,
    locks: &mut [SessionLock<C::Server>],
    label: &LockName,
    before: Depth,
) -> Result<Condition, LockError> {
    let failed = |source, outcome| LockError::Database {
        name: label.clone(),
        source,
        outcome,
    };
    let left_open = || LockError::TransactionLeftOpen {
        name: label.clone(),
    };
    let depth = Depth::of(conn).map_err(|source| failed(source, Outcome::RolledBack))?;
    let begun = depth.since(before);
    let outcome = match begun {
        // The closure has ended our transaction, and only it knows how. If it has put another
        // connection in the place of ours, our transaction went with it, and ends there.
        0 if !is_swapped(conn, locks).await => Outcome::Unknown,
        _ => Outcome::RolledBack,
    };
    let condition = prove(conn, locks, TransactionContext::Transaction, outcome).await?;
    match begun {
        0 => return Err(failed(DieselError::NotInTransaction, outcome)),
        1 if !depth.is_exchanged(before) => {}
        _ => return Err(left_open()),
    }
    if condition == Condition::TransactionOpen {
        // With a setting that the closure has left, a COMMIT would begin the next transaction, or
        // end the session.
        return Err(left_open());
    }
    match C::Server::commit(conn).await {
        Ok(()) => Ok(condition),
        // The server has answered neither to the COMMIT nor to a ROLLBACK after it.
        Err(source @ DieselError::RollbackErrorOnCommit { .. }) => {
            C::Server::end_session(conn).await;
            let error = LockError::CommitUnknown {
                name: label.clone(),
                source,
            };
            // That the lock is gone, too, is no other loss.
            for lock in locks {
                lock.telemetry.ended(&lock.name, Ended::Failed(&error));
            }
            Err(error)
        }
        Err(source) => Err(failed(source, Outcome::RolledBack)),
    }
}

/// Whether the session is another one than that which acquired the locks.
async fn is_swapped<C: LockConnection>(conn: &mut C, locks: &[SessionLock<C::Server>]) -> bool {
    let session = C::Server::session(conn).await;
    locks
        .first()
        .is_some_and(|lock| session.is_ok_and(|session| session != lock.session))
}
