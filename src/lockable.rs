//! [`Lockable`]: every `Identifiable` model, and the shorthands `with_lock` and `try_with_lock`.

use diesel::associations::{HasTable, Identifiable};

use crate::backend::{LockDriver, LockSource};
use crate::error::{FromLockError, LockError};
use crate::key::LockKey;
use crate::lock::{Lock, LockDsl};
use crate::name::LockName;
use crate::one_or_many::OneOrMany;
use crate::reload::Reload;
use crate::set::{LockSet, ReloadSet, Rows};
use crate::table::LockTable;

/// A model that can be locked by its primary key: every `#[derive(Identifiable)]` model.
///
/// The name of the lock is derived from the model's table and primary key. Two structs that map one
/// row share its lock if they name the same table and schema in the same way, and declare the same
/// primary key.
///
/// The row must exist in the database, or the call returns
/// [`LockError::RowNotFound`](crate::LockError::RowNotFound). A key must be spelled as the column
/// stores it, as it is in every loaded model. If a model's key finds a row with another lock, such
/// as `alice` for the row `Alice`, the call returns
/// [`LockError::KeyMismatch`](crate::LockError::KeyMismatch).
///
/// The methods of this trait start from the default policy. A type with
/// [`#[derive(Lockable)]`](derive@crate::Lockable) has inherent methods of the same names, which
/// start from its own policy. Generic code (`T: Lockable`) calls the trait's methods: there, write
/// `model.lock().policy(T::LOCK_POLICY)` with `T: Lockable + HasLockPolicy`; see
/// [`HasLockPolicy`](crate::HasLockPolicy).
///
/// ```
/// # include!("doctest_setup.rs");
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(Identifiable)]
/// #[diesel(table_name = notifications)]
/// struct Message {
///     id: i32,
/// }
///
/// # fn main() {
/// assert_eq!(Message { id: 42 }.lock_name(), LockName::row(notifications::table, 42));
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be locked",
    label = "not a model with a primary key that implements `LockKey`",
    note = "derive `Identifiable` for the model, and `LockKey` for a custom key type; for a \
            struct that is not a model, derive `Lockable` with `#[lock(table = accounts, \
            key(from_id))]`"
)]
pub trait Lockable {
    /// Returns the name of this row's lock, which equals [`LockName::row`] of its table and key.
    fn lock_name(&self) -> LockName;

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
    /// Unsaved changes of `self` are overwritten, unless an enclosing closure was given this very
    /// model under this same lock; see [`Lock`].
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # fn main() -> TestResult {
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
    /// The error of `body`, and any [`LockError`](crate::LockError) from before or after it; see
    /// [`Lock`].
    fn with_lock<S, R, E>(
        &mut self,
        conn: &mut S,
        body: impl FnOnce(&mut Self, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        Self: Reload<S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        self.lock().run(conn, body)
    }

    /// Like [`with_lock`](Self::with_lock), but returns `Ok(None)` at once if the lock is held
    /// elsewhere.
    ///
    /// This is [`LockDsl::try_run`] with the default options.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # fn main() -> TestResult {
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
    /// The error of `body`, and any [`LockError`](crate::LockError) from before or after it; see
    /// [`Lock`].
    fn try_with_lock<S, R, E>(
        &mut self,
        conn: &mut S,
        body: impl FnOnce(&mut Self, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        Self: Reload<S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        self.lock().try_run(conn, body)
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

/// [`Lockable`] without the methods that are for blocking connections.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be locked",
    label = "not a model with a primary key that implements `LockKey`",
    note = "derive `Identifiable` for the model, and `LockKey` for a custom key type; for a \
            struct that is not a model, derive `Lockable` with `#[lock(table = accounts, \
            key(from_id))]`"
)]
pub trait RowLock {
    fn name_of_row(&self) -> LockName;
}

#[diagnostic::do_not_recommend]
impl<T: Lockable> RowLock for T {
    fn name_of_row(&self) -> LockName {
        self.lock_name()
    }
}

impl<'m, T: RowLock> LockSet for &'m mut T {
    type Locked = &'m mut T;

    fn names(&self, names: &mut OneOrMany<LockName>) {
        names.push(self.name_of_row());
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<T, C> ReloadSet<C> for &mut T
where
    T: RowLock + Reload<C>,
{
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockDriver,
    {
        rows.reload(*self, T::name_of_row)
    }
}

impl<'m, T: RowLock> LockSet for &'m mut [T] {
    type Locked = &'m mut [T];

    fn names(&self, names: &mut OneOrMany<LockName>) {
        self.iter()
            .for_each(|model| names.push(model.name_of_row()));
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<T, C> ReloadSet<C> for &mut [T]
where
    T: RowLock + Reload<C>,
{
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockDriver,
    {
        self.iter_mut()
            .try_for_each(|model| rows.reload(model, T::name_of_row))
    }
}
