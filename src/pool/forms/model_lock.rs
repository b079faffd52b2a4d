//! [`ModelLock`] on a connection from a pool.

use crate::error::{FromLockError, LockError};
use crate::guard;
use crate::model_lock::ModelLock;
use crate::pool::{PoolSource, PooledHeld};
use crate::reload::Reload;

impl<'m, T> ModelLock<'m, T> {
    /// [`run`](Self::run) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        let held = request.acquire_from(pool)?;
        guard::run(held, |held| held.reloaded(model, name_of), body)
    }

    /// [`try_run`](Self::try_run) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        match request.try_acquire_from(pool)? {
            Some(held) => guard::run(held, |held| held.reloaded(model, name_of), body).map(Some),
            None => Ok(None),
        }
    }

    /// [`transaction`](Self::transaction) on a connection from `pool`.
    ///
    /// Through a [`LockPool`](crate::LockPool), while other requests wait in the process, the lock
    /// costs one round trip: the proof before the COMMIT that the session holds it. Neither
    /// acquiring nor releasing it costs one.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        let held = request.acquire_from(pool)?;
        guard::run_in_transaction(held, |held| held.reloaded(model, name_of), body)
    }

    /// [`try_transaction`](Self::try_transaction) on a connection from `pool`.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        match request.try_acquire_from(pool)? {
            Some(held) => {
                guard::run_in_transaction(held, |held| held.reloaded(model, name_of), body)
                    .map(Some)
            }
            None => Ok(None),
        }
    }

    /// [`acquire`](Self::acquire) on a connection from `pool`, which the guard owns. The model is always reloaded, so
    /// unsaved changes are overwritten.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        let mut held = request.acquire_from(pool)?;
        held.reloaded(model, name_of)?;
        Ok(held)
    }

    /// [`try_acquire`](Self::try_acquire) on a connection from `pool`, which the guard owns.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
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
        let (model, name_of, request) = self.into_parts();
        let Some(mut held) = request.try_acquire_from(pool)? else {
            return Ok(None);
        };
        held.reloaded(model, name_of)?;
        Ok(Some(held))
    }
}
