//! Helpers that the cases share.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

mod db;
mod events;
mod helper_process;
mod hook;
mod model;
mod paths;
mod server_test;

pub(crate) use db::{Db, Locks, Pool};
pub(crate) use events::Events;
pub(crate) use helper_process::HelperProcess;
pub(crate) use hook::{Hook, Then, When};
pub(crate) use model::{Counter, Document, counters, documents};
pub(crate) use paths::{Client, Form, LockedMethods, Path, Via, locked_methods, second_lock};
pub(crate) use server_test::ServerTest;

/// Returns whether `work` panics.
pub(crate) fn panics<R>(work: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// Returns the lock error that a closure's `QueryResult` carries.
#[track_caller]
pub(crate) fn lock_error<R: Debug>(result: QueryResult<R>) -> LockError {
    match LockError::try_from(result.unwrap_err()) {
        Ok(error) => error,
        Err(error) => panic!("not a lock error: {error:?}"),
    }
}

/// Polls until the condition is true. Panics after ten seconds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `count` requests are queued in a `LockPool`.
pub(crate) fn wait_until_queued(locks: &Locks, count: usize) {
    wait_until("the requests are queued", || locks.state().waiting == count);
}

/// Tests that `attempt` returns `Timeout` after `expected`, while another session holds the lock.
///
/// No attempt may return early. Only one of three has to be on time, because a busy machine delays
/// some of them.
#[track_caller]
pub(crate) fn assert_times_out(
    db: &Db,
    name: &LockName,
    expected: Duration,
    mut attempt: impl FnMut() -> Result<(), LockError>,
) {
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let mut times = Vec::new();
    let is_on_time = (0..3).any(|_| {
        let start = Instant::now();
        let result = attempt();
        let elapsed = start.elapsed();
        assert!(
            matches!(result, Err(LockError::Timeout { .. })),
            "{result:?}"
        );
        assert!(elapsed >= expected, "{elapsed:?}");
        times.push(elapsed);
        elapsed < expected + Duration::from_millis(100)
    });
    assert!(is_on_time, "expected {expected:?}, took {times:?}");
    held.release().unwrap();
}
