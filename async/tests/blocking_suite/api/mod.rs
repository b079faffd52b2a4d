//! What the suite calls by one name in both crates. `tests/api/` of the blocking crate is its twin.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::runtime::{Builder, Handle, Runtime};

pub(crate) use tokio::sync::Barrier;

pub(crate) use diesel_advisory_lock::inspect::status;
pub(crate) use diesel_async::{
    AsyncConnection as Connection, RunQueryDsl, SimpleAsyncConnection as SimpleConnection,
    TransactionManager,
};

use diesel_advisory_lock::LockBody;

use crate::server::Conn;

pub(crate) mod pool;
pub(crate) mod thread;

/// Whether a future that is dropped, or a guard, ends the session.
pub(crate) const DROP_ENDS_SESSION: bool = true;

/// Runs `work` on the runtime of all cases, also inside of a future that runs there.
pub(crate) fn block_on<R: Send>(work: impl AsyncFnOnce() -> R + Send) -> R {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap()
    });
    if Handle::try_current().is_err() {
        return RUNTIME.block_on(work());
    }
    // On this thread, it would take the wake-ups of the future around it.
    let on_another_thread = || RUNTIME.block_on(work());
    std::thread::scope(|scope| scope.spawn(on_another_thread).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(crate) async fn catch_unwind<R>(work: impl AsyncFnOnce() -> R) -> std::thread::Result<R> {
    AssertUnwindSafe(work()).catch_unwind().await
}

/// Runs `work` in `count` futures at a time, with numbers from 0.
pub(crate) async fn concurrently(count: usize, work: impl AsyncFn(usize)) {
    join_all((0..count).map(async |nth| work(nth).await)).await;
}

/// Runs `work`, which waits for a file or a process, while other futures are polled.
pub(crate) async fn wait_for<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// The URL, with a connection that a proxy can see: the client of MySQL prefers the server's Unix
/// socket.
pub(crate) fn over_tcp(url: String) -> String {
    match url.starts_with("mysql") {
        true => format!("{url}?prefer_socket=false"),
        false => url,
    }
}

/// Runs `work`, whose metrics and spans these two receive: each thread has its own, so they are set
/// for each poll.
#[cfg(all(feature = "tracing", feature = "metrics"))]
pub(crate) async fn recorded<R>(
    recorder: &(dyn metrics::Recorder + Sync),
    subscriber: &tracing::Dispatch,
    work: impl AsyncFnOnce() -> R,
) -> R {
    crate::suite::support::ask_every_subscriber();
    let mut work = std::pin::pin!(work());
    std::future::poll_fn(|context| {
        metrics::with_local_recorder(recorder, || {
            tracing::dispatcher::with_default(subscriber, || work.as_mut().poll(context))
        })
    })
    .await
}

/// What a [`Scope`](thread::Scope) can run.
pub(crate) trait Work<R>: FnOnce() -> <Self as Work<R>>::Fut + Send {
    type Fut: Future<Output = R> + Send;
}

impl<R, F, Fut> Work<R> for F
where
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = R> + Send,
{
    type Fut = Fut;
}

/// A closure that runs under the lock of a model.
pub(crate) trait Body<T, E>:
    for<'m, 'c> AsyncFnOnce(&'m mut T, &'c mut Conn) -> Result<(), E> + Send
{
    fn run<'a>(self, model: &'a mut T, conn: &'a mut Conn) -> BoxFuture<'a, Result<(), E>>
    where
        Self: 'a,
        E: 'a;
}

impl<T, E, F> Body<T, E> for F
where
    for<'m, 'c> F: AsyncFnOnce(&'m mut T, &'c mut Conn) -> Result<(), E>
        + LockBody<&'m mut T, &'c mut Conn, Result<(), E>, Fut: Send>
        + Send,
{
    fn run<'a>(self, model: &'a mut T, conn: &'a mut Conn) -> BoxFuture<'a, Result<(), E>>
    where
        Self: 'a,
        E: 'a,
    {
        self(model, conn).boxed()
    }
}
