//! COMMIT under locks.

use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::Bool;

use super::backend::{Postgres, SessionId};
use super::error::{self, Marker};
use super::key::{Key, Level};
use super::query::TextQuery;
use crate::backend::{CommitError, Condition, prove_and_commit};
use crate::driver::Driver;

/// A lock of the library's transaction is held until its end. So it suffices that this is still
/// the same transaction, which the server checks in the message that commits.
pub(super) async fn commit<D: Driver<Db = Pg>>(
    driver: &mut D,
    keys: &[&Key],
) -> Result<Condition, CommitError> {
    let Some(mark) = keys.iter().find_map(|key| match key.level {
        Level::OwnTransaction(mark) => Some(mark),
        Level::Session | Level::Transaction => None,
    }) else {
        return commit_after_proof(driver, keys).await;
    };
    let sql = format!(
        "SELECT (CASE WHEN current_setting('diesel_advisory_lock.transaction', true) = '{mark}' \
         THEN '0' ELSE {} END)::int; COMMIT",
        Marker::Lost.literal()
    );
    match driver.batch(&sql).await {
        Ok(()) => Ok(Condition::Clean),
        Err(error) if Marker::of(&error) == Some(Marker::Lost) => Err(CommitError::NotHeld(0)),
        Err(error) => Err(failed(driver, error)),
    }
}

/// Locks of the session are listed by the server. Those of the caller's transaction need no proof:
/// the session that has begun it holds them until its end.
async fn commit_after_proof<D: Driver<Db = Pg>>(
    driver: &mut D,
    keys: &[&Key],
) -> Result<Condition, CommitError> {
    let of_session: Vec<&Key> = keys
        .iter()
        .copied()
        .filter(|key| key.level == Level::Session)
        .collect();
    match prove_and_commit::<Postgres, D>(driver, &of_session).await {
        Err(CommitError::Failed(error)) => Err(failed(driver, error)),
        // The index is that of the lock among all.
        Err(CommitError::NotHeld(index)) => Err(CommitError::NotHeld(
            keys.iter()
                .position(|key| std::ptr::eq(*key, of_session[index]))
                .unwrap_or(0),
        )),
        other => other,
    }
}

/// Without an answer, the server may have committed.
fn failed<D: Driver<Db = Pg>>(driver: &mut D, error: diesel::result::Error) -> CommitError {
    match error::is_closed(&error) || driver.transaction_status().transaction_depth().is_err() {
        true => CommitError::Unknown(error),
        false => CommitError::Failed(error),
    }
}

/// Whether this is the session that acquired a lock.
pub(super) async fn is_session<D: Driver<Db = Pg>>(
    driver: &mut D,
    session: SessionId,
) -> QueryResult<bool> {
    let condition = match session {
        SessionId::Pid(pid) => format!("pg_backend_pid() = {pid}"),
        SessionId::Mark(mark) => format!(
            "coalesce(current_setting('diesel_advisory_lock.session', true) = '{mark}', false)"
        ),
    };
    let query = TextQuery::<Bool>::new(format!("SELECT {condition}"));
    driver.load_one(query).await
}
