//! [`LockBody`]: a closure that returns a future, and that future is `Send`.

use std::future::Future;

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
