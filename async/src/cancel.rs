//! Ends a session in a `Drop`, where nothing can be awaited, and perhaps without a runtime.
//!
//! A future that is dropped while a statement runs leaves a connection that has an answer to come.
//! The next statement on it would wait for the old one, or on MySQL read the old one's answer as
//! its own. A wait for a lock goes on in the server, which then grants the lock to a session that
//! no caller knows of.
//!
//! So the session is ended: the connection is marked as broken, the statement that ends the session
//! is written, and the statement that still runs is canceled on another connection. Without a
//! runtime that last step is left out, and the session ends when its statement does.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};

use diesel::connection::InstrumentationEvent;
use diesel_async::{AnsiTransactionManager, TransactionManager};
use tokio::runtime::Handle;
use tokio::task::coop;

use crate::connection::LockConnection;

/// Ends the session, and with it its locks, its wait and its transaction.
pub(crate) fn end_session<C: LockConnection>(conn: &mut C) {
    // No pool hands out the connection again, and Diesel neither begins nor commits on it.
    AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
    // It may panic, which would abort the process in a `Drop`.
    conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    let cancel = conn.cancel_statement();
    // The cancellation may strike the first of two statements.
    for _ in 0..2 {
        write(conn.batch_execute(C::END_SESSION));
    }
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(cancel);
    }
}

/// Polls a future once, which writes its statement.
///
/// If the task has used up its budget, the poll would write nothing, so it gets more. With a budget
/// left it must not: the future reads the rows that are left of an old answer first, which may be
/// millions, and without a limit it would not return before the last of them.
fn write(future: impl Future) {
    let mut context = Context::from_waker(Waker::noop());
    let poll = || match coop::has_budget_remaining() {
        true => drop(pin!(future).poll(&mut context)),
        false => drop(pin!(coop::unconstrained(future)).poll(&mut context)),
    };
    // A panic of a client would abort the process in a `Drop`.
    drop(catch_unwind(AssertUnwindSafe(poll)));
}
