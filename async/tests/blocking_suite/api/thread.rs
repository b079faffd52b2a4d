//! Futures in place of threads, under the names of [`std::thread`].
//!
//! They run one at a time, on the thread of their case, and may borrow what is outside of their
//! scope. Each still waits for its own statements.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};

pub(crate) use std::thread::Result;
pub(crate) use tokio::task::yield_now;
pub(crate) use tokio::time::sleep;

/// The first lifetime is that of the scope, as in [`std::thread::Scope`].
pub(crate) struct Scope<'scope, 'env> {
    spawned: mpsc::UnboundedSender<BoxFuture<'env, ()>>,
    _scope: PhantomData<&'scope ()>,
}

/// Runs `body` together with the futures that it spawns, to the end of all of them.
pub(crate) async fn scope<'env, R>(body: impl AsyncFnOnce(&Scope<'_, 'env>) -> R) -> R {
    let (sender, mut spawned) = mpsc::unbounded_channel();
    let scope = Scope {
        spawned: sender,
        _scope: PhantomData,
    };
    let mut body = pin!(body(&scope));
    let mut result = None;
    let mut running = FuturesUnordered::new();
    poll_fn(|context| {
        loop {
            if result.is_none()
                && let Poll::Ready(output) = body.as_mut().poll(context)
            {
                result = Some(output);
            }
            let before = running.len();
            while let Ok(future) = spawned.try_recv() {
                running.push(future);
            }
            let is_new = running.len() > before;
            while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {}
            if running.is_empty() && spawned.is_empty() && result.is_some() {
                return Poll::Ready(());
            }
            if !is_new && spawned.is_empty() {
                return Poll::Pending;
            }
        }
    })
    .await;
    result.expect("the body has ended")
}

impl<'env> Scope<'_, 'env> {
    pub(crate) fn spawn<F, Fut, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = R> + Send + 'env,
        R: Send + 'env,
    {
        let (sender, output) = oneshot::channel();
        let finished = Arc::new(AtomicBool::new(false));
        let work = AssertUnwindSafe(work()).catch_unwind();
        let is_finished = Arc::clone(&finished);
        let future = async move {
            let output = work.await;
            is_finished.store(true, Ordering::SeqCst);
            if let Err(Err(panic)) = sender.send(output) {
                resume_unwind(panic);
            }
        };
        self.spawned.send(future.boxed()).unwrap();
        JoinHandle { output, finished }
    }
}

pub(crate) struct JoinHandle<R> {
    output: oneshot::Receiver<Result<R>>,
    finished: Arc<AtomicBool>,
}

impl<R> JoinHandle<R> {
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    pub(crate) async fn join(mut self) -> Result<R> {
        (&mut self.output)
            .await
            .expect("the future runs to its end")
    }
}

/// A panic that is not asked for is that of the case.
impl<R> Drop for JoinHandle<R> {
    fn drop(&mut self) {
        if let Ok(Err(panic)) = self.output.try_recv()
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
