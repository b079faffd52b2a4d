//! The idle timeouts of a session: `idle_session_timeout` (14 and later), outside of transactions;
//! `idle_in_transaction_session_timeout`; and `transaction_timeout` (17 and later), which counts
//! idle time too.
//!
//! Source: [the manual](https://www.postgresql.org/docs/18/runtime-config-client.html).

use std::time::Duration;

use diesel::pg::Pg;
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Array, BigInt, Integer};

use super::query::TextQuery;
use crate::driver::Driver;

const SETTINGS: [&str; 3] = [
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
];

/// What the settings were before they were raised, in milliseconds.
#[derive(Debug)]
pub struct IdleTimeouts([Option<i64>; 3]);

/// Raises the timeouts, and returns the previous ones if one was shorter. In a transaction they are
/// raised until its end.
pub(super) async fn raise<D: Driver<Db = Pg>>(
    driver: &mut D,
    at_least: Duration,
) -> QueryResult<Option<IdleTimeouts>> {
    let in_transaction = driver.transaction_status().transaction_depth()?.is_some();
    let ms = at_least
        .as_nanos()
        .div_ceil(1_000_000)
        .clamp(1, i32::MAX as u128);
    let get = SETTINGS.map(|name| {
        format!(
            "coalesce((SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = '{name}'), \
             0)"
        )
    });
    let query = TextQuery::<Array<BigInt>>::new(format!("SELECT ARRAY[{}]", get.join(", ")));
    let current: Vec<i64> = driver.load_one(query).await?;
    // 0 means no limit.
    let is_short = |&value: &i64| value > 0 && u128::from(value.unsigned_abs()) < ms;
    let mut before = [None; 3];
    for (before, value) in before.iter_mut().zip(&current) {
        *before = is_short(value).then_some(*value);
    }
    if before.iter().all(Option::is_none) {
        return Ok(None);
    }
    set(
        driver,
        before.map(|before| before.map(|_| ms as i64)),
        in_transaction,
    )
    .await?;
    // Those of a transaction end with it.
    Ok((!in_transaction).then_some(IdleTimeouts(before)))
}

pub(super) async fn restore<D: Driver<Db = Pg>>(
    driver: &mut D,
    timeouts: IdleTimeouts,
) -> QueryResult<()> {
    set(driver, timeouts.0, false).await
}

async fn set<D: Driver<Db = Pg>>(
    driver: &mut D,
    values: [Option<i64>; 3],
    is_local: bool,
) -> QueryResult<()> {
    // The server starts the clock of `transaction_timeout` anew only if the limit is lifted first.
    let set: Vec<String> = SETTINGS
        .iter()
        .zip(values)
        .filter_map(|(name, value)| Some((name, value?)))
        .map(|(name, value)| {
            format!(
                "pg_catalog.set_config('{name}', '0', {is_local}) || \
                 pg_catalog.set_config('{name}', '{value}', {is_local})"
            )
        })
        .collect();
    let sql = format!("SELECT pg_catalog.length({})", set.join(" || "));
    let query = TextQuery::<Integer>::new(sql);
    match driver.load_one::<_, i32>(query).await {
        Ok(_) | Err(DieselError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}
