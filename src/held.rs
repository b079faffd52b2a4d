//! [`Held`]: the guard on a connection of the caller's.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::error::LockError;
use crate::guard::Guard;
use crate::hold::{self, Hold};
use crate::name::LockName;
use crate::observe::Observed;
use crate::reload::{self, Reload};
use crate::source::LockSource;

/// A lock that is held, and the connection it is held on.
///
/// Derefs to the connection, which cannot be used in any other way for as long as the lock is
/// held. [`release`](Self::release) it to learn whether it was held throughout; dropping it
/// releases it too, but cannot tell.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut conn = establish_connection();
/// let name = LockName::named("nightly-report");
/// let mut held = name.lock().acquire(&mut conn)?;
/// let count: i64 = notifications::table.count().get_result(&mut *held)?;
/// held.release()?;
/// # assert_eq!(count, 1);
/// # Ok(())
/// # }
/// ```
///
/// Either way a transaction that was begun under the lock and is still open is rolled back first,
/// and if the server does not confirm the release, the connection is marked as broken, so that a pool
/// discards it and the server frees the lock.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Held<'c, C: LockSource> {
    source: &'c mut C,
    hold: Hold,
    ended: bool,
}

impl<'c, C: LockSource> Held<'c, C> {
    pub(crate) fn acquire(
        source: &'c mut C,
        name: LockName,
        attempt: &Attempt,
    ) -> Result<Self, LockError> {
        let hold = Hold::acquire(source.connection(), Asked::new(name), attempt)?;
        Ok(Held {
            source,
            hold,
            ended: false,
        })
    }

    /// The lock.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let held = LockName::named("job").lock().acquire(&mut conn)?;
    /// assert_eq!(held.name().to_string(), "=job");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &LockName {
        &self.hold.name
    }

    /// Whether this session held the lock already when this guard was acquired. It goes on holding
    /// it when this guard ends.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let mut outer = LockName::named("job").lock().acquire(&mut conn)?;
    /// let inner = LockName::named("job").lock().acquire(&mut outer)?;
    /// assert!(inner.is_nested());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_nested(&self) -> bool {
        self.hold.nested
    }

    /// Asks the server whether the lock is still ours, and has been so far: after a long time, before something that
    /// cannot be taken back. One round trip.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let mut held = LockName::named("nightly-report").lock().acquire(&mut conn)?;
    /// // .. something that takes an hour, then, before a mail goes out:
    /// held.verify()?;
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LockError::Lost`] if the server does not confirm it. The connection is then marked as broken, since nobody
    /// else's lock may be released through it.
    pub fn verify(&mut self) -> Result<(), LockError> {
        self.hold.confirm(self.source.connection())
    }

    /// The caller's model, as the row is under the lock. A nested lock's copy is current: the session has held the
    /// lock since it was read, and it may have changes that are not saved yet.
    pub(crate) fn refreshed<'m, T>(&mut self, model: &'m mut T) -> Result<&'m mut T, LockError>
    where
        T: for<'a> Reload<'a, C::Connection>,
    {
        if let Some(row) = self.fresh(model)? {
            *model = row;
        }
        Ok(model)
    }

    /// The row as it is under the lock; `None` under a nested one.
    pub(crate) fn fresh<T>(&mut self, model: &T) -> Result<Option<T>, LockError>
    where
        T: for<'a> Reload<'a, C::Connection>,
    {
        if self.is_nested() {
            return Ok(None);
        }
        reload::under(&self.hold, model, self.source.connection()).map(Some)
    }

    /// Releases the lock, and tells whether it was still ours.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let mut held = LockName::named("job").lock().acquire(&mut conn)?;
    /// diesel::sql_query("DO RELEASE_ALL_LOCKS()").execute(&mut *held)?; // as if somebody had killed the session
    /// assert!(matches!(held.release(), Err(LockError::Lost { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LockError::Lost`] if the server does not confirm that the lock was ours;
    /// [`LockError::TransactionLeftOpen`] if a transaction was begun under the lock and is still open:
    /// it has been rolled back, and the lock is released; [`LockError::Database`] if Diesel has given up on
    /// the connection meanwhile, so that nobody can tell what was left.
    pub fn release(mut self) -> Result<(), LockError> {
        self.end_once()
    }

    fn end_once(&mut self) -> Result<(), LockError> {
        self.ended = true;
        let conn = self.source.connection();
        let Hold {
            name, depth_before, ..
        } = &self.hold;
        let ended = hold::end(conn, name, *depth_before, |conn| self.hold.release(conn));
        self.hold.ended(ended)
    }
}

impl<S: LockSource> Guard for Held<'_, S> {
    type Connection = S::Connection;

    fn parts(&mut self) -> (&LockName, &mut S::Connection) {
        (&self.hold.name, self.source.connection())
    }

    fn observed(&self) -> Option<&Observed> {
        Some(&self.hold.observed)
    }

    fn end(self, _committed: bool) -> Result<(), LockError> {
        self.release()
    }
}

impl<C: LockSource> Drop for Held<'_, C> {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody is told but who watches; if it fails, the connection has been marked as broken.
            drop(self.end_once());
        }
    }
}

impl<C: LockSource> Deref for Held<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.source
    }
}

impl<C: LockSource> DerefMut for Held<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        self.source
    }
}

impl<C: LockSource> fmt::Debug for Held<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("name", &self.hold.name)
            .field("nested", &self.hold.nested)
            .finish_non_exhaustive()
    }
}
