//! [`WalletError`], and the HTTP status of each error.
//!
//! The status tells the client whether to repeat the request:
//!
//! | status | error | why |
//! |---|---|---|
//! | 409 | `InsufficientFunds`, `AccountExists` | nothing has changed, and nothing will until the account does |
//! | 423, `Retry-After` | `LockError::Timeout` | another request held the lock all the time; nothing has changed |
//! | 503, `Retry-After` | `LockError::Deadlock`, `Interrupted`, `Pool`; `Lost` and `Database` if nothing has changed | the database is busy or away: repeat the request |
//! | 503, `Retry-After` | `ShuttingDown`, `NoConnection` | nothing has changed: repeat the request at another instance |
//! | 500 | `LockError::CommitUnknown`, `Lost` in a plain closure, `Database` if the work may be done | **not to be repeated**: the work may be done, and would be done twice |
//! | 500 | `LockError::OpenTransaction`, `KeyMismatch` and the others | a mistake in the program: a repetition fails as well |
//! | 404 | `LockError::RowNotFound`, `NotFound` | there is no such account |
//! | 422 | `SameAccount` | the request makes no sense |
//!
//! `LockError::is_retryable` makes the choice, so a new variant gets the right status.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_advisory_lock_async::{LockError, Outcome};
use serde_json::json;
use thiserror::Error;

#[derive(Debug, Error)]
pub(super) enum WalletError {
    #[error("the account has only {0}")]
    InsufficientFunds(i64),
    #[error("the account exists already")]
    AccountExists,
    #[error("the accounts of a transfer must differ")]
    SameAccount,
    #[error("the service is shutting down")]
    ShuttingDown,
    #[error("no connection to the database was free in time")]
    NoConnection,
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An error of a statement. In a closure without a transaction, earlier statements stay done.
    #[error(transparent)]
    Database(DieselError),
}

impl From<DieselError> for WalletError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => {
                WalletError::AccountExists
            }
            error => WalletError::Database(error),
        }
    }
}

impl WalletError {
    fn status(&self) -> StatusCode {
        match self {
            WalletError::InsufficientFunds(_) | WalletError::AccountExists => StatusCode::CONFLICT,
            WalletError::SameAccount => StatusCode::UNPROCESSABLE_ENTITY,
            WalletError::Lock(LockError::RowNotFound { .. })
            | WalletError::Database(DieselError::NotFound) => StatusCode::NOT_FOUND,
            WalletError::Lock(error) if error.is_retryable() => match error {
                LockError::Timeout { .. } => StatusCode::LOCKED,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            WalletError::ShuttingDown | WalletError::NoConnection => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            WalletError::Lock(_) | WalletError::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client reads. The error itself names sessions and statements, and is only logged.
    fn message(&self) -> String {
        match self {
            WalletError::Lock(LockError::RowNotFound { .. })
            | WalletError::Database(DieselError::NotFound) => "there is no such account".to_owned(),
            WalletError::Lock(error) => match error.outcome() {
                Outcome::NothingHappened | Outcome::RolledBack => "nothing has changed".to_owned(),
                _ => "this may be done: read the balance before you repeat it".to_owned(),
            },
            WalletError::Database(_) => {
                "this may be done in part: read the balance before you repeat it".to_owned()
            }
            error => error.to_string(),
        }
    }
}

impl IntoResponse for WalletError {
    fn into_response(self) -> Response {
        let status = self.status();
        match status {
            StatusCode::INTERNAL_SERVER_ERROR => tracing::error!(%status, error = %self),
            StatusCode::SERVICE_UNAVAILABLE => tracing::warn!(%status, error = %self),
            _ => tracing::debug!(%status, error = %self),
        }
        let body = Json(json!({ "error": self.message() }));
        match status {
            StatusCode::LOCKED | StatusCode::SERVICE_UNAVAILABLE => {
                (status, [(RETRY_AFTER, "1")], body).into_response()
            }
            _ => (status, body).into_response(),
        }
    }
}
