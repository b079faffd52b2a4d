//! Checks for transactions that Diesel does not know of. They are part of each statement, also of
//! cached ones, and evaluated each time that it runs.
//!
//! | transaction | reported by |
//! |---|---|
//! | `autocommit = 0`: every statement opens a transaction | both servers |
//! | `completion_type`: every COMMIT opens one, or ends the session | both servers |
//! | a `BEGIN` as raw SQL | MariaDB (`@@in_transaction`) |
//!
//! MySQL has no variable for a raw `BEGIN` (`tests/mysql/open_transactions.rs`).

use diesel::query_builder::QueryId;

use crate::error::OpenTransactionReason;
use crate::transaction::TransactionContext;

pub(super) const NO_AUTOCOMMIT: i64 = -3;
pub(super) const COMPLETION_TYPE: i64 = -4;
pub(super) const IN_TRANSACTION: i64 = -5;

/// Returns the reason that one of these numbers stands for.
pub(super) fn reason(number: i64) -> Option<OpenTransactionReason> {
    match number {
        NO_AUTOCOMMIT => Some(OpenTransactionReason::NoAutocommit),
        COMPLETION_TYPE => Some(OpenTransactionReason::CompletionType),
        IN_TRANSACTION => Some(OpenTransactionReason::RawBegin),
        _ => None,
    }
}

/// A [`TransactionContext`] as a type, since the SQL of a statement depends on it.
pub(super) trait Checks: QueryId + 'static {
    /// CASE branches.
    const SQL: &'static str;
    /// Whether only a re-entrant lock may be acquired.
    const REQUIRE_HELD: bool = false;
}

macro_rules! session_settings {
    () => {
        "WHEN @@autocommit <> 1 THEN -3 WHEN @@completion_type <> 'NO_CHAIN' THEN -4 "
    };
}

#[derive(QueryId)]
pub(super) struct OutsideTransaction;

impl Checks for OutsideTransaction {
    // The comment is SQL to MariaDB alone.
    const SQL: &'static str = concat!(
        session_settings!(),
        "/*M! WHEN @@in_transaction THEN -5 */ "
    );
}

#[derive(QueryId)]
pub(super) struct InTestTransaction;

impl Checks for InTestTransaction {
    const SQL: &'static str = session_settings!();
}

/// The lock was acquired before the open transaction, so nothing is checked.
#[derive(QueryId)]
pub(super) struct InTransaction;

impl Checks for InTransaction {
    const SQL: &'static str = "WHEN FALSE THEN 0 ";
    const REQUIRE_HELD: bool = true;
}

/// Runs `$run` with `$checks` as the type for some [`TransactionContext`].
macro_rules! for_context {
    ($context:expr, $checks:ident => $run:expr) => {
        match $context {
            $crate::transaction::TransactionContext::NoTransaction => {
                type $checks = $crate::backend::mysql::session_checks::OutsideTransaction;
                $run
            }
            $crate::transaction::TransactionContext::TestTransaction => {
                type $checks = $crate::backend::mysql::session_checks::InTestTransaction;
                $run
            }
            $crate::transaction::TransactionContext::Transaction => {
                type $checks = $crate::backend::mysql::session_checks::InTransaction;
                $run
            }
        }
    };
}

pub(super) use for_context;

/// The checks as a condition in plain text.
pub(super) fn condition(context: TransactionContext) -> &'static str {
    match context {
        TransactionContext::NoTransaction => {
            "@@autocommit = 1 AND @@completion_type = 'NO_CHAIN' /*M! AND NOT @@in_transaction */"
        }
        TransactionContext::TestTransaction => {
            "@@autocommit = 1 AND @@completion_type = 'NO_CHAIN'"
        }
        TransactionContext::Transaction => "TRUE",
    }
}
