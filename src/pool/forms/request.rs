//! [`LockRequest`] on a connection from a pool.

use crate::asked::Asked;
use crate::error::{FromLockError, LockError};
use crate::guard;
use crate::in_use::InUse;
use crate::pool::{PoolSource, PooledHeld};
use crate::request::{LockRequest, or_none};

impl LockRequest {
    /// [`hold`](Self::hold) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        guard::run(held, |_| Ok(((), InUse::default())), |(), conn| body(conn))
    }

    /// [`try_hold`](Self::try_hold) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
            Some(held) => {
                guard::run(held, |_| Ok(((), InUse::default())), |(), conn| body(conn)).map(Some)
            }
            None => Ok(None),
        }
    }

    /// [`acquire`](Self::acquire) on a connection from `pool`, which the guard owns.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
