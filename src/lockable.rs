//! [`Lockable`]: a model that has a lock of its own.

use diesel::associations::{HasTable, Identifiable};

use crate::error::FromLockError;
use crate::key::LockKey;
use crate::model_lock::ModelLock;
use crate::name::LockName;
#[cfg(feature = "r2d2")]
use crate::pool::PoolSource;
use crate::reload::Reload;
use crate::source::LockSource;
use crate::table::LockTable;

/// A model that has a lock of its own: every `#[derive(Identifiable)]` model.
///
/// There is nothing to implement and nothing to register. The name of the lock comes from the
/// model's table and primary key. Two structs over one row take the same lock if they name the same
/// table and schema in the same way, and declare the same primary key.
///
/// The key is spelled as the column stores it in every loaded model. If a model's key finds a row
/// whose own lock is another one, such as `alice` for the row `Alice`, the call returns
/// [`LockError::KeyMismatch`](crate::LockError::KeyMismatch).
///
/// The model must be in the database: a lock is on a row, and a row has a key. Without one, the
/// call returns
/// [`LockError::Gone`](crate::LockError::Gone).
///
/// The methods of this trait start from the default policy. A type with
/// [`#[derive(Lockable)]`](derive@crate::Lockable) has inherent methods of the same names, which
/// start from its own policy. Generic code (`T: Lockable`) calls the trait's methods: there, write
/// `model.lock().policy(T::LOCK_POLICY)` with `T: Lockable + HasLockPolicy`; see
/// [`HasLockPolicy`](crate::HasLockPolicy).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(Identifiable)]
/// #[diesel(table_name = notifications)]
/// struct Message {
///     id: i32,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(Message { id: 42 }.lock_name().to_string(), "notifications:42");
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no lock of its own",
    label = "not a model with a primary key that can stand in a lock's name",
    note = "a model must derive `Identifiable`, and a key type of its own must implement `LockKey`; \
            a struct that only stands for a row takes `#[lock(table = accounts, key(from_id))]`"
)]
pub trait Lockable {
    /// The name of this row's lock; the same as [`LockName::row`] of its table and key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// assert_eq!(notification.lock_name(), LockName::row(notifications::table, 42));
    /// # Ok(())
    /// # }
    /// ```
    fn lock_name(&self) -> LockName;

    /// Starts a request for this row's lock: options first, then how to hold it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// notification.lock().scope("send").run(&mut conn, |n, conn| n.send(conn))?;
    /// # Ok(())
    /// # }
    /// ```
    fn lock(&mut self) -> ModelLock<'_, Self>
    where
        Self: Sized,
    {
        ModelLock::new(self, Self::lock_name)
    }

    /// Locks the row, reloads it into `self`, runs `body`, and releases: [`ModelLock::run`] with
    /// all options at their defaults.
    ///
    /// Unsaved changes of `self` are overwritten, unless an enclosing closure was given this very
    /// model under this same lock; see [`ModelLock`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let load = |conn: &mut MysqlConnection| notifications::table.find(42).first(conn);
    /// let mut first: Notification = load(&mut conn)?;
    /// let mut second: Notification = load(&mut conn)?;
    ///
    /// assert!(first.with_lock(&mut conn, Notification::send)?);
    /// // The second copy was loaded before the mail was sent, and still does not send it again.
    /// assert!(!second.with_lock(&mut conn, Notification::send)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `body` returns, and [`LockError`](crate::LockError) before and after it; see [`ModelLock`].
    fn with_lock<S, R, E>(
        &mut self,
        conn: &mut S,
        body: impl FnOnce(&mut Self, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        Self: for<'a> Reload<'a, S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        self.lock().run(conn, body)
    }

    /// Like [`with_lock`](Self::with_lock) if the lock is free now, and `Ok(None)` if it is held
    /// elsewhere:
    /// [`ModelLock::try_run`] with all options at their defaults.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// match notification.try_with_lock(&mut conn, |n, conn| n.send(conn))? {
    ///     Some(sent) => println!("sent: {sent}"),
    ///     None => println!("another session is sending it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `body` returns, and [`LockError`](crate::LockError) before and after it; see [`ModelLock`].
    fn try_with_lock<S, R, E>(
        &mut self,
        conn: &mut S,
        body: impl FnOnce(&mut Self, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        Self: for<'a> Reload<'a, S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        self.lock().try_run(conn, body)
    }

    /// [`with_lock`](Self::with_lock) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let pool = pool()?;
    /// let locks = LockPool::new(pool);
    /// notification.with_lock_from(&locks, Notification::send)?;
    /// # assert!(notification.sent);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `with_lock`, and [`LockError::Pool`](crate::LockError::Pool).
    #[cfg(feature = "r2d2")]
    fn with_lock_from<P, R, E>(
        &mut self,
        pool: &P,
        body: impl FnOnce(&mut Self, &mut P::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        Self: for<'a> Reload<'a, P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        self.lock().run_from(pool, body)
    }

    /// [`try_with_lock`](Self::try_with_lock) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let locks = LockPool::new(pool()?);
    /// let sent = notification.try_with_lock_from(&locks, Notification::send)?;
    /// # assert_eq!(sent, Some(true));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `try_with_lock`, and [`LockError::Pool`](crate::LockError::Pool).
    #[cfg(feature = "r2d2")]
    fn try_with_lock_from<P, R, E>(
        &mut self,
        pool: &P,
        body: impl FnOnce(&mut Self, &mut P::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        Self: for<'a> Reload<'a, P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        self.lock().try_run_from(pool, body)
    }
}

#[diagnostic::do_not_recommend]
impl<T> Lockable for T
where
    T: HasTable<Table: LockTable>,
    for<'a> &'a T: Identifiable<Id: LockKey>,
{
    fn lock_name(&self) -> LockName {
        LockName::row_unchecked(T::table(), self.id())
    }
}

/// Methods of a `#[derive(Lockable)]` model that take a connection from a pool. The library defines
/// them: Cargo compiles the macros once for all builds of the library, so that a feature of the
/// macros would not be this build's.
#[cfg(all(feature = "derive", feature = "r2d2"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __pool_methods {
    ($($vis:tt)*) => {
        /// Locks the row by the model's lock policy on a connection from `pool`, reads it again
        /// into `self`, runs `body`, and releases.
        ///
        /// # Errors
        ///
        /// What `body` returns, and the lock's own errors before and after it.
        $($vis)* fn with_lock_from<LockP, LockR, LockE>(
            &mut self,
            pool: &LockP,
            body: impl ::core::ops::FnOnce(
                &mut Self,
                &mut LockP::Connection,
            ) -> ::core::result::Result<LockR, LockE>,
        ) -> ::core::result::Result<LockR, LockE>
        where
            Self: for<'lock> $crate::Reload<'lock, LockP::Connection>,
            LockP: $crate::PoolSource,
            LockE: $crate::FromLockError,
        {
            self.lock().run_from(pool, body)
        }

        /// Runs `body` under the lock if the lock is free now, and returns `Ok(None)` if another
        /// session holds it.
        ///
        /// # Errors
        ///
        /// What `body` returns, and the lock's own errors before and after it.
        $($vis)* fn try_with_lock_from<LockP, LockR, LockE>(
            &mut self,
            pool: &LockP,
            body: impl ::core::ops::FnOnce(
                &mut Self,
                &mut LockP::Connection,
            ) -> ::core::result::Result<LockR, LockE>,
        ) -> ::core::result::Result<::core::option::Option<LockR>, LockE>
        where
            Self: for<'lock> $crate::Reload<'lock, LockP::Connection>,
            LockP: $crate::PoolSource,
            LockE: $crate::FromLockError,
        {
            self.lock().try_run_from(pool, body)
        }
    };
}

/// Expands to nothing: without the feature `r2d2` there are no pools.
#[cfg(all(feature = "derive", not(feature = "r2d2")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __pool_methods {
    ($($vis:tt)*) => {};
}
