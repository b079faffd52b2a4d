//! `tracing`: a span for each lock, and events for problems.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use std::{mem, thread};

use diesel::result::Error as DieselError;
use tracing::field::Empty;

use crate::deadline::Deadline;
use crate::error::LockError;
use crate::name::LockName;

use super::ended::Ended;

/// The target of all spans and events.
const TARGET: &str = "diesel_advisory_lock";

#[derive(Clone)]
pub(super) struct Span(tracing::Span);

impl Default for Span {
    fn default() -> Self {
        Span(tracing::Span::none())
    }
}

/// A subscriber may panic as the span closes, which would abort the process while another panic
/// unwinds.
impl Drop for Span {
    fn drop(&mut self) {
        if thread::panicking() {
            let span = mem::replace(&mut self.0, tracing::Span::none());
            drop(catch_unwind(AssertUnwindSafe(|| drop(span))));
        }
    }
}

impl Span {
    pub(super) fn new(name: &LockName, outer: Option<&Span>) -> Self {
        macro_rules! span {
            ($($parent:tt)*) => {
                tracing::info_span!(
                    target: TARGET,
                    $($parent)*
                    "lock",
                    name = %name,
                    wait = Empty,
                    hold = Empty,
                    outcome = Empty,
                    reentrant = Empty,
                    reloaded = Empty,
                )
            };
        }
        Span(match outer {
            Some(outer) => span!(parent: &outer.0,),
            None => span!(),
        })
    }

    pub(super) fn not_acquired(&self, wait: Duration, deadline: &Deadline, error: &LockError) {
        self.0.record("wait", wait.as_secs_f64());
        let outcome = match error {
            LockError::Timeout { .. } if deadline.is_try() => "contended",
            error => error.label(),
        };
        self.0.record("outcome", outcome);
    }

    pub(super) fn acquired(&self, wait: Duration, reentrant: bool) {
        self.0.record("wait", wait.as_secs_f64());
        self.0.record("reentrant", reentrant);
    }

    pub(super) fn reloaded(&self) {
        self.0.record("reloaded", true);
    }

    pub(super) fn ended(
        &self,
        name: &LockName,
        hold: Duration,
        expected: Duration,
        ended: Ended<'_>,
    ) {
        self.0.record("hold", hold.as_secs_f64());
        let outcome = match ended {
            Ended::Released | Ended::AfterCommit(_) => "released",
            Ended::RolledBack => "rolled_back",
            Ended::Abandoned => "session_ended",
            Ended::Failed(error) => error.label(),
        };
        self.0.record("outcome", outcome);
        if hold > expected {
            tracing::warn!(
                target: TARGET, parent: &self.0, lock = %name,
                hold = hold.as_secs_f64(), expected = expected.as_secs_f64(),
                "a lock was held for longer than expected",
            );
        }
    }

    /// Emits the event of an end with an error.
    pub(super) fn failed(&self, name: &LockName, ended: Ended<'_>) {
        let span = &self.0;
        match ended {
            Ended::Released | Ended::RolledBack | Ended::Abandoned => {}
            Ended::Failed(LockError::Lost {
                source: Some(source),
                ..
            }) => tracing::error!(
                target: TARGET, parent: span, lock = %name, error = %source,
                "a lock could not be released: its session may have ended before",
            ),
            Ended::Failed(LockError::Lost { source: None, .. }) => tracing::error!(
                target: TARGET, parent: span, lock = %name,
                "a lock was lost: its session did not hold it at the release",
            ),
            Ended::Failed(error) => tracing::warn!(
                target: TARGET, parent: span, lock = %name, error = %error,
                "a lock was released, but the call returned an error",
            ),
            Ended::AfterCommit(error) => tracing::warn!(
                target: TARGET, parent: span, lock = %name, error = %error,
                "the release of a lock was not confirmed after COMMIT: the work is committed, and \
                 the session was ended",
            ),
        }
    }

    pub(super) fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        self.0.in_scope(body)
    }
}

pub(super) fn holder_lookup_failed(key: &str, error: &DieselError) {
    tracing::warn!(
        target: TARGET, lock = key, error = %error,
        "the holder of a lock could not be looked up",
    );
}

pub(super) fn still_held(name: &LockName) {
    tracing::warn!(
        target: TARGET, lock = %name,
        "a session held a lock after its last release, through a leaked guard or a raw \
         `GET_LOCK`, and was ended",
    );
}

pub(super) fn idle_timeout_not_restored(name: &LockName, error: &DieselError) {
    tracing::warn!(
        target: TARGET, lock = %name, error = %error,
        "the session's idle timeout could not be restored; the connection is marked as broken",
    );
}

impl LockError {
    /// The `outcome` of a span.
    fn label(&self) -> &'static str {
        match self {
            LockError::Timeout { .. } => "timeout",
            LockError::Deadlock { .. } => "deadlock",
            LockError::Interrupted { .. } => "interrupted",
            LockError::OpenTransaction { .. } => "open_transaction",
            LockError::SharedHeld { .. } => "shared_held",
            LockError::IsolationLevel { .. } => "isolation_level",
            LockError::NoTransaction { .. } => "no_transaction",
            LockError::TransactionLeftOpen { .. } => "transaction_left_open",
            LockError::Lost { .. } => "lost",
            LockError::CommitUnknown { .. } => "commit_unknown",
            LockError::RowNotFound { .. } => "row_not_found",
            LockError::KeyMismatch { .. } => "key_mismatch",
            LockError::InvalidName { .. } => "invalid_name",
            LockError::Pool { .. } => "pool",
            LockError::Database { .. } => "database",
        }
    }
}
