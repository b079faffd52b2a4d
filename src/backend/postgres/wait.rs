//! Waits for a lock that another session holds, in one message of several statements. A `.timeout`
//! applies to the wait alone, whatever limits the session has: they are set for this message, and
//! are back after it.
//!
//! An error does not say whether the lock was granted just before it: of 583 waits that ended with
//! the holder's release, 25 failed and left a lock of the session behind. So it is released after
//! every error.

use std::time::{Duration, Instant};

use diesel::pg::Pg;

use super::error;
use super::key::{Key, Level};
use super::query::suffix;
use super::release::undo;
use super::{held, settings};
use crate::backend::AcquireError;
use crate::deadline::Wait;
use crate::driver::Driver;

/// Waits until the lock is acquired, or the time is over.
pub(super) async fn wait<D: Driver<Db = Pg>>(
    driver: &mut D,
    key: &Key,
    wait: Wait,
    in_transaction: bool,
) -> Result<(), AcquireError<Key>> {
    let limit = match wait {
        Wait::For(Duration::ZERO) => return Err(AcquireError::Timeout { key: key.clone() }),
        Wait::For(limit) => Some(limit),
        Wait::Forever => None,
    };
    let start = Instant::now();
    let sql = match in_transaction {
        true => in_savepoint(key, limit),
        false => format!("SELECT {}; {}", settings::lift(limit), lock(key)),
    };
    let sql = comment(&key.text) + &sql;
    let Err(failure) = driver.batch(&sql).await else {
        return Ok(());
    };
    let elapsed = start.elapsed();
    if in_transaction && !error::is_closed(&failure) {
        // The settings and a lock of the transaction are undone with the savepoint. A deadlock
        // leaves the transaction to the caller.
        let undo = concat!(
            "ROLLBACK TO SAVEPOINT diesel_advisory_lock; ",
            "RELEASE SAVEPOINT diesel_advisory_lock"
        );
        undo_statements(driver, undo).await;
    }
    if key.level == Level::Session {
        undo(driver, key).await;
    }
    Err(error::of_wait(failure, key, elapsed, limit))
}

/// Runs statements that undo others, again if they are canceled as well. Returns whether they ran.
pub(super) async fn undo_statements<D: Driver<Db = Pg>>(driver: &mut D, sql: &str) -> bool {
    const ATTEMPTS: usize = 10;
    for _ in 0..ATTEMPTS {
        match driver.batch(sql).await {
            Ok(()) => return true,
            Err(error) if error::is_closed(&error) => return true,
            Err(_) => {}
        }
    }
    false
}

/// Waits within a savepoint, since an error would abort the open transaction.
fn in_savepoint(key: &Key, limit: Option<Duration>) -> String {
    format!(
        "SAVEPOINT diesel_advisory_lock; SELECT {}, {}; {}; SELECT {}; \
         RELEASE SAVEPOINT diesel_advisory_lock",
        settings::save(),
        settings::lift(limit),
        lock(key),
        settings::restore(),
    )
}

/// The statement that waits.
fn lock(key: &Key) -> String {
    let target = key.resolved();
    let columns = target.columns();
    let level = match key.level {
        Level::Session => "",
        Level::Transaction | Level::OwnTransaction(_) => "_xact",
    };
    format!(
        "SELECT pg_catalog.pg_advisory{level}_lock{}({}), {} FROM {}",
        suffix(key.mode),
        columns.args,
        held::add(key.mode, columns.text, key.level != Level::Session),
        target.table_sql(),
    )
}

const COMMENT: &str = "/* lock ";

/// The name of a lock, as a comment for `inspect::held_locks`. It precedes the message, since the
/// server lists only the first 1,024 bytes. An exact name may have characters that end a comment.
pub(super) fn comment(text: &str) -> String {
    let is_safe = |char: char| char.is_ascii_alphanumeric() || "_.,:#=~/-*".contains(char);
    match text.chars().all(is_safe) && !text.contains("*/") && !text.contains("/*") {
        true => format!("{COMMENT}{text} */ "),
        false => String::new(),
    }
}

/// The names in the comments of a statement.
pub(super) fn names_in(statement: &str) -> impl Iterator<Item = &str> {
    let comments = statement.split(COMMENT).skip(1);
    comments.filter_map(|comment| comment.split_once(" */").map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::{comment, names_in};

    #[test]
    fn names_are_read_from_their_comments() {
        let sql = comment("app/*") + &comment("jobs:*") + "SELECT 1";
        assert_eq!(names_in(&sql).collect::<Vec<_>>(), ["jobs:*"]);
        let sql = comment("jobs:1") + &comment("=a") + "SELECT 1";
        assert_eq!(names_in(&sql).collect::<Vec<_>>(), ["jobs:1", "=a"]);
    }
}
