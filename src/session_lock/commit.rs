//! COMMIT under a lock, if the session proves that it still holds the lock.

use diesel::result::Error as DieselError;

use crate::backend::{Backend, CommitError, Condition, LockDriver};
use crate::error::{LockError, Outcome};
use crate::name::LockName;
use crate::telemetry::Ended;
use crate::transaction::{Depth, TransactionContext};

use super::armed::Armed;
use super::lock::SessionLock;
use super::verify::{lost, prove};

/// Commits if the session proves that it holds the locks. Otherwise the transaction stays open, and
/// the caller rolls it back. `label` is the name in errors, since a set may be empty.
pub(crate) async fn commit<C: LockDriver>(
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

async fn commit_steps<C: LockDriver>(
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
    // The closure has ended the transaction, by COMMIT or by ROLLBACK. If it has swapped the
    // connection, the transaction is still open in the other session, which cannot commit it.
    let is_swapped = begun == 0 && is_swapped(conn, locks).await;
    let outcome = match begun {
        0 if !is_swapped => Outcome::Unknown,
        _ => Outcome::RolledBack,
    };
    if begun != 1 || depth.is_exchanged(before) {
        let outlive = |lock: &SessionLock<C::Server>| C::Server::outlives_transaction(&lock.key);
        if locks.iter().all(outlive) {
            prove(conn, locks, TransactionContext::Transaction, outcome).await?;
        } else if is_swapped {
            return Err(lost(conn, locks, 0, None, outcome).await);
        }
        return Err(match begun {
            0 => failed(DieselError::NotInTransaction, outcome),
            _ => left_open(),
        });
    }
    let committed = match &*locks {
        [lock] => C::Server::commit(conn, &[&lock.key]).await,
        locks => {
            let keys: Vec<_> = locks.iter().map(|lock| &lock.key).collect();
            C::Server::commit(conn, &keys).await
        }
    };
    match committed {
        Ok(condition) => Ok(condition),
        Err(CommitError::NotHeld(index)) => Err(lost(conn, locks, index, None, outcome).await),
        Err(CommitError::NoAnswer(source)) => {
            Err(lost(conn, locks, 0, Some(source), outcome).await)
        }
        // With the settings that the closure has changed, a COMMIT would begin the next transaction
        // or end the session.
        Err(CommitError::TransactionOpen) => Err(left_open()),
        Err(CommitError::Unknown(source)) => {
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
        Err(CommitError::Failed(source)) => Err(failed(source, Outcome::RolledBack)),
    }
}

/// Whether the session is not the one that acquired the locks.
async fn is_swapped<C: LockDriver>(conn: &mut C, locks: &[SessionLock<C::Server>]) -> bool {
    match locks.first() {
        Some(lock) => C::Server::is_session(conn, lock.session).await == Ok(false),
        None => false,
    }
}
