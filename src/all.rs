//! [`lock_all`] and its builder: several locks at once.

use std::time::Duration;

use crate::attempt::Attempt;
use crate::backend::Wait;
use crate::error::{FromLockError, LockError};
use crate::guard;
use crate::name::LockName;
use crate::policy::{LockPolicy, Times};
use crate::request::or_none;
use crate::source::LockSource;

mod held;
mod set;

pub use set::{LockSet, Rows};

pub(crate) use held::{HeldAll, check, label};

/// Locks all of a set, reloads its models, runs `body`, and releases: [`LockAll::run`] with all
/// options at their defaults.
///
/// Two callers who take the same locks in different orders wait for each other for ever. Here they are
/// taken in the order of their written names, whatever order they are given in, so no two calls can deadlock.
///
/// The default policy applies, not the models' own, since one timeout covers all locks. To use a
/// model's policy, write `LockAll::of(..).policy(Account::LOCK_POLICY)`; see
/// [`HasLockPolicy`](crate::HasLockPolicy).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// use diesel_advisory_lock::prelude::*;
///
/// #[derive(Queryable, Selectable, Identifiable, AsChangeset)]
/// #[diesel(table_name = accounts)]
/// struct Account {
///     id: i32,
///     balance: i64,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let mut from: Account = accounts::table.find(1).first(&mut conn)?;
/// let mut to: Account = accounts::table.find(2).first(&mut conn)?;
///
/// let moved = LockAll::of((&mut from, &mut to)).transaction(&mut conn, |(from, to), conn| {
///     if from.balance < 30 {
///         return Ok(false);
///     }
///     from.balance -= 30;
///     to.balance += 30;
///     diesel::update(&*from).set(&*from).execute(conn)?;
///     diesel::update(&*to).set(&*to).execute(conn)?;
///     QueryResult::Ok(true)
/// })?;
/// # assert!(moved);
/// # assert_eq!((from.balance, to.balance), (70, 130));
///
/// // Without a transaction, models and names mixed:
/// let report = LockName::named("report");
/// lock_all((&mut from, &report), &mut conn, |(from, _), _| {
///     println!("{}", from.balance);
///     Ok::<_, LockError>(())
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// What `body` returns, and [`LockError`] before and after it; see [`LockAll`].
pub fn lock_all<L, S, R, E>(
    set: L,
    conn: &mut S,
    body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
) -> Result<R, E>
where
    L: LockSet<S::Connection>,
    S: LockSource,
    E: FromLockError,
{
    LockAll::of(set).run(conn, body)
}

/// Several locks that are about to be taken: options first, then a terminal that takes them.
///
/// A set is a tuple of models (`&mut account`), slices of models (`&mut accounts[..]`), names, and further sets;
/// see [`LockSet`]. The closure gets it back as it was given.
///
/// - The locks are taken in the order of their written names, and released in reverse. One that is named twice is
///   taken once; two models of one row are then two copies of it, both current.
/// - One timeout covers all. If one of them cannot be acquired, those that were acquired are
///   released, and the error names that one.
/// - Each model is reloaded once **all** are held, except the very model that an enclosing closure
///   was given under this same lock; see [`ModelLock`](crate::ModelLock).
/// - Before a `transaction` commits, the session proves that it holds all of them.
///
/// | terminal | waits | when they are not free in time |
/// |---|---|---|
/// | [`run`](Self::run), [`transaction`](Self::transaction) | 45 seconds, or as told | [`LockError::Timeout`] |
/// | [`try_run`](Self::try_run), [`try_transaction`](Self::try_transaction) | not at all, or as told | `Ok(None)` |
///
/// The other errors are those of [`ModelLock`](crate::ModelLock), each about the first lock that it is true of. A
/// model's own [`LockPolicy`] does not apply: pass it here, as in `.policy(Account::LOCK_POLICY)`;
/// see [`HasLockPolicy`](crate::HasLockPolicy). An empty set runs `body` without any lock.
///
/// It costs two round trips for each lock, one for each model, and one more for a set in which some
/// names have a namespace of their own and others do not. A transaction costs seven more: six for
/// BEGIN and COMMIT, and one for the proof, for up to 64 locks.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// use std::time::Duration;
///
/// let names = vec![LockName::row(notifications::table, 42), LockName::named("report")];
/// LockAll::of(names)
///     .timeout(Duration::from_secs(5)) // for both together
///     .run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is locked until a terminal such as `.run(..)` or `.transaction(..)` is called"]
pub struct LockAll<L> {
    set: L,
    times: Times,
    scope: Option<String>,
    namespace: Option<String>,
}

impl<L> LockAll<L> {
    /// Starts a request for all locks of a set.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let (report, archive) = (LockName::named("report"), LockName::named("archive"));
    /// LockAll::of((&report, &archive)).run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(set: L) -> Self {
        LockAll {
            set,
            times: Times::default(),
            scope: None,
            namespace: None,
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
    /// const PATIENT: LockPolicy = LockPolicy::new().timeout(Duration::from_secs(300));
    /// let names = [LockName::named("report"), LockName::named("archive")];
    /// LockAll::of(names).policy(PATIENT).run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn policy(mut self, policy: LockPolicy) -> Self {
        self.times.policy(policy);
        self
    }

    /// Waits for at most `timeout` for all together, to the millisecond (rounded up).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let names = [LockName::named("report"), LockName::named("archive")];
    /// let request = LockAll::of(names).timeout(Duration::from_secs(5)); // for both together
    /// request.run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    /// Does not wait: all are free now, or [`LockError::Timeout`] is returned.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let other = &mut establish_connection();
    /// # let held = LockName::named("job").lock().acquire(other)?;
    /// let names = [LockName::named("job"), LockName::named("report")];
    /// let done = LockAll::of(names).no_wait().run(&mut conn, |_, _| Ok(()));
    /// assert!(matches!(done, Err(LockError::Timeout { name, .. }) if name == LockName::named("job")));
    /// # drop(held);
    /// # Ok(())
    /// # }
    /// ```
    pub fn no_wait(self) -> Self {
        self.timeout(Duration::ZERO)
    }

    /// Waits until all are free.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let names = [LockName::named("report"), LockName::named("archive")];
    /// LockAll::of(names).wait_forever().run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_forever(self) -> Self {
        self.wait(Wait::Forever)
    }

    /// Keeps the session alive for as long: see [`LockRequest::longest_hold`](crate::LockRequest::longest_hold).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let names = [LockName::named("report"), LockName::named("archive")];
    /// let request = LockAll::of(names).longest_hold(Duration::from_secs(10 * 3_600));
    /// request.run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn longest_hold(mut self, longest_hold: Duration) -> Self {
        self.times.longest_hold(longest_hold);
        self
    }

    /// Takes locks of their own for one use: [`LockName::scope`] of each.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let rows = [1, 2].map(|id| LockName::row(accounts::table, id));
    /// // `accounts:1#statement` and `accounts:2#statement`.
    /// LockAll::of(rows).scope("statement").run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Locks in another namespace: [`LockName::namespace`] of each.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let names = [LockName::named("report"), LockName::named("archive")];
    /// LockAll::of(names).namespace("all tenants").run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Lock all, reload all, run, release all.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # #[derive(Queryable, Selectable, Identifiable, AsChangeset)]
    /// # struct Account { id: i32, balance: i64 }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut from: Account = accounts::table.find(1).first(&mut conn)?;
    /// # let mut to: Account = accounts::table.find(2).first(&mut conn)?;
    /// LockAll::of((&mut from, &mut to)).run(&mut conn, |(from, to), _| {
    ///     println!("{} and {}", from.balance, to.balance);
    ///     Ok::<_, LockError>(())
    /// })?;
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
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        L: LockSet<S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        let held = self.acquire(conn, &self.attempt())?;
        guard::run(held, |held| held.reloaded(self.set), body)
    }

    /// Like [`run`](Self::run), but returns `Ok(None)` if one of the locks is held elsewhere.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let names = [LockName::named("report"), LockName::named("archive")];
    /// let done = LockAll::of(names).try_run(&mut conn, |_, _| Ok::<_, LockError>("both are ours"))?;
    /// assert!(done.is_some()); // `None` if one of them is held elsewhere
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
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        L: LockSet<S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        match or_none(self.acquire(conn, &self.try_attempt()))? {
            Some(held) => guard::run(held, |held| held.reloaded(self.set), body).map(Some),
            None => Ok(None),
        }
    }

    /// Lock all, BEGIN, reload all, run, proof, COMMIT, release all: see
    /// [`ModelLock::transaction`](crate::ModelLock::transaction).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # #[derive(Queryable, Selectable, Identifiable, AsChangeset)]
    /// # struct Account { id: i32, balance: i64 }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut from: Account = accounts::table.find(1).first(&mut conn)?;
    /// # let mut to: Account = accounts::table.find(2).first(&mut conn)?;
    /// LockAll::of((&mut from, &mut to)).transaction(&mut conn, |(from, to), conn| {
    ///     from.balance -= 30;
    ///     to.balance += 30;
    ///     diesel::update(&*from).set(&*from).execute(conn)?;
    ///     diesel::update(&*to).set(&*to).execute(conn)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `body` returns, after a rollback, and [`LockError`] before and after it; see the
    /// [type](Self). `Lost` names a lock that the session did not hold before the COMMIT: the transaction has
    /// been rolled back.
    pub fn transaction<S, R, E>(
        self,
        conn: &mut S,
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        L: LockSet<S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        let held = self.acquire(conn, &self.attempt())?;
        guard::run_in_transaction(held, |held| held.reloaded(self.set), body)
    }

    /// Like [`transaction`](Self::transaction), but returns `Ok(None)` if one of the locks is held
    /// elsewhere.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let names = [LockName::named("report"), LockName::named("archive")];
    /// let deleted = LockAll::of(names).try_transaction(&mut conn, |_, conn| {
    ///     diesel::delete(notifications::table).execute(conn)
    /// })?;
    /// # assert_eq!(deleted, Some(1));
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
        body: impl FnOnce(L::Locked, &mut S::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        L: LockSet<S::Connection>,
        S: LockSource,
        E: FromLockError,
    {
        match or_none(self.acquire(conn, &self.try_attempt()))? {
            Some(held) => {
                guard::run_in_transaction(held, |held| held.reloaded(self.set), body).map(Some)
            }
            None => Ok(None),
        }
    }

    fn acquire<'c, S>(
        &self,
        conn: &'c mut S,
        attempt: &Attempt,
    ) -> Result<HeldAll<'c, S::Connection>, LockError>
    where
        L: LockSet<S::Connection>,
        S: LockSource,
    {
        HeldAll::acquire(conn.connection(), self.names(), attempt)
    }

    /// Of each item of the set, in its order.
    pub(crate) fn names<C>(&self) -> Vec<LockName>
    where
        L: LockSet<C>,
    {
        let mut names = Vec::new();
        self.set.names(&mut names);
        for name in &mut names {
            if let Some(scope) = &self.scope {
                *name = name.clone().scope(scope);
            }
            if let Some(namespace) = &self.namespace {
                *name = name.clone().namespace(namespace);
            }
        }
        names
    }

    pub(crate) fn attempt(&self) -> Attempt {
        self.times.attempt()
    }

    pub(crate) fn try_attempt(&self) -> Attempt {
        self.times.try_attempt()
    }

    pub(crate) fn into_set(self) -> L {
        self.set
    }

    fn wait(mut self, wait: Wait) -> Self {
        self.times.wait(wait);
        self
    }
}
