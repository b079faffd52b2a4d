//! [`Lockable`]: every `Identifiable` model, and the shorthands `with_lock` and `try_with_lock`.

use diesel::associations::{HasTable, Identifiable};

use crate::backend::{LockConnection, LockSource};
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
/// [`LockError::RowNotFound`](crate::LockError::RowNotFound).
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

    /// Starts a lock of this row: options first, then a finishing method of [`LockDsl`].
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
    fn lock(&mut self) -> Lock<&mut Self>
    where
        Self: Sized,
    {
        Lock::new(self)
    }

    /// Locks the row, reloads it into `self`, runs `body`, and releases the lock: [`LockDsl::run`]
    /// with all options at their defaults.
    ///
    /// Unsaved changes of `self` are overwritten, unless an enclosing closure was given this very
    /// model under this same lock; see [`Lock`].
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
    /// What `body` returns, and [`LockError`](crate::LockError) before and after it; see [`Lock`].
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

    /// Like [`with_lock`](Self::with_lock) if the lock is free now, and `Ok(None)` if it is held
    /// elsewhere:
    /// [`LockDsl::try_run`] with all options at their defaults.
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
    /// What `body` returns, and [`LockError`](crate::LockError) before and after it; see [`Lock`].
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

impl<'m, T: Lockable> LockSet for &'m mut T {
    type Locked = &'m mut T;

    fn names(&self, names: &mut OneOrMany<LockName>) {
        names.push(self.lock_name());
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<T, C> ReloadSet<C> for &mut T
where
    T: Lockable + Reload<C>,
{
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockConnection,
    {
        rows.reload(*self, T::lock_name)
    }
}

impl<'m, T: Lockable> LockSet for &'m mut [T] {
    type Locked = &'m mut [T];

    fn names(&self, names: &mut OneOrMany<LockName>) {
        self.iter().for_each(|model| names.push(model.lock_name()));
    }

    fn into_locked(self) -> Self {
        self
    }
}

impl<T, C> ReloadSet<C> for &mut [T]
where
    T: Lockable + Reload<C>,
{
    fn reload(&mut self, rows: &mut Rows<'_, C>) -> Result<(), LockError>
    where
        C: LockConnection,
    {
        self.iter_mut()
            .try_for_each(|model| rows.reload(model, T::lock_name))
    }
}
