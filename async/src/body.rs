//! [`LockBody`]: a closure that returns a future, and that future is `Send`. [`Scope`] polls it under
//! its locks.

use std::future::{Future, poll_fn};
use std::pin::pin;

use diesel_advisory_lock::__core::{Backend, EnclosingFuture, HeldLocks, Scope as Span};

/// A closure or a method that runs under a lock: `async |model, conn| ..`, or the path of an
/// `async fn`.
///
/// It is implemented for all of them. Its only use is the bound `Fut: Send`, since Rust cannot yet
/// name the future of an `AsyncFnOnce`.
#[diagnostic::on_unimplemented(
    message = "the body of a lock must be an async closure or the path of an `async fn`",
    label = "not `async |model, conn| ..`",
    note = "write `async |model, conn| model.send(conn).await`, or `Notification::send`; its \
            future must be `Send`, so it cannot keep an `Rc` or a `RefCell` guard across an `.await`"
)]
pub trait LockBody<A, B, R>:
    AsyncFnOnce(A, B) -> R + FnOnce(A, B) -> <Self as LockBody<A, B, R>>::Fut
{
    /// What the closure returns.
    type Fut: Future<Output = R>;
}

impl<F, A, B, R, Fut> LockBody<A, B, R> for F
where
    F: AsyncFnOnce(A, B) -> R + FnOnce(A, B) -> Fut,
    Fut: Future<Output = R>,
{
    type Fut = Fut;
}

/// What the body of a call is polled in: its locks, and its span.
pub(crate) struct Scope {
    pub(crate) enclosing: EnclosingFuture,
    span: Span,
}

impl Scope {
    pub(crate) fn of(locks: &HeldLocks<impl Backend>) -> Self {
        Scope {
            enclosing: locks.enclose_future(),
            span: locks.span(),
        }
    }

    /// Runs the body.
    pub(crate) async fn run<O>(self, body: impl Future<Output = O>) -> O {
        let Scope { enclosing, span } = self;
        let mut body = pin!(body);
        poll_fn(|context| enclosing.poll(|| span.run(|| body.as_mut().poll(context)))).await
    }
}
