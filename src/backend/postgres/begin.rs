//! Begins a transaction together with its locks, in one message of several statements.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::pg::Pg;

use super::error::{self, Marker};
use super::key::{Key, Level, SessionId};
use super::query::suffix;
use super::wait::{self, comment};
use super::{held, inspect, isolation_hint, settings};
use crate::backend::{AcquireError, Acquired};
use crate::deadline::Wait;
use crate::driver::Driver;
use crate::error::OpenTransactionReason;
use crate::mode::LockMode;
use crate::name::KeySource;

pub(super) async fn begin_with_locks<D: Driver<Db = Pg>>(
    driver: &mut D,
    locks: &[KeySource<'_>],
    wait: Wait,
    mode: LockMode,
) -> Result<Option<Vec<Acquired<Key, SessionId>>>, (usize, AcquireError<Key>)> {
    let limit = match wait {
        // A failed attempt would be an error in the server's log.
        Wait::For(Duration::ZERO) => return Ok(None),
        Wait::For(limit) => Some(limit),
        Wait::Forever => None,
    };
    if isolation_hint::is_above_read_committed(driver) {
        return Ok(None);
    }
    let mark = next_mark();
    let keys: Vec<Key> = locks
        .iter()
        .map(|lock| Key::new(lock, mode, Level::OwnTransaction(mark)))
        .collect();
    let start = Instant::now();
    let Err(failure) = driver.begin_with(&sql(&keys, limit, mark)).await else {
        let acquired = keys.into_iter().map(|key| Acquired {
            key,
            session: SessionId::Mark(mark),
            reentrant: false,
            contended: false,
        });
        return Ok(Some(acquired.collect()));
    };
    let elapsed = start.elapsed();
    let marker = Marker::of(&failure);
    let undo = match marker {
        // The transaction is the caller's, which stays as it was.
        Some(Marker::TransactionOpen) => concat!(
            "ROLLBACK TO SAVEPOINT diesel_advisory_lock; ",
            "RELEASE SAVEPOINT diesel_advisory_lock"
        ),
        _ => "ROLLBACK TO SAVEPOINT diesel_advisory_lock; ROLLBACK",
    };
    let mut marker = marker;
    if !error::is_closed(&failure) && !wait::undo_statements(driver, undo).await {
        // In an aborted transaction of the caller's, no statement of this message has run.
        marker = Some(Marker::TransactionOpen);
    }
    match marker {
        Some(Marker::TransactionOpen) => Err((
            0,
            AcquireError::OpenTransaction(OpenTransactionReason::RawBegin),
        )),
        Some(Marker::Isolation) => {
            isolation_hint::set(driver, true);
            Ok(None)
        }
        Some(Marker::Held) => Ok(None),
        // The tables of a set were found when it was sorted.
        Some(Marker::NoTable) => Err((0, error::no_table(&keys[0]))),
        Some(Marker::Lost) | None => {
            let mut index = 0;
            if keys.len() > 1 {
                // The first lock that is held is the one that was waited for.
                for (at, key) in keys.iter().enumerate() {
                    if inspect::holder(driver, key).await.is_some() {
                        index = at;
                        break;
                    }
                }
            }
            Err((index, error::of_wait(failure, &keys[index], elapsed, limit)))
        }
    }
}

/// The number of a transaction, which no other one on the server has.
fn next_mark() -> u64 {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(std::process::id())));
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A transaction that was open before this message began earlier than the message.
///
/// The savepoint keeps such a transaction usable. The last column of the last statement marks the
/// transaction until its end, and the session.
fn sql(keys: &[Key], limit: Option<Duration>, mark: u64) -> String {
    let mut sql: String = keys.iter().map(|key| comment(&key.text)).collect();
    sql += "BEGIN; SAVEPOINT diesel_advisory_lock; ";
    for (index, key) in keys.iter().enumerate() {
        let target = key.resolved();
        let columns = target.columns();
        let mut lift = match index {
            0 => format!(", {}, {}", settings::save(), settings::lift(limit)),
            _ => String::new(),
        };
        if key.id.is_none() {
            // Computed once, for both statements.
            let _ = write!(lift, ", set_config({}, k::text, true)", computed_key(index));
        }
        let _ = write!(
            sql,
            concat!(
                "SELECT (CASE WHEN now() <> statement_timestamp() THEN {open} \
                 WHEN current_setting('transaction_isolation') IN ('repeatable read', \
                 'serializable') THEN {isolation} WHEN {key} IS NULL THEN {table} \
                 WHEN position({exclusive} IN ",
                held::entries!(),
                ") > 0 OR position({shared} IN ",
                held::entries!(),
                ") > 0 THEN {held} ELSE '0' END)::int{lift} FROM {from}; "
            ),
            open = Marker::TransactionOpen.literal(),
            isolation = Marker::Isolation.literal(),
            key = columns.text,
            table = Marker::NoTable.literal(),
            exclusive = held::entry(LockMode::Exclusive, columns.text),
            shared = held::entry(LockMode::Shared, columns.text),
            held = Marker::Held.literal(),
            lift = lift,
            from = target.table_sql(),
        );
    }
    for (index, key) in keys.iter().enumerate() {
        let target = key.resolved();
        let columns = target.columns();
        let restore = match index + 1 == keys.len() {
            true => format!(", {}, {}", settings::restore(), mark_transaction(mark)),
            false => String::new(),
        };
        let from = match key.id {
            Some(_) => target.table_sql(),
            None => format!(
                "(SELECT current_setting({})::bigint AS k OFFSET 0) AS lock_key",
                computed_key(index)
            ),
        };
        let _ = write!(
            sql,
            "SELECT pg_advisory_xact_lock{}({}), {}{restore} FROM {from}; ",
            suffix(key.mode),
            columns.args,
            held::add(key.mode, columns.text, true),
        );
    }
    sql + "RELEASE SAVEPOINT diesel_advisory_lock"
}

/// The setting that has the key of a name of a table.
fn computed_key(index: usize) -> String {
    format!("'diesel_advisory_lock.key_{index}'")
}

fn mark_transaction(mark: u64) -> String {
    format!(
        "set_config('diesel_advisory_lock.transaction', '{mark}', true), \
         set_config('diesel_advisory_lock.session', '{mark}', false)"
    )
}
