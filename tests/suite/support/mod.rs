//! Helpers that the cases share.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use ::server_test::both;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

pub(crate) use crate::api::pool::Locks;
use crate::api::{catch_unwind, thread};

mod db;
mod helper_process;
mod hook;
mod locked_methods;
mod model;
mod paths;
mod server_test;
#[cfg(all(feature = "tracing", feature = "metrics"))]
mod subscribers;

pub(crate) use db::Db;
pub(crate) use helper_process::HelperProcess;
pub(crate) use hook::{Hook, Then, When};
pub(crate) use locked_methods::{LockedMethods, locked_methods};
pub(crate) use model::{Counter, Document, counters, documents};
pub(crate) use paths::{Client, Form, Path, Via, second_lock};
pub(crate) use server_test::ServerTest;
#[cfg(all(feature = "tracing", feature = "metrics"))]
pub(crate) use subscribers::ask_every_subscriber;

/// Returns whether `work` panics.
#[both]
pub(crate) async fn panics<R>(work: impl AsyncFnOnce() -> R) -> bool {
    catch_unwind(work).await.is_err()
}

/// Returns the lock error that a closure's `QueryResult` carries.
#[track_caller]
pub(crate) fn lock_error<R: Debug>(result: QueryResult<R>) -> LockError {
    match LockError::try_from(result.unwrap_err()) {
        Ok(error) => error,
        Err(error) => panic!("not a lock error: {error:?}"),
    }
}

/// The pauses of a loop that waits for something. The last one panics, after ten seconds.
pub(crate) struct Wait {
    what: String,
    deadline: Instant,
}

#[both]
impl Wait {
    pub(crate) fn until(what: String) -> Self {
        let deadline = Instant::now() + Duration::from_secs(10);
        Wait { what, deadline }
    }

    pub(crate) async fn pause(&mut self) {
        let is_in_time = Instant::now() < self.deadline;
        assert!(is_in_time, "timed out waiting until {}", self.what);
        thread::sleep(Duration::from_millis(5)).await;
    }
}

/// Polls until the condition is true. Panics after ten seconds.
#[both]
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut wait = Wait::until(what.to_owned());
    while !condition().await {
        wait.pause().await;
    }
}

/// Waits until `count` requests are queued in a `LockPool`.
#[both]
pub(crate) async fn wait_until_queued(locks: &Locks, count: usize) {
    wait_until("the requests are queued", async || {
        locks.state().waiting == count
    })
    .await;
}

/// Tests that `attempt` returns `Timeout` after `expected`, while another session holds the lock.
///
/// No attempt may return early. Only one of three has to be on time, because a busy machine delays
/// some of them.
#[both]
pub(crate) async fn assert_times_out(
    db: &Db,
    name: &LockName,
    expected: Duration,
    mut attempt: impl AsyncFnMut() -> Result<(), LockError>,
) {
    let holder = &mut db.conn().await;
    let held = name.lock().acquire(holder).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let result = attempt().await;
        let elapsed = start.elapsed();
        assert!(
            matches!(result, Err(LockError::Timeout { .. })),
            "{result:?}"
        );
        assert!(elapsed >= expected, "{elapsed:?}");
        times.push(elapsed);
        if elapsed < expected + Duration::from_millis(100) {
            held.release().await.unwrap();
            return;
        }
    }
    panic!("expected {expected:?}, took {times:?}");
}
