//! Whether the session still holds its locks: `are_held` asks the server, `prove` makes an error of
//! the answer, `verify` is the public call, and `are_fit_for_next` also requires a clean session.

use crate::backend::{Backend, Condition, Held, LockDriver};
use crate::error::{LockError, Outcome};
use crate::transaction::TransactionContext;

use super::armed::Armed;
use super::lock::SessionLock;

impl<B: Backend> SessionLock<B> {
    /// Asks the server whether the session holds the locks at this moment.
    pub(crate) async fn verify<C: LockDriver<Server = B>>(
        locks: &[SessionLock<B>],
        conn: &mut C,
    ) -> Result<(), LockError> {
        let mut armed = Armed::new(conn);
        let context = TransactionContext::TestTransaction;
        let held = prove(armed.conn(), locks, context, Outcome::Ran).await;
        armed.disarm();
        held.map(drop)
    }

    /// Whether the session still holds the locks, and is fit for the next caller.
    pub(crate) async fn are_fit_for_next<C: LockDriver<Server = B>>(
        locks: &[SessionLock<B>],
        conn: &mut C,
    ) -> bool {
        let held = are_held(conn, locks, TransactionContext::NoTransaction).await;
        matches!(held, Ok(Held::All(Condition::Clean)))
    }
}

/// Proves that the session holds all of these locks, and returns whether it is fit for a new
/// caller. A session that does not hold one of them, or does not answer, is discarded.
pub(super) async fn prove<C: LockDriver>(
    conn: &mut C,
    locks: &[SessionLock<C::Server>],
    context: TransactionContext,
    outcome: Outcome,
) -> Result<Condition, LockError> {
    let (index, source) = match are_held(conn, locks, context).await {
        Ok(Held::All(condition)) => return Ok(condition),
        Ok(Held::Missing(index)) => (index, None),
        Err(error) => (0, Some(error)),
    };
    Err(lost(conn, locks, index, source, outcome).await)
}

/// The error for a lock that the session does not hold. The session is discarded.
pub(super) async fn lost<C: LockDriver>(
    conn: &mut C,
    locks: &[SessionLock<C::Server>],
    index: usize,
    source: Option<diesel::result::Error>,
    outcome: Outcome,
) -> LockError {
    C::Server::discard(conn).await;
    LockError::Lost {
        name: locks[index].name.clone(),
        source,
        outcome,
    }
}

async fn are_held<C: LockDriver>(
    conn: &mut C,
    locks: &[SessionLock<C::Server>],
    context: TransactionContext,
) -> Result<Held, diesel::result::Error> {
    match locks {
        [] => Ok(Held::All(Condition::Clean)),
        [lock] => C::Server::are_held(conn, &[&lock.key], context).await,
        locks => {
            let keys: Vec<_> = locks.iter().map(|lock| &lock.key).collect();
            C::Server::are_held(conn, &keys, context).await
        }
    }
}
