//! The limits of a session that would end a wait, as expressions for a list of columns.

use std::time::Duration;

/// The longest `lock_timeout`, 24.8 days, in milliseconds.
const MAX_MS: u128 = i32::MAX as u128;

/// Lifts the limits for this transaction, and limits the wait itself. `None` means no limit.
pub(super) fn lift(limit: Option<Duration>) -> String {
    let ms = match limit {
        // Rounded up, since 0 means no limit.
        Some(limit) => limit.as_nanos().div_ceil(1_000_000).clamp(1, MAX_MS),
        None => 0,
    };
    format!(
        "pg_catalog.set_config('lock_timeout', '{ms}', true), \
         pg_catalog.set_config('statement_timeout', '0', true), \
         {TRANSACTION_TIMEOUT} THEN pg_catalog.set_config('transaction_timeout', '0', true) END"
    )
}

/// Keeps the limits in settings of the transaction.
pub(super) fn save() -> String {
    format!(
        "pg_catalog.set_config('diesel_advisory_lock.lock_timeout', \
         pg_catalog.current_setting('lock_timeout'), true), \
         pg_catalog.set_config('diesel_advisory_lock.statement_timeout', \
         pg_catalog.current_setting('statement_timeout'), true), {TRANSACTION_TIMEOUT} THEN \
         pg_catalog.set_config('diesel_advisory_lock.transaction_timeout', \
         pg_catalog.current_setting('transaction_timeout'), true) END"
    )
}

/// Sets the limits as [`save`] has kept them.
pub(super) fn restore() -> String {
    format!(
        "pg_catalog.set_config('lock_timeout', \
         pg_catalog.current_setting('diesel_advisory_lock.lock_timeout'), true), \
         pg_catalog.set_config('statement_timeout', \
         pg_catalog.current_setting('diesel_advisory_lock.statement_timeout'), true), \
         {TRANSACTION_TIMEOUT} THEN pg_catalog.set_config('transaction_timeout', \
         pg_catalog.current_setting('diesel_advisory_lock.transaction_timeout'), true) END"
    )
}

/// PostgreSQL 17 and later have the setting.
const TRANSACTION_TIMEOUT: &str =
    "CASE WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::lift;

    #[test]
    fn a_part_of_a_millisecond_is_rounded_up() {
        assert!(lift(Some(Duration::from_nanos(1))).contains("'lock_timeout', '1'"));
        assert!(lift(Some(Duration::from_micros(300_400))).contains("'lock_timeout', '301'"));
    }

    #[test]
    fn the_longest_wait_is_the_most_that_the_server_takes() {
        assert!(lift(Some(Duration::MAX)).contains("'lock_timeout', '2147483647'"));
        assert!(lift(None).contains("'lock_timeout', '0'"));
    }
}
