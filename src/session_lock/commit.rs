//! COMMIT under a lock, if the session proves that it still holds the lock.

use diesel::result::Error as DieselError;

use crate::backend::{Backend, Condition, LockConnection};
use crate::error::{LockError, Outcome};
use crate::name::LockName;
use crate::telemetry::Ended;
use crate::transaction::{Depth, TransactionContext};

use super::armed::Armed;
use super::lock::SessionLock;
use super::verify::prove;

/// Commits if the session proves that it holds the locks. Otherwise the transaction stays open, and
/// the caller rolls it back. `label` is the name in errors, since a set may be empty.
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
        // The closure has ended the transaction, by COMMIT or by ROLLBACK. If it has swapped the
        // connection, the transaction is still open in the other session, which cannot commit it.
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
        // With the settings that the closure has changed, a COMMIT would begin the next transaction
        // or end the session.
        return Err(left_open());
    }
    match C::Server::commit(conn).await {
        Ok(()) => Ok(condition),
        // The server has answered neither the COMMIT nor the ROLLBACK after it.
        Err(source @ DieselError::RollbackErrorOnCommit { .. }) => {
            C::Server::end_session(conn).await;
            let error = LockError::CommitUnknown {
                name: label.clone(),
                source,
            };
            // The lock ends with this error, so that it is not reported as lost as well.
            for lock in locks {
                lock.telemetry.ended(&lock.name, Ended::Failed(&error));
            }
            Err(error)
        }
        Err(source) => Err(failed(source, Outcome::RolledBack)),
    }
}

/// Whether the session is not the one that acquired the locks.
async fn is_swapped<C: LockConnection>(conn: &mut C, locks: &[SessionLock<C::Server>]) -> bool {
    let session = C::Server::session(conn).await;
    locks
        .first()
        .is_some_and(|lock| session.is_ok_and(|session| session != lock.session))
}
