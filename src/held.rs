//! [`Held`]: the guard on a connection of the caller's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::slice;

use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::error::LockError;
use crate::guard::{Guard, Parts};
use crate::hold::{self, Hold, Work};
use crate::in_use::InUse;
use crate::name::LockName;
use crate::observe::Observed;
use crate::reload::{self, Reload};
use crate::source::LockSource;

/// A lock that is held, and the connection it is held on.
///
/// Derefs to the connection, which cannot be used in any other way for as long as the lock is held.
/// End it by [`release`](Self::release), which returns an error if the lock was lost. Dropping it
/// releases the lock too, but `Drop` cannot return an error.
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
/// Either way a transaction that was begun under the lock and is still open is rolled back first.
/// If the server does not confirm the release, or the session still holds the lock after its
/// outermost release, the session is ended (`KILL CONNECTION_ID()`), which frees the lock, and the
/// connection is marked as broken, so that a pool discards it.
///
/// # Limitations
///
/// Safe Rust allows two things that no guard can detect in time:
///
/// - **A leaked guard** (`std::mem::forget`, a reference cycle) releases nothing. If it was the
///   outermost one on a pooled connection, the connection returns to the pool with the lock held,
///   until its session ends. A later lock of the same name on that connection then finds itself
///   nested. The `_from` forms know that the connection has just been checked out, and end such a
///   session after its next lock of that name.
/// - **A swapped connection.** The guard derefs mutably, so `std::mem::swap` can put another
///   connection in its place. The release then goes to a session that does not hold the lock: it is
///   [`LockError::Lost`], and that session is ended. The session that holds the lock is wherever
///   the swap has put it, and keeps the lock until it ends.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Held<'c, C: LockSource> {
    source: &'c mut C,
    hold: Hold,
    work: Work,
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
            work: Work::Plain,
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

    /// Whether this session held the lock already when this guard was acquired. The session still
    /// holds the lock when this guard ends.
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

    /// Asks the server whether this session holds the lock at this moment. One round trip: for a
    /// check after a long time, before something that cannot be undone.
    ///
    /// It says nothing about the time before: a lock that was released by raw SQL and acquired anew
    /// in the same session passes.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let mut held = LockName::named("nightly-report").lock().acquire(&mut conn)?;
    /// // Something that takes an hour; then, before a mail goes out:
    /// held.verify()?;
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LockError::Lost`] if the server does not confirm it. The connection is then marked as broken, and the
    /// session is ended with the guard.
    pub fn verify(&mut self) -> Result<(), LockError> {
        self.hold.verify(self.source.connection())
    }

    /// Reloads the model, unless a running closure was given it under this very lock. It is in use as long as what comes
    /// with it.
    pub(crate) fn reloaded<'m, T>(
        &mut self,
        model: &'m mut T,
        name_of: fn(&T) -> LockName,
    ) -> Result<(&'m mut T, InUse), LockError>
    where
        T: for<'a> Reload<'a, C::Connection>,
    {
        let mut in_use = InUse::default();
        let conn = self.source.connection();
        reload::into(&self.hold, model, name_of, conn, &mut in_use)?;
        Ok((model, in_use))
    }

    /// The row as it is under the lock, in use; `None` if the model itself is.
    #[cfg(feature = "derive")]
    pub(crate) fn reloaded_copy<T>(
        &mut self,
        model: &T,
        name_of: fn(&T) -> LockName,
    ) -> Result<(Option<Box<T>>, InUse), LockError>
    where
        T: for<'a> Reload<'a, C::Connection>,
    {
        reload::copy(&self.hold, model, name_of, self.source.connection())
    }

    /// Releases the lock, and returns an error if the lock was lost.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut conn = establish_connection();
    /// let mut held = LockName::named("job").lock().acquire(&mut conn)?;
    /// diesel::sql_query("DO RELEASE_ALL_LOCKS()").execute(&mut *held)?; // as if the session had been killed
    /// assert!(matches!(held.release(), Err(LockError::Lost { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`LockError::Lost`] if the server does not confirm that this session held the lock. The
    ///   session has been ended.
    /// - [`LockError::TransactionLeftOpen`] if a transaction was begun under the lock and is still
    ///   open. It has been rolled back, and the lock is released.
    /// - [`LockError::Database`] if Diesel has given up on the connection meanwhile, so that it is
    ///   unknown whether a transaction was left open. What was open has been rolled back.
    pub fn release(mut self) -> Result<(), LockError> {
        self.end_once()
    }

    fn end_once(&mut self) -> Result<(), LockError> {
        self.ended = true;
        let before = self.hold.before;
        let holds = slice::from_mut(&mut self.hold);
        hold::end(self.source.connection(), holds, before, self.work)
    }
}

impl<S: LockSource> Guard for Held<'_, S> {
    type Connection = S::Connection;

    fn parts(&mut self) -> Parts<'_, S::Connection> {
        Parts {
            conn: self.source.connection(),
            holds: slice::from_ref(&self.hold),
            label: &self.hold.name,
            before: self.hold.before,
            work: &mut self.work,
        }
    }

    fn observed(&self) -> Option<&Observed> {
        Some(&self.hold.observed)
    }

    fn end(mut self) -> Result<(), LockError> {
        self.end_once()
    }
}

impl<C: LockSource> Drop for Held<'_, C> {
    fn drop(&mut self) {
        if !self.ended {
            // `Drop` cannot return an error: telemetry records it, and a failed release has ended the session.
            drop(hold::quietly(|| self.end_once()));
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
