//! COMMIT under locks.

use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::Bool;

use super::error::{self, Marker};
use super::key::{Key, Level, SessionId};
use super::query::TextQuery;
use crate::backend::{CommitError, Condition};
use crate::driver::Driver;

/// Commits a transaction that was begun together with its locks. Returns `None` for other locks.
///
/// Such locks are held until the end of the transaction. So it suffices that this is still the same
/// transaction, which the server checks in the message that commits.
pub(super) async fn commit_own_transaction<D: Driver<Db = Pg>>(
    driver: &mut D,
    keys: &[&Key],
) -> Option<Result<Condition, CommitError>> {
    let mark = keys.iter().find_map(|key| match key.level {
        Level::OwnTransaction(mark) => Some(mark),
        Level::Session | Level::Transaction => None,
    })?;
    let sql = format!(
        "SELECT (CASE WHEN pg_catalog.current_setting('diesel_advisory_lock.transaction', true) = \
         '{mark}' THEN '0' ELSE {} END)::int; COMMIT",
        Marker::Lost.literal()
    );
    Some(match driver.commit_with(&sql).await {
        Ok(()) => Ok(Condition::Clean),
        Err(error) if Marker::of(&error) == Some(Marker::Lost) => Err(CommitError::NotHeld(0)),
        Err(error) => Err(failed(driver, error)),
    })
}

/// Commits a transaction without a lock that must be proved. The server would answer COMMIT with
/// success in an aborted transaction, which refuses the statement before it.
pub(super) async fn commit_without_proof<D: Driver<Db = Pg>>(
    driver: &mut D,
) -> Result<Condition, CommitError> {
    match driver.commit_with("SELECT; COMMIT").await {
        Ok(()) => Ok(Condition::Clean),
        Err(error) => Err(failed(driver, error)),
    }
}

/// Without an answer, the server may have committed.
pub(super) fn failed<D: Driver<Db = Pg>>(
    driver: &mut D,
    error: diesel::result::Error,
) -> CommitError {
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
        SessionId::Pid(pid) => format!("pg_catalog.pg_backend_pid() = {pid}"),
        SessionId::Mark(mark) => format!(
            "coalesce(pg_catalog.current_setting('diesel_advisory_lock.session', true) = \
             '{mark}', false)"
        ),
    };
    let query = TextQuery::<Bool>::new(format!("SELECT {condition}"));
    driver.load_one(query).await
}
