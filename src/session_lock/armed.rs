//! [`Armed`]: ends the session if a step panics or its future is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::backend::LockDriver;

/// A connection during a step. If it is dropped before [`disarm`](Self::disarm), it ends the
/// session, since it is unknown which locks the session holds.
///
/// Panics come from Diesel's instrumentation or from a `tracing` subscriber.
pub struct Armed<'c, C: LockDriver> {
    conn: &'c mut C,
    is_armed: bool,
}

impl<'c, C: LockDriver> Armed<'c, C> {
    /// Arms the connection.
    pub fn new(conn: &'c mut C) -> Self {
        Armed {
            conn,
            is_armed: true,
        }
    }

    /// The connection.
    pub fn conn(&mut self) -> &mut C {
        self.conn
    }

    /// Marks the step as complete: dropping this no longer ends the session.
    pub fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl<C: LockDriver> Drop for Armed<'_, C> {
    fn drop(&mut self) {
        if self.is_armed {
            self.conn.abandon();
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
