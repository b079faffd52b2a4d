//! Ends the session.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use diesel::pg::Pg;
use diesel::result::QueryResult;

use super::error;
use crate::driver::Driver;
use crate::transaction;

/// Ends the session, which the server answers with an error. If the connection is lost already, the
/// server ends the session as soon as it notices.
///
/// It is not enough to mark the connection as broken: Diesel takes the mark away after the next
/// statement that succeeds.
pub(super) async fn end_session<D: Driver<Db = Pg>>(driver: &mut D) {
    // First, since the future may be dropped before its end.
    transaction::mark_broken(driver);
    // A statement may be canceled, and an aborted transaction runs none but ROLLBACK.
    for _ in 0..ATTEMPTS {
        for sql in [
            "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())",
            "ROLLBACK",
        ] {
            let is_closed = match run(driver, sql).await {
                Ok(answer) => answer.is_err_and(|error| error::is_closed(&error)),
                Err(Panicked) => {
                    // Diesel's instrumentation has panicked, so it is removed.
                    driver.silence();
                    false
                }
            };
            if is_closed {
                transaction::mark_broken(driver);
                return;
            }
        }
    }
    // Diesel has taken the mark away.
    transaction::mark_broken(driver);
}

/// How often it is attempted to end a session. Each attempt may be canceled by `pg_cancel_backend`.
const ATTEMPTS: usize = 100;

struct Panicked;

/// Sends the statement as text, which needs no prepared statement.
async fn run<D: Driver<Db = Pg>>(driver: &mut D, sql: &str) -> Result<QueryResult<()>, Panicked> {
    let mut run = pin!(driver.batch(sql));
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
    .await
}
