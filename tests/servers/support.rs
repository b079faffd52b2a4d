//! What the cases have in common.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_advisory_lock::prelude::*;

mod account;
mod case;
mod db;
mod events;
mod forms;
mod hook;
mod model;
mod paths;
mod stingy;

pub(crate) use account::Account;
pub(crate) use case::{Case, Target};
pub(crate) use db::{Db, Locks};
pub(crate) use events::Events;
pub(crate) use forms::{Clients, Form, Work};
pub(crate) use hook::{Hook, Then, When};
pub(crate) use model::{Counter, Document, counters, documents};
pub(crate) use paths::{LockedMethods, Path, PathForm, Source, beside, locked_methods};
pub(crate) use stingy::Stingy;

/// Whether `work` panics.
pub(crate) fn panics<R>(work: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// The lock error that a closure's `QueryResult` carries.
#[track_caller]
pub(crate) fn lock_error<R: Debug>(result: QueryResult<R>) -> LockError {
    match LockError::try_from(result.unwrap_err()) {
        Ok(error) => error,
        Err(error) => panic!("not the lock's error: {error:?}"),
    }
}

/// Cargo builds the examples with the tests, beside them.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let example = examples.join(name);
    assert!(
        example.exists(),
        "{} is missing: run `cargo build --examples` first, or all tests with `cargo xtask test`",
        example.display()
    );
    example
}

/// Polls for up to ten seconds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until so many requests wait for their turn in a `LockPool`.
pub(crate) fn until_in_line(locks: &Locks, many: usize) {
    until("they wait in line", || locks.state().waiting == many);
}

pub(crate) fn session_id(conn: &mut MysqlConnection) -> i64 {
    diesel::select(diesel::dsl::sql::<BigInt>(
        "CAST(CONNECTION_ID() AS SIGNED)",
    ))
    .get_result(conn)
    .unwrap()
}

/// For how many seconds the session may be idle.
pub(crate) fn wait_timeout(conn: &mut MysqlConnection) -> i64 {
    diesel::select(diesel::dsl::sql::<BigInt>(
        "CAST(@@SESSION.wait_timeout AS SIGNED)",
    ))
    .get_result(conn)
    .unwrap()
}

/// Runs `attempt` while another session has the lock; it must time out after `expected`.
pub(crate) fn times_out(
    db: &Db,
    name: &LockName,
    expected: Duration,
    attempt: impl FnOnce() -> Result<(), LockError>,
) {
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let start = Instant::now();
    let result = attempt();
    let elapsed = start.elapsed();
    assert!(
        matches!(result, Err(LockError::Timeout { .. })),
        "{result:?}"
    );
    assert!(
        elapsed >= expected && elapsed < expected + Duration::from_millis(100),
        "{elapsed:?}"
    );
    held.release().unwrap();
}
