//! Ends the session.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use diesel::mysql::Mysql;

use crate::driver::Driver;
use crate::transaction;

/// Ends the session with `KILL CONNECTION_ID()`, which the server answers with an error. If the
/// connection is lost already, the server ends the session as soon as it notices.
pub(super) async fn end_session<D: Driver<Db = Mysql>>(driver: &mut D) {
    // First, since the future may be dropped before its end.
    transaction::mark_broken(driver);
    for _ in 0..ATTEMPTS {
        if kill(driver).await.is_err() {
            // Diesel's instrumentation has panicked, so it is removed before the next attempt.
            driver.silence();
        }
    }
}

/// How often the statement is sent. On MariaDB a `KILL QUERY` may stop it, and then the session goes
/// on. On a lost connection it fails at once.
const ATTEMPTS: usize = 10;

/// Sends the statement as text, which needs no prepared statement. Returns `Err` for a panic.
async fn kill<D: Driver<Db = Mysql>>(driver: &mut D) -> Result<(), ()> {
    let mut killed = pin!(driver.batch("KILL CONNECTION_ID()"));
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| killed.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(_)) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(Err(())),
        },
    )
    .await
}
