//! [`Armed`]: ends the session if a step panics or its future is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::backend::{Backend, LockConnection};
use crate::driver::poll_once;

/// A connection during a step. If it is dropped before [`disarm`](Self::disarm), it ends the
/// session, since it is unknown which locks the session holds.
///
/// Panics come from Diesel's instrumentation or from a `tracing` subscriber.
pub(crate) struct Armed<'c, C: LockConnection> {
    conn: &'c mut C,
    is_armed: bool,
}

impl<'c, C: LockConnection> Armed<'c, C> {
    pub(crate) fn new(conn: &'c mut C) -> Self {
        Armed {
            conn,
            is_armed: true,
        }
    }

    pub(crate) fn conn(&mut self) -> &mut C {
        self.conn
    }

    /// Marks the step as complete: dropping this no longer ends the session.
    pub(crate) fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl<C: LockConnection> Drop for Armed<'_, C> {
    fn drop(&mut self) {
        if self.is_armed {
            // One poll marks the connection as broken, and for a blocking one ends the session.
            let _ = poll_once(C::Server::end_session(self.conn));
        }
    }
}

/// Runs the steps of a `Drop`. While a panic unwinds, a second panic is caught, since it would
/// abort the process; [`Armed`] has then ended the session.
pub(crate) fn without_second_panic<R>(steps: impl FnOnce() -> R) -> Option<R> {
    match std::thread::panicking() {
        true => catch_unwind(AssertUnwindSafe(steps)).ok(),
        false => Some(steps()),
    }
}
