//! Ending the session.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use diesel::mysql::Mysql;

use crate::driver::Driver;
use crate::transaction;

/// Ends the session. The server answers with an error, if at all. If the connection is gone
/// already, so is the session, or it will be as soon as the server notices.
pub(super) async fn end_session<D: Driver<Db = Mysql>>(driver: &mut D) {
    // First: what follows may not come to its end.
    transaction::mark_broken(driver);
    if kill(driver).await.is_err() {
        // Diesel's instrumentation has panicked, and its panic may be the reason for this. It is
        // not asked again.
        driver.silence();
        let _ = kill(driver).await;
    }
}

/// A text, for which the server needs no prepared statement. The error is a panic.
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
