//! Begins a transaction together with its locks, in one message of several statements.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::Bool;

use super::error::{self, Marker};
use super::key::{Key, Level, SessionId};
use super::query::{TextQuery, suffix};
use super::wait::{self, comment};
use super::{held, inspect, isolation_hint, settings};
use crate::backend::{AcquireError, Acquired};
use crate::deadline::Wait;
use crate::driver::Driver;
use crate::error::OpenTransactionReason;
use crate::mode::LockMode;
use crate::name::{KeySource, PostgresKey};

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
    if !error::is_closed(&failure)
        && !wait::undo_statements(driver, undo).await
        && is_open(driver).await
    {
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

/// Whether a transaction is open. None is if the message was canceled before its BEGIN.
async fn is_open<D: Driver<Db = Pg>>(driver: &mut D) -> bool {
    let query = TextQuery::<Bool>::new("SELECT true".to_owned());
    let (_, is_open): (QueryResult<bool>, _) = driver.load_one_and_transaction(query).await;
    is_open != Some(false)
}

/// The number of a transaction, which no other one on the server has.
fn next_mark() -> u64 {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(std::process::id())));
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A transaction that was open before this message began earlier than the message.
///
/// The server parses and plans the text each time, so there are as few calls of functions as
/// possible. The columns of a statement are evaluated in their order. The savepoint keeps a
/// transaction of the caller's usable. The last columns mark the transaction until its end, and the
/// session.
fn sql(keys: &[Key], limit: Option<Duration>, mark: u64) -> String {
    let mut sql: String = keys.iter().map(|key| comment(&key.text)).collect();
    let mut held = Vec::new();
    let mut locks = String::new();
    for (index, key) in keys.iter().enumerate() {
        let (pattern, text, args) = key_sql(key, index);
        held.push([held::recorded!(), " LIKE ", &pattern].concat());
        let _ = write!(
            locks,
            concat!(
                "{begin} pg_catalog.pg_advisory_xact_lock{suffix}({args}), \
                 pg_catalog.set_config(",
                held::setting!(),
                ", pg_catalog.concat(",
                held::recorded!(),
                ", {start}, {text}, ']'), true)"
            ),
            // The server limits the columns of a statement.
            begin = if index == 0 { "," } else { "; SELECT" },
            suffix = suffix(key.mode),
            args = args,
            start = held::start(key.mode),
            text = text,
        );
    }
    let _ = write!(
        sql,
        "BEGIN; SAVEPOINT diesel_advisory_lock; SELECT {save}, {lift}; SELECT (CASE WHEN \
         pg_catalog.now() <> pg_catalog.statement_timestamp() THEN {open} WHEN \
         pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', \
         'serializable') THEN {isolation} WHEN {is_held} THEN {held} ELSE '0' END)::int{locks}, \
         {restore}, pg_catalog.set_config('diesel_advisory_lock.transaction', '{mark}', true), \
         pg_catalog.set_config('diesel_advisory_lock.session', '{mark}', false); \
         RELEASE SAVEPOINT diesel_advisory_lock",
        save = settings::save(),
        lift = settings::lift(limit),
        open = Marker::TransactionOpen.literal(),
        isolation = Marker::Isolation.literal(),
        is_held = held.join(" OR "),
        held = Marker::Held.literal(),
        restore = settings::restore(),
    );
    sql
}

/// A pattern of the entries of a key in either mode, the key as text, and the arguments of the
/// locking functions.
///
/// The server computes the key of a name of a table with the pattern, which precedes the rest, and
/// keeps it in a setting. Without the table, the key is a text that is not a number.
fn key_sql(key: &Key, index: usize) -> (String, String, String) {
    match key.id {
        Some(PostgresKey::One(key)) => (
            format!("'%[_{key}]%'"),
            format!("'{key}'"),
            format!("({key})::bigint"),
        ),
        Some(PostgresKey::Two(one, two)) => (
            format!("'%[_{one},{two}]%'"),
            format!("'{one},{two}'"),
            format!("({one})::int, ({two})::int"),
        ),
        None => {
            let setting = format!("'diesel_advisory_lock.key_{index}'");
            let text = format!("pg_catalog.current_setting({setting})");
            let pattern = format!(
                "pg_catalog.concat('%[_', pg_catalog.set_config({setting}, \
                 coalesce(({})::text, {}), true), ']%')",
                key.target.key_sql(),
                Marker::NoTable.literal(),
            );
            let args = [&text, "::bigint"].concat();
            (pattern, text, args)
        }
    }
}
