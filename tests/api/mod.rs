//! What the suite calls by one name in both crates. `async/tests/blocking_suite/api/` is its twin, and the cases
//! have the async crate's syntax: see `#[both]`.

use std::panic::AssertUnwindSafe;

pub(crate) use std::sync::Barrier;
pub(crate) use std::thread;

pub(crate) use diesel::connection::{SimpleConnection, TransactionManager};
pub(crate) use diesel::{Connection, RunQueryDsl};
use diesel_advisory_lock::{LockError, LockName, LockStatus};

use crate::server::Conn;

pub(crate) mod pool;

/// Whether a future that is dropped, or a guard, ends the session.
pub(crate) const DROP_ENDS_SESSION: bool = false;

pub(crate) fn block_on<R>(work: impl FnOnce() -> R) -> R {
    work()
}

pub(crate) fn catch_unwind<R>(work: impl FnOnce() -> R) -> thread::Result<R> {
    std::panic::catch_unwind(AssertUnwindSafe(work))
}

pub(crate) fn status(name: &LockName, conn: &mut Conn) -> Result<LockStatus, LockError> {
    name.status(conn)
}

/// Runs `work` once on each of `count` threads, with numbers from 0.
pub(crate) fn concurrently(count: usize, work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for nth in 0..count {
            let work = &work;
            scope.spawn(move || work(nth));
        }
    });
}

/// Runs `work`, which waits for a file or a process.
pub(crate) fn wait_for<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The URL, with a connection that a proxy can see.
pub(crate) fn over_tcp(url: String) -> String {
    url
}

/// Runs `work`, whose metrics and spans these two receive.
#[cfg(all(feature = "tracing", feature = "metrics"))]
pub(crate) fn recorded<R>(
    recorder: &dyn metrics::Recorder,
    subscriber: &tracing::Dispatch,
    work: impl FnOnce() -> R,
) -> R {
    crate::suite::support::ask_every_subscriber();
    metrics::with_local_recorder(recorder, || {
        tracing::dispatcher::with_default(subscriber, work)
    })
}

/// What a thread can run.
pub(crate) trait Work<R>: FnOnce() -> R + Send {}

impl<R, F: FnOnce() -> R + Send> Work<R> for F {}

/// A closure that runs under the lock of a model.
pub(crate) trait Body<T, E>: FnOnce(&mut T, &mut Conn) -> Result<(), E> {
    fn run(self, model: &mut T, conn: &mut Conn) -> Result<(), E>;
}

impl<T, E, F> Body<T, E> for F
where
    F: FnOnce(&mut T, &mut Conn) -> Result<(), E>,
{
    fn run(self, model: &mut T, conn: &mut Conn) -> Result<(), E> {
        self(model, conn)
    }
}
