//! [`Lockable`]: every `Identifiable` model, and the shorthands `with_lock` and `try_with_lock`.

use std::future::Future;

use diesel_advisory_lock::__core::RowLock;
use diesel_advisory_lock::{FromLockError, Lock, LockName};

use crate::body::LockBody;
use crate::connection::LockSource;
use crate::lock::LockDsl;
use crate::reload::Reload;

/// A model that can be locked by its primary key: every `#[derive(Identifiable)]` model.
///
/// It is the trait of the same name in the blocking crate: a model has the same lock in both.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be locked",
    label = "not a model with a primary key that implements `LockKey`",
    note = "derive `Identifiable` for the model, and `LockKey` for a custom key type; for a \
            struct that is not a model, derive `Lockable` with `#[lock(table = accounts, \
            key(from_id))]`"
)]
pub trait Lockable: RowLock {
    /// Returns the name of this row's lock, which equals [`LockName::row`] of its table and key.
    fn lock_name(&self) -> LockName {
        self.name_of_row()
    }

    /// Starts a lock of this row: options first, then a finishing method of [`LockDsl`].
    fn lock(&mut self) -> Lock<&mut Self>
    where
        Self: Sized,
    {
        Lock::new(self)
    }

    /// Acquires the row's lock, reloads the row into `self`, runs `body`, and releases the lock.
    ///
    /// This is [`LockDsl::run`] with the default options.
    ///
    /// # Errors
    ///
    /// The error of `body`, and any [`LockError`](crate::LockError) from before or after it; see
    /// [`Lock`].
    fn with_lock<S, R, E, F>(
        &mut self,
        conn: &mut S,
        body: F,
    ) -> impl Future<Output = Result<R, E>> + Send
    where
        Self: Reload<S::Connection>,
        S: LockSource,
        R: Send,
        E: FromLockError + Send,
        for<'m, 'c> F: AsyncFnOnce(&'m mut Self, &'c mut S::Connection) -> Result<R, E>
            + LockBody<&'m mut Self, &'c mut S::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        self.lock().run(conn, body)
    }

    /// Like [`with_lock`](Self::with_lock), but returns `Ok(None)` at once if the lock is held
    /// elsewhere.
    ///
    /// This is [`LockDsl::try_run`] with the default options.
    ///
    /// # Errors
    ///
    /// The error of `body`, and any [`LockError`](crate::LockError) from before or after it; see
    /// [`Lock`].
    fn try_with_lock<S, R, E, F>(
        &mut self,
        conn: &mut S,
        body: F,
    ) -> impl Future<Output = Result<Option<R>, E>> + Send
    where
        Self: Reload<S::Connection>,
        S: LockSource,
        R: Send,
        E: FromLockError + Send,
        for<'m, 'c> F: AsyncFnOnce(&'m mut Self, &'c mut S::Connection) -> Result<R, E>
            + LockBody<&'m mut Self, &'c mut S::Connection, Result<R, E>, Fut: Send>
            + Send,
    {
        self.lock().try_run(conn, body)
    }
}

#[diagnostic::do_not_recommend]
impl<T: RowLock> Lockable for T {}
