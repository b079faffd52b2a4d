//! [`LockAll`] on a connection from a pool.

use crate::all::{HeldAll, LockAll, LockSet};
use crate::attempt::Attempt;
use crate::error::{FromLockError, LockError};
use crate::guard;
use crate::pool::PoolSource;
use crate::request::or_none;

/// [`lock_all`](crate::lock_all) on a connection from `pool`.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        self.locked_from(pool, &attempt, |held, set| {
            guard::run(held, |held| held.reloaded(set), body)
        })?
    }

    /// [`try_run`](Self::try_run) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let locked = self.locked_from(pool, &attempt, |held, set| {
            guard::run(held, |held| held.reloaded(set), body)
        });
        or_none(locked)?.transpose()
    }

    /// [`transaction`](Self::transaction) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        self.locked_from(pool, &attempt, |held, set| {
            guard::run_in_transaction(held, |held| held.reloaded(set), body)
        })?
    }

    /// [`try_transaction`](Self::try_transaction) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let locked = self.locked_from(pool, &attempt, |held, set| {
            guard::run_in_transaction(held, |held| held.reloaded(set), body)
        });
        or_none(locked)?.transpose()
    }

    /// Runs `body` with all locks. The error is of the time before.
    fn locked_from<P, O>(
        self,
        pool: &P,
        attempt: &Attempt,
        body: impl FnOnce(HeldAll<'_, P::Connection>, L) -> O,
    ) -> Result<O, LockError>
    where
        L: LockSet<P::Connection>,
        P: PoolSource,
    {
        let names = self.names();
        let mut lent = pool.lend(&names, attempt)?;
        let (conn, running) = lent.parts();
        let held = HeldAll::acquire_checked_out(conn, names, attempt)?;
        running();
        Ok(body(held, self.into_set()))
    }
}
