//! [`Armed`]: what protects a step against a panic, or against a future that is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::backend::{Backend, LockConnection};
use crate::driver::poll_once;

/// A connection in the middle of a step. Dropped before [`disarm`](Self::disarm), it ends the
/// session, since it is unknown what the session holds.
///
/// A panic comes from Diesel's instrumentation or from a `tracing` subscriber.
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

    /// The step is done, and says itself what the session holds.
    pub(crate) fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl<C: LockConnection> Drop for Armed<'_, C> {
    fn drop(&mut self) {
        if self.is_armed {
            // One poll marks the connection as broken. A blocking one also ends its session in it.
            let _ = poll_once(C::Server::end_session(self.conn));
        }
    }
}

/// For `Drop`. While a panic unwinds, a second one would abort the process, and what ran has been
/// undone by [`Armed`].
pub(crate) fn without_second_panic<R>(steps: impl FnOnce() -> R) -> Option<R> {
    match std::thread::panicking() {
        true => catch_unwind(AssertUnwindSafe(steps)).ok(),
        false => Some(steps()),
    }
}
