//! [`Lockable`] and its builder: locking a loaded model.

use std::time::Duration;

use diesel::associations::{HasTable, Identifiable};

use crate::error::{FromLockError, LockError};
use crate::guard::{self, Guard};
use crate::held::Held;
use crate::key::LockKey;
use crate::name::LockName;
use crate::policy::LockPolicy;
#[cfg(feature = "r2d2")]
use crate::pool::PoolSource;
use crate::reload::Reload;
use crate::request::LockRequest;
use crate::source::LockSource;
use crate::table::LockTable;

/// A model that has a lock of its own: every `#[derive(Identifiable)]` model.
///
/// There is nothing to implement and nothing to register. The name of the lock comes from the
/// model's table and primary key, so two structs over one row always take the same lock.
///
/// The model must be in the database: a lock is on a row, and a row has a key.
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
    /// # include!("doctest_setup.rs");
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
    /// # include!("doctest_setup.rs");
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
        ModelLock {
            request: LockRequest::new(self.lock_name()),
            model: self,
        }
    }

    /// Locks the row, reads it again into `self`, runs `body`, and releases: [`ModelLock::run`]
    /// with all options at their defaults.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
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
    /// What `body` returns, and [`LockError`] before and after it; see [`ModelLock`].
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

    /// The same if the lock is free now, and `Ok(None)` if somebody else has it:
    /// [`ModelLock::try_run`] with all options at their defaults.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// match notification.try_with_lock(&mut conn, |n, conn| n.send(conn))? {
    ///     Some(sent) => println!("sent: {sent}"),
    ///     None => println!("somebody else is at it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `body` returns, and [`LockError`] before and after it; see [`ModelLock`].
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
    /// # include!("doctest_setup.rs");
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
    /// As for `with_lock`, and [`LockError::Pool`].
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
    /// # include!("doctest_setup.rs");
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
    /// As for `try_with_lock`, and [`LockError::Pool`].
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
        LockName::row(T::table(), self.id())
    }
}

/// A row's lock that is about to be taken: options first, then a terminal that takes it.
///
/// Every terminal **reads the row again** under the lock and replaces the caller's model with it,
/// so that nothing is decided on a stale copy. Not so when this session holds the lock already: then
/// nobody else can have changed the row, and unsaved changes of the caller survive.
///
/// | terminal | waits | when it is not free in time |
/// |---|---|---|
/// | [`run`](Self::run), [`transaction`](Self::transaction), [`acquire`](Self::acquire) | 45 seconds, or as told | [`LockError::Timeout`] |
/// | [`try_run`](Self::try_run), [`try_transaction`](Self::try_transaction), [`try_acquire`](Self::try_acquire) | not at all, or as told | `Ok(None)` |
///
/// The other errors are the same for all. Before `body` runs: `OpenTransaction`, `Deadlock`,
/// `Interrupted`, `InvalidName`, `Database`, and `Gone` if the row was deleted meanwhile. After it:
/// `Lost`, `TransactionLeftOpen`. An error of `body` goes before any of the release. On an error, as
/// on a panic, an open transaction is rolled back and the lock released. If the re-read fails on the server
/// (`Database`), the connection is marked as broken, and a pool will discard it.
///
/// ```
/// # include!("doctest_setup.rs");
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
/// use std::time::Duration;
///
/// let request = notification
///     .lock()
///     .scope("send")
///     .timeout(Duration::from_millis(250)); // or `.no_wait()`, or `.wait_forever()`
/// assert_eq!(request.name().to_string(), "notifications:42#send");
/// request.run(&mut conn, |n, conn| n.send(conn))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is locked until a terminal such as `.run(..)` or `.transaction(..)` is called"]
pub struct ModelLock<'m, T> {
    model: &'m mut T,
    request: LockRequest,
}

impl<'m, T> ModelLock<'m, T> {
    /// Waits as `policy` says, unless it is told otherwise: see [`LockPolicy`].
    pub fn policy(self, policy: LockPolicy) -> Self {
        self.with(|request| request.policy(policy))
    }

    /// Waits for at most `timeout`, to the millisecond (rounded up).
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|request| request.timeout(timeout))
    }

    /// Does not wait: the lock is free now, or it is a time-out.
    pub fn no_wait(self) -> Self {
        self.with(LockRequest::no_wait)
    }

    /// Waits until the lock is free.
    pub fn wait_forever(self) -> Self {
        self.with(LockRequest::wait_forever)
    }

    /// Keeps the session alive for as long: see [`LockRequest::longest_hold`].
    pub fn longest_hold(self, longest_hold: Duration) -> Self {
        self.with(|request| request.longest_hold(longest_hold))
    }

    /// Takes a lock of its own for one use of the row, such as one method: see
    /// [`LockName::scope`]. Under another scope the row is read again, so save before you
    /// lock one scope inside another.
    pub fn scope(self, scope: impl AsRef<str>) -> Self {
        self.with(|request| request.scope(scope))
    }

    /// Locks in another namespace: see [`LockName::namespace`].
    pub fn namespace(self, namespace: impl AsRef<str>) -> Self {
        self.with(|request| request.namespace(namespace))
    }

    /// The lock that will be taken, with scope and namespace as set.
    pub fn name(&self) -> &LockName {
        self.request.name()
    }

    /// Lock, re-read, run, release.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let sent = notification.lock().run(&mut conn, |n, conn| n.send(conn))?;
    /// # assert!(sent);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `body` returns, and [`LockError`] before and after it; see the [type](Self).
    pub fn run<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(&mut T, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        T: for<'a> Reload<'a, S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        let held = self.request.acquire(conn)?;
        guard::run(held, |held| refreshed(self.model, held), body)
    }

    /// As [`run`](Self::run), or not at all if somebody else has the lock.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// match notification.lock().try_run(&mut conn, |n, conn| n.send(conn))? {
    ///     Some(sent) => println!("sent: {sent}"),
    ///     None => println!("somebody else is at it"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `run`, but for [`LockError::Timeout`], which is `Ok(None)`.
    pub fn try_run<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(&mut T, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        T: for<'a> Reload<'a, S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        match self.request.try_acquire(conn)? {
            Some(held) => guard::run(held, |held| refreshed(self.model, held), body).map(Some),
            None => Ok(None),
        }
    }

    /// Lock, BEGIN, re-read, run, COMMIT, release: the next holder sees all that `body` wrote, or
    /// nothing of it. The lock and the transaction end with the same connection, so what commits
    /// was exclusive throughout.
    ///
    /// After a rollback the rows are as before, but the caller's model keeps what `body` put
    /// into it: load it again before you go on with it.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// use std::time::Duration;
    ///
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// notification
    ///     .lock()
    ///     .scope("rewrite")
    ///     .timeout(Duration::from_millis(250))
    ///     .transaction(&mut conn, |n, conn| {
    ///         n.message.push('!');
    ///         diesel::update(&*n).set(&*n).execute(conn)
    ///     })?;
    /// # assert_eq!(notification.message, "Hello world!");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `body` returns, after a rollback, and [`LockError`] before and after it; see the
    /// [type](Self). `Lost` here means that the COMMIT succeeded and the release did not.
    pub fn transaction<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(&mut T, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        T: for<'a> Reload<'a, S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        let held = self.request.acquire(conn)?;
        guard::run_in_transaction(held, |held| refreshed(self.model, held), body)
    }

    /// As [`transaction`](Self::transaction), or not at all if somebody else has the lock.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let changed = notification.lock().try_transaction(&mut conn, |n, conn| {
    ///     n.message.push('!');
    ///     diesel::update(&*n).set(&*n).execute(conn)
    /// })?;
    /// # assert_eq!(changed, Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `transaction`, but for [`LockError::Timeout`], which is `Ok(None)`.
    pub fn try_transaction<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(&mut T, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        T: for<'a> Reload<'a, S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        match self.request.try_acquire(conn)? {
            Some(held) => {
                guard::run_in_transaction(held, |held| refreshed(self.model, held), body).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Lock and re-read; gives a guard, which derefs to the connection. The model is free to use
    /// beside it.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let mut held = notification.lock().acquire(&mut conn)?;
    /// notification.send(&mut held)?; // read again just now, and nobody else can change it
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Any [`LockError`] of the time before `body` would run; see the [type](Self).
    pub fn acquire<S>(self, conn: &mut S) -> Result<Held<'_, S::Connection>, LockError>
    where
        T: for<'a> Reload<'a, S::Connection>,
        S: LockSource,
    {
        let mut held = self.request.acquire(conn)?;
        refresh(self.model, &mut held)?;
        Ok(held)
    }

    /// As [`acquire`](Self::acquire), or `None` if somebody else has the lock.
    ///
    /// ```
    /// # include!("doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// if let Some(mut held) = notification.lock().try_acquire(&mut conn)? {
    ///     notification.send(&mut held)?;
    ///     held.release()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `acquire`, but for [`LockError::Timeout`], which is `Ok(None)`.
    pub fn try_acquire<S>(self, conn: &mut S) -> Result<Option<Held<'_, S::Connection>>, LockError>
    where
        T: for<'a> Reload<'a, S::Connection>,
        S: LockSource,
    {
        let Some(mut held) = self.request.try_acquire(conn)? else {
            return Ok(None);
        };
        refresh(self.model, &mut held)?;
        Ok(Some(held))
    }

    pub(crate) fn into_parts(self) -> (&'m mut T, LockRequest) {
        (self.model, self.request)
    }

    fn with(self, option: impl FnOnce(LockRequest) -> LockRequest) -> Self {
        ModelLock {
            request: option(self.request),
            ..self
        }
    }
}

fn refreshed<'m, T, S>(model: &'m mut T, held: &mut Held<'_, S>) -> Result<&'m mut T, LockError>
where
    T: for<'a> Reload<'a, S::Connection>,
    S: LockSource,
{
    refresh(model, held)?;
    Ok(model)
}

/// Replaces a copy that may be stale. A nested lock's copy is not: the session has held the lock
/// since it was read, and it may have changes that are not saved yet.
pub(crate) fn refresh<T, S>(model: &mut T, held: &mut Held<'_, S>) -> Result<(), LockError>
where
    T: for<'a> Reload<'a, S::Connection>,
    S: LockSource,
{
    if let Some(row) = fresh(model, held)? {
        *model = row;
    }
    Ok(())
}

/// The row as it is under the lock; `None` under a nested one.
pub(crate) fn fresh<T, S>(model: &T, held: &mut Held<'_, S>) -> Result<Option<T>, LockError>
where
    T: for<'a> Reload<'a, S::Connection>,
    S: LockSource,
{
    if held.is_nested() {
        return Ok(None);
    }
    let row = guard::reload(model, held.parts())?;
    held.reread();
    Ok(Some(row))
}
