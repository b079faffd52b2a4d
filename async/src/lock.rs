//! [`LockDsl`]: the finishing methods of a [`Lock`].

use std::future::Future;

use diesel_advisory_lock::__core::{Deadline, Mode, Transaction, or_none};
use diesel_advisory_lock::mode::Exclusive;
use diesel_advisory_lock::{FromLockError, Lock, LockError};

use crate::body::LockBody;
use crate::connection::{LockSource, Supports, SupportsUntilCommit};
use crate::driver::Via;
use crate::guard::{self, LockGuard};
use crate::reload::{ReloadSet, Rows};

/// The finishing methods of a [`Lock`], on the caller's connection.
///
/// | method | waits | if the lock is held elsewhere for longer |
/// |---|---|---|
/// | [`run`](Self::run), [`transaction`](Self::transaction), [`acquire`](Self::acquire) | 45 seconds, or as the options say | [`LockError::Timeout`] |
/// | [`try_run`](Self::try_run), [`try_transaction`](Self::try_transaction), [`try_acquire`](Self::try_acquire) | not at all, or as the options say | `Ok(None)` |
///
/// They do what the methods of the same names do in the blocking crate. [`Lock`] says what they
/// reload and which errors they return. A body is `async |model, conn| ..`, or the path of an
/// `async fn`, and its future must be `Send`.
///
/// Every future may be dropped at any time: see [Cancellation](crate#cancellation).
///
/// The prelude brings this trait into scope.
pub trait LockDsl<L, M = Exclusive>: Sized {
    /// Acquires the lock, reloads the model, runs `body`, and releases the lock.
    ///
    /// # Errors
    ///
    /// The error of `body`, and any [`LockError`] from before or after it; see [`Lock`].
    fn run<S, R, E, F>(self, conn: &mut S, body: F) -> impl Future<Output = Result<R, E>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut S::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut S::Connection, Result<R, E>, Fut: Send>
            + Send;

    /// Like [`run`](Self::run), but returns `Ok(None)` if the lock is held elsewhere.
    ///
    /// # Errors
    ///
    /// As for `run`, except [`LockError::Timeout`], which becomes `Ok(None)`.
    fn try_run<S, R, E, F>(
        self,
        conn: &mut S,
        body: F,
    ) -> impl Future<Output = Result<Option<R>, E>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut S::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut S::Connection, Result<R, E>, Fut: Send>
            + Send;

    /// Acquires the lock, begins a transaction, reloads the model, runs `body`, commits, and
    /// releases the lock. The next holder sees all that `body` wrote, or nothing of it.
    ///
    /// A transaction that commits has held its lock throughout: the session proves it before the
    /// COMMIT.
    ///
    /// On PostgreSQL, at READ COMMITTED, a statement that fails releases the lock at once, since it
    /// aborts the transaction. Do not go on after such an error.
    ///
    /// # Errors
    ///
    /// - The error of `body`, after a rollback, and any [`LockError`] from before or after it; see
    ///   [`Lock`].
    /// - [`LockError::CommitUnknown`] if the connection fails during the COMMIT. After any other
    ///   error the transaction has been rolled back or was not begun, unless `body` has ended it.
    fn transaction<S, R, E, F>(
        self,
        conn: &mut S,
        body: F,
    ) -> impl Future<Output = Result<R, E>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut S::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut S::Connection, Result<R, E>, Fut: Send>
            + Send;

    /// Like [`transaction`](Self::transaction), but returns `Ok(None)` if the lock is held
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// As for `transaction`, except [`LockError::Timeout`], which becomes `Ok(None)`.
    fn try_transaction<S, R, E, F>(
        self,
        conn: &mut S,
        body: F,
    ) -> impl Future<Output = Result<Option<R>, E>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut S::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut S::Connection, Result<R, E>, Fut: Send>
            + Send;

    /// Acquires the lock, reloads the model, and returns a guard that derefs to the connection. End
    /// it by [`LockGuard::release`].
    ///
    /// The guard does not borrow the model. Under a guard the model is always reloaded, here and by
    /// each further call that locks it on the guard.
    ///
    /// # Errors
    ///
    /// Any [`LockError`] that is returned before a closure runs; see [`Lock`].
    fn acquire<S>(
        self,
        conn: &mut S,
    ) -> impl Future<Output = Result<LockGuard<'_, S>, LockError>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>;

    /// Like [`acquire`](Self::acquire), but returns `Ok(None)` if the lock is held elsewhere.
    ///
    /// # Errors
    ///
    /// As for `acquire`, except [`LockError::Timeout`], which becomes `Ok(None)`.
    fn try_acquire<S>(
        self,
        conn: &mut S,
    ) -> impl Future<Output = Result<Option<LockGuard<'_, S>>, LockError>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>;

    /// Acquires the lock until the end of the transaction that is open on the connection, and
    /// reloads the model. COMMIT and ROLLBACK release the lock. Only on PostgreSQL; on another
    /// server the call does not compile.
    ///
    /// If this future is dropped, the session is ended, and with it the transaction.
    ///
    /// # Errors
    ///
    /// - [`LockError::NoTransaction`] if no transaction is open.
    /// - [`LockError::IsolationLevel`] above READ COMMITTED, where the transaction would read the
    ///   row as it was before the lock.
    /// - [`LockError::Deadlock`] if the transaction holds a lock that the holder waits for. The
    ///   server has aborted the transaction: roll it back.
    /// - As for [`acquire`](Self::acquire). After a `Timeout` the transaction is usable.
    fn until_commit<S>(self, conn: &mut S) -> impl Future<Output = Result<(), LockError>> + Send
    where
        S: LockSource<Connection: Supports<M> + SupportsUntilCommit>,
        L: ReloadSet<S::Connection>;

    /// Like [`until_commit`](Self::until_commit), but returns `Ok(None)` if the lock is held
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// As for `until_commit`, except [`LockError::Timeout`], which becomes `Ok(None)`.
    fn try_until_commit<S>(
        self,
        conn: &mut S,
    ) -> impl Future<Output = Result<Option<()>, LockError>> + Send
    where
        S: LockSource<Connection: Supports<M> + SupportsUntilCommit>,
        L: ReloadSet<S::Connection>;
}

// Not `async fn`, whose future is `Send` only as far as the caller's compiler can prove it. It
// cannot inside of another body (rust-lang/rust#100013).
#[allow(clippy::manual_async_fn)]
impl<L, M: Mode + Send> LockDsl<L, M> for Lock<L, M> {
    fn run<S, R, E, F>(self, conn: &mut S, body: F) -> impl Future<Output = Result<R, E>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut S::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut S::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        async move {
            let mut driver = Via(conn);
            let deadline = self.deadline();
            let locks = self
                .acquire_locks(&mut driver, &deadline, Transaction::No)
                .await;
            let guard = LockGuard::new(driver, locks?);
            guard::run(guard, self.into_set(), Transaction::No, body).await
        }
    }

    fn try_run<S, R, E, F>(
        self,
        conn: &mut S,
        body: F,
    ) -> impl Future<Output = Result<Option<R>, E>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut S::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut S::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        async move {
            let mut driver = Via(conn);
            let deadline = self.try_deadline();
            let locks = self
                .acquire_locks(&mut driver, &deadline, Transaction::No)
                .await;
            let Some(locks) = or_none(locks)? else {
                return Ok(None);
            };
            let guard = LockGuard::new(driver, locks);
            let ran = guard::run(guard, self.into_set(), Transaction::No, body).await;
            ran.map(Some)
        }
    }

    fn transaction<S, R, E, F>(
        self,
        conn: &mut S,
        body: F,
    ) -> impl Future<Output = Result<R, E>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut S::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut S::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        async move {
            let mut driver = Via(conn);
            let deadline = self.deadline();
            let locks = self
                .acquire_locks(&mut driver, &deadline, Transaction::Begin)
                .await;
            let guard = LockGuard::new(driver, locks?);
            guard::run(guard, self.into_set(), Transaction::Begin, body).await
        }
    }

    fn try_transaction<S, R, E, F>(
        self,
        conn: &mut S,
        body: F,
    ) -> impl Future<Output = Result<Option<R>, E>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
        R: Send,
        E: FromLockError + Send,
        for<'a> F: AsyncFnOnce(L::Locked, &'a mut S::Connection) -> Result<R, E>
            + LockBody<L::Locked, &'a mut S::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        async move {
            let mut driver = Via(conn);
            let deadline = self.try_deadline();
            let locks = self
                .acquire_locks(&mut driver, &deadline, Transaction::Begin)
                .await;
            let Some(locks) = or_none(locks)? else {
                return Ok(None);
            };
            let guard = LockGuard::new(driver, locks);
            let ran = guard::run(guard, self.into_set(), Transaction::Begin, body).await;
            ran.map(Some)
        }
    }

    fn acquire<S>(
        self,
        conn: &mut S,
    ) -> impl Future<Output = Result<LockGuard<'_, S>, LockError>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
    {
        async move {
            let mut driver = Via(conn);
            let deadline = self.deadline();
            let locks = self
                .acquire_locks(&mut driver, &deadline, Transaction::No)
                .await;
            let guard = LockGuard::new(driver, locks?);
            guard::reloaded(guard, self.into_set()).await
        }
    }

    fn try_acquire<S>(
        self,
        conn: &mut S,
    ) -> impl Future<Output = Result<Option<LockGuard<'_, S>>, LockError>> + Send
    where
        S: LockSource<Connection: Supports<M>>,
        L: ReloadSet<S::Connection>,
    {
        async move {
            let mut driver = Via(conn);
            let deadline = self.try_deadline();
            let locks = self
                .acquire_locks(&mut driver, &deadline, Transaction::No)
                .await;
            let Some(locks) = or_none(locks)? else {
                return Ok(None);
            };
            let guard = LockGuard::new(driver, locks);
            guard::reloaded(guard, self.into_set()).await.map(Some)
        }
    }

    fn until_commit<S>(self, conn: &mut S) -> impl Future<Output = Result<(), LockError>> + Send
    where
        S: LockSource<Connection: Supports<M> + SupportsUntilCommit>,
        L: ReloadSet<S::Connection>,
    {
        async move {
            let deadline = self.deadline();
            acquire_until_commit(self, conn, deadline).await
        }
    }

    fn try_until_commit<S>(
        self,
        conn: &mut S,
    ) -> impl Future<Output = Result<Option<()>, LockError>> + Send
    where
        S: LockSource<Connection: Supports<M> + SupportsUntilCommit>,
        L: ReloadSet<S::Connection>,
    {
        async move {
            let deadline = self.try_deadline();
            or_none(acquire_until_commit(self, conn, deadline).await)
        }
    }
}

async fn acquire_until_commit<L, M, S>(
    lock: Lock<L, M>,
    conn: &mut S,
    deadline: Deadline,
) -> Result<(), LockError>
where
    M: Mode + Send,
    S: LockSource<Connection: SupportsUntilCommit>,
    L: ReloadSet<S::Connection>,
{
    let mut driver = Via(conn);
    let locks = lock
        .acquire_locks_until_commit(&mut driver, &deadline)
        .await?;
    let mut set = lock.into_set();
    let mut rows = Rows::new(&mut driver, &locks);
    set.reload(&mut rows).await
}
