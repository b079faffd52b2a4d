//! [`ModelLock`]: the options, and the terminals that reload a model.

use std::time::Duration;

use crate::error::{FromLockError, LockError};
use crate::guard;
use crate::held::Held;
use crate::name::LockName;
use crate::policy::LockPolicy;
use crate::reload::Reload;
use crate::request::LockRequest;
use crate::source::LockSource;

/// A row's lock that is about to be taken: options first, then a terminal that takes it.
///
/// Every terminal **reloads the row** under the lock and replaces the caller's model with it, so
/// that nothing is decided on a stale copy. Save changes before you lock, since the reload
/// overwrites them. This holds whether the lock is nested or not, with one exception:
///
/// - The very model that an enclosing closure was given **under this same lock**, while that
///   closure runs, keeps its unsaved changes. Any other copy of the row is reloaded, and so is a
///   model under another scope.
/// - Under a guard the model is always reloaded, since no closure was given it:
///   [`acquire`](Self::acquire).
///
/// | terminal | waits | when it is not free in time |
/// |---|---|---|
/// | [`run`](Self::run), [`transaction`](Self::transaction), [`acquire`](Self::acquire) | 45 seconds, or as told | [`LockError::Timeout`] |
/// | [`try_run`](Self::try_run), [`try_transaction`](Self::try_transaction), [`try_acquire`](Self::try_acquire) | not at all, or as told | `Ok(None)` |
///
/// The other errors are the same for all:
///
/// - Before `body` runs: `OpenTransaction`, `Deadlock`, `Interrupted`, `InvalidName`, `Database`;
///   `Gone` if there is no row with the model's key; `KeyMismatch` if the row's own lock is another
///   one.
/// - After it: `Lost`, `TransactionLeftOpen`, `Database`, and from `transaction` also
///   `CommitUnknown`. [`LockError::outcome`] says what became of the work.
///
/// An error of `body` is returned rather than one of the release. On an error, as on a panic, an
/// open transaction is rolled back and the lock released. If the reload fails while it runs on the
/// server (`Database`), the connection is marked as broken, and a pool discards it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
    /// Of a row, to compare with that of the model that asked for it.
    name_of: fn(&T) -> LockName,
    request: LockRequest,
}

impl<'m, T> ModelLock<'m, T> {
    pub(crate) fn new(model: &'m mut T, name_of: fn(&T) -> LockName) -> Self {
        ModelLock {
            request: LockRequest::new(name_of(model)),
            model,
            name_of,
        }
    }

    /// Waits as `policy` says, unless it is told otherwise: see [`LockPolicy`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    /// use diesel_advisory_lock::LockPolicy;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// const PATIENT: LockPolicy = LockPolicy::new().timeout(Duration::from_secs(300));
    /// notification.lock().policy(PATIENT).run(&mut conn, |n, conn| n.send(conn))?;
    /// # assert!(notification.sent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn policy(self, policy: LockPolicy) -> Self {
        self.with(|request| request.policy(policy))
    }

    /// Waits for at most `timeout`, to the millisecond (rounded up).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let request = notification.lock().timeout(Duration::from_millis(250));
    /// request.run(&mut conn, |n, conn| n.send(conn))?;
    /// # assert!(notification.sent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|request| request.timeout(timeout))
    }

    /// Does not wait: the lock is free now, or [`LockError::Timeout`] is returned.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let other = &mut establish_connection();
    /// # let held = notification.lock().acquire(other)?;
    /// match notification.lock().no_wait().run(&mut conn, |n, conn| n.send(conn)) {
    ///     Ok(sent) => println!("sent: {sent}"),
    ///     Err(error) => match LockError::in_diesel(&error) {
    ///         Some(LockError::Timeout { name, .. }) => println!("another session holds {name}"),
    ///         _ => return Err(error.into()),
    ///     },
    /// }
    /// # assert!(!notification.sent);
    /// # drop(held);
    /// # Ok(())
    /// # }
    /// ```
    pub fn no_wait(self) -> Self {
        self.with(LockRequest::no_wait)
    }

    /// Waits until the lock is free.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// notification.lock().wait_forever().run(&mut conn, |n, conn| n.send(conn))?;
    /// # assert!(notification.sent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_forever(self) -> Self {
        self.with(LockRequest::wait_forever)
    }

    /// Keeps the session alive for as long: see [`LockRequest::longest_hold`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// // The mail server may take its time, and `wait_timeout` is short.
    /// let request = notification.lock().longest_hold(Duration::from_secs(600));
    /// request.run(&mut conn, |n, conn| n.send(conn))?;
    /// # assert!(notification.sent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn longest_hold(self, longest_hold: Duration) -> Self {
        self.with(|request| request.longest_hold(longest_hold))
    }

    /// Takes a lock of its own for one use of the row, such as one method: see
    /// [`LockName::scope`]. Under another scope the row is reloaded, so save before you lock one scope
    /// inside another.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// notification.lock().scope("send").run(&mut conn, |n, conn| n.send(conn))?;
    /// # assert!(notification.sent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope(self, scope: impl AsRef<str>) -> Self {
        self.with(|request| request.scope(scope))
    }

    /// Locks in another namespace: see [`LockName::namespace`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// // All programs that use this namespace share the lock, in whatever schema they work.
    /// notification.lock().namespace("all tenants").run(&mut conn, |n, conn| n.send(conn))?;
    /// # assert!(notification.sent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespace(self, namespace: impl AsRef<str>) -> Self {
        self.with(|request| request.namespace(namespace))
    }

    /// The lock that will be taken, with scope and namespace as set.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// assert_eq!(notification.lock().scope("send").name().to_string(), "notifications:42#send");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &LockName {
        self.request.name()
    }

    /// Lock, reload, run, release.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        let held = request.acquire(conn)?;
        guard::run(held, |held| held.reloaded(model, name_of), body)
    }

    /// Like [`run`](Self::run), but returns `Ok(None)` if the lock is held elsewhere.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// match notification.lock().try_run(&mut conn, |n, conn| n.send(conn))? {
    ///     Some(sent) => println!("sent: {sent}"),
    ///     None => println!("another session is sending it"),
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
        let (model, name_of, request) = self.into_parts();
        match request.try_acquire(conn)? {
            Some(held) => guard::run(held, |held| held.reloaded(model, name_of), body).map(Some),
            None => Ok(None),
        }
    }

    /// Lock, BEGIN, reload, run, proof, COMMIT, release: the next holder sees all that `body`
    /// wrote, or nothing of it.
    ///
    /// Before the COMMIT the session proves, in one round trip, that it still holds the lock. If it
    /// does not, the transaction is rolled back, and [`LockError::Lost`] is returned. Lock and
    /// transaction end with the same session, so what commits was exclusive throughout. Once the
    /// COMMIT has succeeded, the value of `body` is returned, even if the release fails; the
    /// session is then ended, and with the feature `tracing` an event is emitted.
    ///
    /// After a rollback the rows are as before, but the caller's model keeps what `body` put into
    /// it: load it anew before you use it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
    /// [type](Self). [`LockError::CommitUnknown`] if the connection fails during the COMMIT. After all others the
    /// transaction has been rolled back or was not begun, unless `body` has ended it by itself.
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
        let (model, name_of, request) = self.into_parts();
        let held = request.acquire(conn)?;
        guard::run_in_transaction(held, |held| held.reloaded(model, name_of), body)
    }

    /// Like [`transaction`](Self::transaction), but returns `Ok(None)` if the lock is held
    /// elsewhere.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        match request.try_acquire(conn)? {
            Some(held) => {
                guard::run_in_transaction(held, |held| held.reloaded(model, name_of), body)
                    .map(Some)
            }
            None => Ok(None),
        }
    }

    /// Locks and reloads, and returns a guard, which derefs to the connection. The model is free to
    /// use beside it.
    ///
    /// **Under a guard the model is always reloaded**, here and by each further call that locks it
    /// on the guard: unsaved changes are overwritten, so save them first. A guard does not know how
    /// long the model is in use; only a closure that was given this very model under this same lock
    /// keeps its changes.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// let mut held = notification.lock().acquire(&mut conn)?;
    /// notification.send(&mut held)?; // reloaded just now, under the lock
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
        let (model, name_of, request) = self.into_parts();
        let mut held = request.acquire(conn)?;
        held.reloaded(model, name_of)?;
        Ok(held)
    }

    /// Like [`acquire`](Self::acquire), but returns `Ok(None)` if the lock is held elsewhere.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        let Some(mut held) = request.try_acquire(conn)? else {
            return Ok(None);
        };
        held.reloaded(model, name_of)?;
        Ok(Some(held))
    }

    pub(crate) fn into_parts(self) -> (&'m mut T, fn(&T) -> LockName, LockRequest) {
        (self.model, self.name_of, self.request)
    }

    fn with(self, option: impl FnOnce(LockRequest) -> LockRequest) -> Self {
        ModelLock {
            request: option(self.request),
            ..self
        }
    }
}
