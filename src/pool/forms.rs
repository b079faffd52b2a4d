//! The `_from` forms of all terminals: the same with a connection from a pool.

use super::held::PooledHeld;
use super::{PoolConnection, PoolSource};
use crate::all::{HeldAll, LockAll, LockSet};
use crate::asked::Asked;
use crate::error::{FromLockError, LockError};
use crate::guard::{self, Guard};
use crate::lockable::ModelLock;
use crate::reload::Reload;
use crate::request::{LockRequest, or_none};

impl LockRequest {
    /// [`hold`](Self::hold) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pool = pool()?;
    /// let locks = LockPool::new(pool);
    /// let unsent: i64 = LockName::table(notifications::table).lock().hold_from(&locks, |conn| {
    ///     notifications::table.filter(notifications::sent.eq(false)).count().get_result(conn)
    /// })?;
    /// # assert_eq!(unsent, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `hold`, and [`LockError::Pool`].
    pub fn hold_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(&mut P::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        P: PoolSource,
        E: FromLockError,
    {
        let held = self.acquire_from(pool)?;
        guard::run(held, |_| Ok(()), |(), conn| body(conn))
    }

    /// [`try_hold`](Self::try_hold) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::new(pool()?);
    /// let done = LockName::named("job").lock().try_hold_from(&locks, |_| Ok::<_, LockError>(()))?;
    /// # assert!(done.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `try_hold`, and [`LockError::Pool`].
    pub fn try_hold_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(&mut P::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        P: PoolSource,
        E: FromLockError,
    {
        match self.try_acquire_from(pool)? {
            Some(held) => guard::run(held, |_| Ok(()), |(), conn| body(conn)).map(Some),
            None => Ok(None),
        }
    }

    /// [`acquire`](Self::acquire) on a connection from `pool`, which the guard owns.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::new(pool()?);
    /// let held = LockName::named("job").lock().acquire_from(&locks)?;
    /// std::thread::spawn(move || held.release()).join().expect("no panic")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `acquire`, and [`LockError::Pool`].
    pub fn acquire_from<P: PoolSource>(
        self,
        pool: &P,
    ) -> Result<PooledHeld<P::Connection>, LockError> {
        let attempt = self.attempt();
        pool.acquire(Asked::new(self.into_name()), &attempt)
    }

    /// [`try_acquire`](Self::try_acquire) on a connection from `pool`, which the guard owns.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::new(pool()?);
    /// if let Some(held) = LockName::named("job").lock().try_acquire_from(&locks)? {
    ///     held.release()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `try_acquire`, and [`LockError::Pool`].
    pub fn try_acquire_from<P: PoolSource>(
        self,
        pool: &P,
    ) -> Result<Option<PooledHeld<P::Connection>>, LockError> {
        let attempt = self.try_attempt();
        or_none(pool.acquire(Asked::new(self.into_name()), &attempt))
    }
}

impl<'m, T> ModelLock<'m, T> {
    /// [`run`](Self::run) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let locks = LockPool::new(pool()?);
    /// let sent = notification.lock().scope("send").run_from(&locks, Notification::send)?;
    /// # assert!(sent);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `run`, and [`LockError::Pool`].
    pub fn run_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(&mut T, &mut P::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        T: for<'a> Reload<'a, P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        let (model, request) = self.into_parts();
        let held = request.acquire_from(pool)?;
        guard::run(held, |held| refreshed(model, held), body)
    }

    /// [`try_run`](Self::try_run) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let locks = LockPool::new(pool()?);
    /// let sent = notification.lock().try_run_from(&locks, Notification::send)?;
    /// # assert_eq!(sent, Some(true));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `try_run`, and [`LockError::Pool`].
    pub fn try_run_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(&mut T, &mut P::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        T: for<'a> Reload<'a, P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        let (model, request) = self.into_parts();
        match request.try_acquire_from(pool)? {
            Some(held) => guard::run(held, |held| refreshed(model, held), body).map(Some),
            None => Ok(None),
        }
    }

    /// [`transaction`](Self::transaction) on a connection from `pool`. Through a [`LockPool`](crate::LockPool)
    /// this is the cheapest: while others wait in the process, neither taking nor releasing the lock
    /// costs a round trip.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let locks = LockPool::new(pool()?);
    /// notification.lock().transaction_from(&locks, |n, conn| {
    ///     n.message.push('!');
    ///     diesel::update(&*n).set(&*n).execute(conn)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `transaction`, and [`LockError::Pool`].
    pub fn transaction_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(&mut T, &mut P::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        T: for<'a> Reload<'a, P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        let (model, request) = self.into_parts();
        let held = request.acquire_from(pool)?;
        guard::run_in_transaction(held, |held| refreshed(model, held), body)
    }

    /// [`try_transaction`](Self::try_transaction) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let locks = LockPool::new(pool()?);
    /// let sent = notification.lock().try_transaction_from(&locks, Notification::send)?;
    /// # assert_eq!(sent, Some(true));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `try_transaction`, and [`LockError::Pool`].
    pub fn try_transaction_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(&mut T, &mut P::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        T: for<'a> Reload<'a, P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        let (model, request) = self.into_parts();
        match request.try_acquire_from(pool)? {
            Some(held) => {
                guard::run_in_transaction(held, |held| refreshed(model, held), body).map(Some)
            }
            None => Ok(None),
        }
    }

    /// [`acquire`](Self::acquire) on a connection from `pool`, which the guard owns.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let locks = LockPool::new(pool()?);
    /// let mut held = notification.lock().acquire_from(&locks)?;
    /// notification.send(&mut held)?;
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `acquire`, and [`LockError::Pool`].
    pub fn acquire_from<P>(self, pool: &P) -> Result<PooledHeld<P::Connection>, LockError>
    where
        T: for<'a> Reload<'a, P::Connection>,
        P: PoolSource,
    {
        let (model, request) = self.into_parts();
        let mut held = request.acquire_from(pool)?;
        refreshed(model, &mut held)?;
        Ok(held)
    }

    /// [`try_acquire`](Self::try_acquire) on a connection from `pool`, which the guard owns.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
    /// # let locks = LockPool::new(pool()?);
    /// if let Some(mut held) = notification.lock().try_acquire_from(&locks)? {
    ///     notification.send(&mut held)?;
    ///     held.release()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `try_acquire`, and [`LockError::Pool`].
    pub fn try_acquire_from<P>(
        self,
        pool: &P,
    ) -> Result<Option<PooledHeld<P::Connection>>, LockError>
    where
        T: for<'a> Reload<'a, P::Connection>,
        P: PoolSource,
    {
        let (model, request) = self.into_parts();
        let Some(mut held) = request.try_acquire_from(pool)? else {
            return Ok(None);
        };
        refreshed(model, &mut held)?;
        Ok(Some(held))
    }
}

/// [`lock_all`](crate::lock_all) on a connection from `pool`.
///
/// ```
/// # include!("../doctest_setup.rs");
/// # use diesel_advisory_lock::prelude::*;
/// # use diesel_advisory_lock::lock_all_from;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// # let mut notification: Notification = notifications::table.find(42).first(&mut conn)?;
/// # let locks = LockPool::new(pool()?);
/// let outbox = LockName::named("outbox");
/// lock_all_from((&mut notification, &outbox), &locks, |(n, _), conn| n.send(conn))?;
/// # assert!(notification.sent);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As for `lock_all`, and [`LockError::Pool`].
pub fn lock_all_from<L, P, R, E>(
    set: L,
    pool: &P,
    body: impl FnOnce(L::Locked, &mut P::Connection) -> Result<R, E>,
) -> Result<R, E>
where
    L: LockSet<P::Connection>,
    P: PoolSource,
    E: FromLockError,
{
    LockAll::of(set).run_from(pool, body)
}

/// Through a [`LockPool`](crate::LockPool) the turns of all names are waited for without a connection, too; but
/// the connection is not handed on.
impl<L> LockAll<L> {
    /// [`run`](Self::run) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let names = [LockName::named("report"), LockName::named("archive")];
    /// # let locks = LockPool::new(pool()?);
    /// LockAll::of(names).run_from(&locks, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `run`, and [`LockError::Pool`].
    pub fn run_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(L::Locked, &mut P::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        L: LockSet<P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        let attempt = self.attempt();
        let names = self.names();
        let mut lent = pool.lend(&names, &attempt)?;
        let held = HeldAll::acquire_checked_out(lent.connection(), names, &attempt)?;
        guard::run(held, |held| held.refreshed(self.into_set()), body)
    }

    /// [`try_run`](Self::try_run) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let names = [LockName::named("report"), LockName::named("archive")];
    /// # let locks = LockPool::new(pool()?);
    /// LockAll::of(names).try_run_from(&locks, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `try_run`, and [`LockError::Pool`].
    pub fn try_run_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(L::Locked, &mut P::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        L: LockSet<P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        let attempt = self.try_attempt();
        let names = self.names();
        let Some(mut lent) = or_none(pool.lend(&names, &attempt))? else {
            return Ok(None);
        };
        let held = HeldAll::acquire_checked_out(lent.connection(), names, &attempt);
        match or_none(held)? {
            Some(held) => guard::run(held, |held| held.refreshed(self.into_set()), body).map(Some),
            None => Ok(None),
        }
    }

    /// [`transaction`](Self::transaction) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let names = [LockName::named("report"), LockName::named("archive")];
    /// # let locks = LockPool::new(pool()?);
    /// LockAll::of(names).transaction_from(&locks, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `transaction`, and [`LockError::Pool`].
    pub fn transaction_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(L::Locked, &mut P::Connection) -> Result<R, E>,
    ) -> Result<R, E>
    where
        L: LockSet<P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        let attempt = self.attempt();
        let names = self.names();
        let mut lent = pool.lend(&names, &attempt)?;
        let held = HeldAll::acquire_checked_out(lent.connection(), names, &attempt)?;
        guard::run_in_transaction(held, |held| held.refreshed(self.into_set()), body)
    }

    /// [`try_transaction`](Self::try_transaction) on a connection from `pool`.
    ///
    /// ```
    /// # include!("../doctest_setup.rs");
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let names = [LockName::named("report"), LockName::named("archive")];
    /// # let locks = LockPool::new(pool()?);
    /// LockAll::of(names).try_transaction_from(&locks, |_, _| Ok::<_, LockError>(()))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `try_transaction`, and [`LockError::Pool`].
    pub fn try_transaction_from<P, R, E>(
        self,
        pool: &P,
        body: impl FnOnce(L::Locked, &mut P::Connection) -> Result<R, E>,
    ) -> Result<Option<R>, E>
    where
        L: LockSet<P::Connection>,
        P: PoolSource,
        E: FromLockError,
    {
        let attempt = self.try_attempt();
        let names = self.names();
        let Some(mut lent) = or_none(pool.lend(&names, &attempt))? else {
            return Ok(None);
        };
        let held = HeldAll::acquire_checked_out(lent.connection(), names, &attempt);
        match or_none(held)? {
            Some(held) => {
                guard::run_in_transaction(held, |held| held.refreshed(self.into_set()), body)
                    .map(Some)
            }
            None => Ok(None),
        }
    }
}

/// A session that was just checked out knows nothing of the row, so it is always read.
fn refreshed<'m, T, C>(model: &'m mut T, held: &mut PooledHeld<C>) -> Result<&'m mut T, LockError>
where
    T: for<'a> Reload<'a, C>,
    C: PoolConnection,
{
    *model = guard::reload(model, held.parts())?;
    held.reread();
    Ok(model)
}
