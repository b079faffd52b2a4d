//! [`LockRequest`]: the options, and the terminals without a model.

use std::time::Duration;

use crate::attempt::Attempt;
use crate::backend::Wait;
use crate::error::{FromLockError, LockError};
use crate::guard;
use crate::held::Held;
use crate::in_use::InUse;
use crate::name::LockName;
use crate::policy::{LockPolicy, Times};
use crate::source::LockSource;

/// A lock that is about to be taken: options first, then a terminal that takes it.
///
/// | terminal | waits | when it is not free in time |
/// |---|---|---|
/// | [`hold`](Self::hold), [`acquire`](Self::acquire) | 45 seconds, or as told | [`LockError::Timeout`] |
/// | [`try_hold`](Self::try_hold), [`try_acquire`](Self::try_acquire) | not at all, or as told | `Ok(None)` |
///
/// The other errors are the same for all: `OpenTransaction`, `Deadlock`, `Interrupted`,
/// `InvalidName` and `Database` before the lock is held, `Lost`, `TransactionLeftOpen` and
/// `Database` after.
/// [`LockError::outcome`] says whether the closure ran.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// use std::time::Duration;
///
/// let request = LockName::row(notifications::table, 42)
///     .lock()
///     .scope("send")
///     .timeout(Duration::from_millis(250)); // or `.no_wait()`, or `.wait_forever()`
/// assert_eq!(request.name().to_string(), "notifications:42#send");
/// request.hold(&mut conn, |_| Ok::<_, LockError>(()))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is locked until a terminal such as `.hold(..)` or `.acquire(..)` is called"]
pub struct LockRequest {
    name: LockName,
    times: Times,
}

impl LockRequest {
    pub(crate) fn new(name: LockName) -> Self {
        LockRequest {
            name,
            times: Times::default(),
        }
    }

    /// Waits as `policy` says, unless it is told otherwise: see [`LockPolicy`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use diesel_advisory_lock::LockPolicy;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let other = &mut establish_connection();
    /// # let held = LockName::named("job").lock().acquire(other)?;
    /// const IMPATIENT: LockPolicy = LockPolicy::new().no_wait();
    /// let job = LockName::named("job");
    /// assert!(job.lock().policy(IMPATIENT).acquire(&mut conn).is_err()); // another session holds it
    /// # Ok(())
    /// # }
    /// ```
    pub fn policy(mut self, policy: LockPolicy) -> Self {
        self.times.policy(policy);
        self
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
    /// # let other = &mut establish_connection();
    /// # let held = LockName::named("job").lock().acquire(other)?;
    /// let request = LockName::named("job").lock().timeout(Duration::from_millis(20));
    /// match request.acquire(&mut conn) {
    ///     Err(LockError::Timeout { waited, .. }) => println!("not free within {waited:?}"),
    /// #   Ok(_) => panic!("it is taken"),
    ///     other => other?.release()?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    /// Does not wait: the lock is free now, or [`LockError::Timeout`] is returned.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let other = &mut establish_connection();
    /// # let held = LockName::named("job").lock().acquire(other)?;
    /// let request = LockName::named("job").lock().no_wait();
    /// assert!(matches!(request.acquire(&mut conn), Err(LockError::Timeout { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn no_wait(self) -> Self {
        self.wait(Wait::For(Duration::ZERO))
    }

    /// Waits until the lock is free.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let other = &mut establish_connection();
    /// # let held = LockName::named("job").lock().acquire(other)?;
    /// # drop(held);
    /// let nightly = LockName::named("job").lock().wait_forever();
    /// nightly.hold(&mut conn, |_| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_forever(self) -> Self {
        self.wait(Wait::Forever)
    }

    /// Keeps the server from ending the session while the lock is held, for up to `longest_hold` without a word on the
    /// connection: while a mail is sent, or a file fetched.
    ///
    /// The servers end a session that has been idle for `wait_timeout` (8 hours unless told, but
    /// often set to minutes), and with it the lock, which is then [`LockError::Lost`]. Where that
    /// of the session is shorter, it is raised to `longest_hold` (to the second, rounded up; a year
    /// at most) when the lock has been acquired, and set back when it ends. It is no limit: a lock
    /// may be held longer, at its own risk. With the feature `tracing`, an event is emitted for a
    /// longer hold.
    ///
    /// This costs two round trips for looking, and four more where there is something to raise. It does
    /// nothing about other limits on idle sessions: a proxy's, a firewall's, MariaDB's `idle_transaction_timeout`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let send_the_mails = || ();
    /// let nightly = LockName::named("nightly-report").lock();
    /// let mut held = nightly.longest_hold(Duration::from_secs(10 * 3_600)).acquire(&mut conn)?;
    /// send_the_mails();
    /// held.verify()?;
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn longest_hold(mut self, longest_hold: Duration) -> Self {
        self.times.longest_hold(longest_hold);
        self
    }

    /// Takes a lock of its own for one use: see [`LockName::scope`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let row = LockName::row(notifications::table, 42);
    /// let sending = row.lock().scope("send").acquire(&mut conn)?;
    /// let other = &mut establish_connection();
    /// row.lock().scope("archive").no_wait().acquire(other)?.release()?; // another lock
    /// # sending.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope(self, scope: impl AsRef<str>) -> Self {
        LockRequest {
            name: self.name.scope(scope),
            ..self
        }
    }

    /// Locks in another namespace: see [`LockName::namespace`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let report = LockName::named("report");
    /// let request = report.lock().namespace("all tenants");
    /// assert_eq!(request.name().written("tenant_7"), request.name().written("tenant_8"));
    /// request.acquire(&mut conn)?.release()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespace(self, namespace: impl AsRef<str>) -> Self {
        LockRequest {
            name: self.name.namespace(namespace),
            ..self
        }
    }

    /// The lock that will be taken, with scope and namespace as set.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let request = LockName::row(notifications::table, 42).lock().scope("send");
    /// assert_eq!(request.name().to_string(), "notifications:42#send");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// Runs `body` under the lock.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// LockName::row(notifications::table, 42).lock().hold(&mut conn, |conn| {
    ///     diesel::delete(notifications::table.find(42)).execute(conn)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `body` returns, and [`LockError`] before and after it; see the [type](Self).
    pub fn hold<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(&mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        S: LockSource,
        E: FromLockError,
    {
        let held = self.acquire(conn)?;
        guard::run(held, |_| Ok(((), InUse::default())), |(), conn| body(conn))
    }

    /// Runs `body` under the lock, or returns `Ok(None)` if the lock is held elsewhere.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let report = LockName::named("nightly-report");
    /// let done = report.lock().try_hold(&mut conn, |_| Ok::<_, LockError>("written"))?;
    /// assert_eq!(done, Some("written")); // `None` if the lock is held elsewhere
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`hold`](Self::hold), but for [`LockError::Timeout`], which is `Ok(None)`.
    pub fn try_hold<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(&mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        S: LockSource,
        E: FromLockError,
    {
        match self.try_acquire(conn)? {
            Some(held) => {
                guard::run(held, |_| Ok(((), InUse::default())), |(), conn| body(conn)).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Takes the lock and gives a guard, which derefs to the connection.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let mut held = LockName::named("nightly-report").lock().acquire(&mut conn)?;
    /// diesel::sql_query("DO 1").execute(&mut *held)?;
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Any [`LockError`] of the time before the lock is held; see the [type](Self).
    pub fn acquire<S: LockSource>(
        self,
        conn: &mut S,
    ) -> Result<Held<'_, S::Connection>, LockError> {
        self.acquire_on(conn.connection())
    }

    /// Acquires the lock, or returns `Ok(None)` if it is held elsewhere.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let report = LockName::named("nightly-report");
    /// if let Some(held) = report.lock().try_acquire(&mut conn)? {
    ///     held.release()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`acquire`](Self::acquire), but for [`LockError::Timeout`], which is `Ok(None)`.
    pub fn try_acquire<S: LockSource>(
        self,
        conn: &mut S,
    ) -> Result<Option<Held<'_, S::Connection>>, LockError> {
        let attempt = self.times.try_attempt();
        or_none(Held::acquire(conn.connection(), self.name, &attempt))
    }

    pub(crate) fn attempt(&self) -> Attempt {
        self.times.attempt()
    }

    pub(crate) fn try_attempt(&self) -> Attempt {
        self.times.try_attempt()
    }

    pub(crate) fn into_name(self) -> LockName {
        self.name
    }

    /// The same on whatever holds the connection, which a `#[locked]` method goes on using.
    pub(crate) fn acquire_on<S: LockSource>(
        self,
        source: &mut S,
    ) -> Result<Held<'_, S>, LockError> {
        let attempt = self.times.attempt();
        Held::acquire(source, self.name, &attempt)
    }

    fn wait(mut self, wait: Wait) -> Self {
        self.times.wait(wait);
        self
    }
}

/// What a `try_` form makes of a time-out.
pub(crate) fn or_none<T>(acquired: Result<T, LockError>) -> Result<Option<T>, LockError> {
    match acquired {
        Ok(held) => Ok(Some(held)),
        Err(LockError::Timeout { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
