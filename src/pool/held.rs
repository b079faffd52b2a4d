//! [`PooledHeld`]: the guard that owns its connection, and how it hands it on.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::slice;
use std::thread;

use diesel::r2d2::{ConnectionManager, PooledConnection};

use super::limits::Tenure;
use super::queue::{Phase, Turn};
use super::{LockPool, PoolConnection};
use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::backend::Condition;
use crate::error::LockError;
use crate::guard::{Guard, Parts};
use crate::hold::{self, Closed, Hold, Work};
use crate::in_use::{self, Enclosing, InUse};
use crate::name::LockName;
use crate::observe::Observed;
use crate::reload::{self, Reload};
use crate::transaction;

/// A lock that is held, and the pooled connection it is held on.
///
/// Like [`Held`](crate::Held), but it owns the connection, so that it may be kept and sent to
/// another thread. When it ends, the connection goes back to the pool, or to the next request that
/// waits for the lock in the same [`LockPool`].
///
/// If the server does not confirm the release, or the session still holds the lock after it, the
/// session is ended, and the pool discards the connection.
///
/// # Limitations
///
/// - **A leaked guard** (`std::mem::forget`, a reference cycle) keeps its connection and its lock:
///   the pool is one connection smaller, and the lock is held until the session ends. In a
///   `LockPool` it keeps the lock's turn as well, so later requests for the name time out.
/// - **A swapped connection** (`std::mem::swap` with another pooled one, through `DerefMut`) is
///   found out by the release, which is [`LockError::Lost`]. The session that holds the lock is
///   wherever the swap has put it, and keeps the lock until it ends; see
///   [`Held`](crate::Held#limitations).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
/// # use diesel_advisory_lock::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let locks = LockPool::new(pool()?);
/// let mut held = LockName::named("nightly-report").lock().acquire_from(&locks)?;
/// let count: i64 = notifications::table.count().get_result(&mut *held)?;
/// held.release()?;
/// # assert_eq!(count, 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct PooledHeld<C: PoolConnection> {
    lease: Option<Lease<C>>,
    place: Option<Place<C>>,
}

/// A connection and the lock that its session holds.
struct Lease<C: PoolConnection> {
    conn: PooledConnection<ConnectionManager<C>>,
    hold: Hold,
    work: Work,
}

/// What the holder has in a [`LockPool`].
pub(crate) struct Place<C: PoolConnection> {
    locks: LockPool<C>,
    turn: Turn<LockName, Handed<C>>,
    tenure: Tenure,
}

/// What goes with a turn from one holder to the next. Dropping it releases the lock.
pub(crate) struct Handed<C: PoolConnection> {
    held: PooledHeld<C>,
    tenure: Tenure,
}

impl<C: PoolConnection> PooledHeld<C> {
    /// On a connection that has just been checked out.
    pub(crate) fn new(conn: PooledConnection<ConnectionManager<C>>, mut hold: Hold) -> Self {
        hold.is_of_check_out();
        PooledHeld {
            lease: Some(Lease {
                conn,
                hold,
                work: Work::Plain,
            }),
            place: None,
        }
    }

    pub(crate) fn at(mut self, place: Place<C>) -> Self {
        self.place = Some(place);
        self
    }

    /// The lock.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let locks = LockPool::new(pool()?);
    /// let held = LockName::named("job").lock().acquire_from(&locks)?;
    /// assert_eq!(held.name(), &LockName::named("job"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &LockName {
        &self.lease().hold.name
    }

    /// Asks the server whether this session holds the lock at this moment: see [`Held::verify`](crate::Held::verify).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = LockPool::new(pool()?);
    /// let mut held = LockName::named("job").lock().acquire_from(&locks)?;
    /// held.verify()?;
    /// held.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for `Held::verify`.
    pub fn verify(&mut self) -> Result<(), LockError> {
        let Lease { conn, hold, .. } = self.lease_mut();
        hold.verify::<C>(conn)
    }

    /// The caller's model, reloaded. It is in use as long as what comes with it.
    pub(crate) fn reloaded<'m, T>(
        &mut self,
        model: &'m mut T,
        name_of: fn(&T) -> LockName,
    ) -> Result<(&'m mut T, InUse), LockError>
    where
        T: for<'a> Reload<'a, C>,
    {
        let mut in_use = InUse::default();
        let Lease { conn, hold, .. } = self.lease_mut();
        reload::into::<T, C>(hold, model, name_of, conn, &mut in_use)?;
        Ok((model, in_use))
    }

    /// Releases the lock, and returns an error if the lock was lost.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/doctest_setup.rs"));
    /// # use diesel_advisory_lock::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let locks = LockPool::new(pool()?);
    /// let held = LockName::named("job").lock().acquire_from(&locks)?;
    /// held.release()?; // an error, if it was lost meanwhile
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Held::release`](crate::Held::release).
    pub fn release(mut self) -> Result<(), LockError> {
        self.end_once()
    }

    fn end_once(&mut self) -> Result<(), LockError> {
        match (self.lease.take(), self.place.take()) {
            (Some(lease), Some(place)) => place.hand_on(lease),
            (Some(lease), None) => lease.release(),
            (None, _) => Ok(()),
        }
    }

    fn lease(&self) -> &Lease<C> {
        self.lease.as_ref().expect(ENDED)
    }

    fn lease_mut(&mut self) -> &mut Lease<C> {
        self.lease.as_mut().expect(ENDED)
    }
}

const ENDED: &str = "whatever ends a guard consumes it";

impl<C: PoolConnection> Lease<C> {
    fn release(mut self) -> Result<(), LockError> {
        let Lease { conn, hold, work } = &mut self;
        let before = hold.before;
        hold::end::<C>(conn, slice::from_mut(hold), before, *work)
    }
}

impl<C: PoolConnection> Place<C> {
    pub(crate) fn new(locks: &LockPool<C>, turn: Turn<LockName, Handed<C>>) -> Self {
        Place {
            tenure: locks.limits.tenure(turn.takers()),
            locks: locks.clone(),
            turn,
        }
    }

    /// Ends one tenant's time under the lock, and lets the next one have it: a request that waits here, or a session that waits on the
    /// server.
    fn hand_on(self, mut lease: Lease<C>) -> Result<(), LockError> {
        let Lease { conn, hold, work } = &mut lease;
        let (ended, kept) = hold::guarded::<C, _>(conn, |conn| self.end_or_keep(conn, hold, *work));
        let Some(tenure) = kept else {
            // The connection first: the next may need it.
            drop(lease);
            drop(self.turn);
            return ended;
        };
        lease.work = Work::Plain;
        let held = PooledHeld {
            lease: Some(lease),
            place: None,
        };
        match self.turn.pass(Handed { held, tenure }) {
            Ok(()) => ended,
            Err((turn, handed)) => {
                let released = handed.held.release();
                drop(turn);
                ended.and(released)
            }
        }
    }

    /// With a tenure, the session still has the lock, for the next one.
    fn end_or_keep(
        &self,
        conn: &mut C,
        hold: &mut Hold,
        work: Work,
    ) -> (Result<(), LockError>, Option<Tenure>) {
        let closed = hold::close(conn, || hold.name.clone(), hold.before, work);
        let takers = self.turn.takers();
        let can_go_on = takers > 0
            && !thread::panicking()
            && !matches!(closed, Closed::Failed(_))
            && transaction::works(conn);
        if can_go_on && let Some(tenure) = self.tenure.next() {
            // What was proved before a COMMIT that succeeded is still so.
            let is_fit = match work {
                Work::Committed(condition) => condition == Condition::Clean,
                Work::Plain | Work::Begun => hold.is_fit_for_next(conn),
            };
            if is_fit {
                return (hold.kept(conn, closed, work), Some(tenure));
            }
        } else if can_go_on && !self.locks.is_exhausted() {
            // With no connection left, the pool gets this one, which has been kept from it for long enough.
            let (ended, is_kept) = hold::give_way(conn, hold, closed, work);
            let tenure = is_kept.then(|| self.locks.limits.tenure(takers - 1));
            return (ended, tenure);
        }
        let holds = slice::from_mut(hold);
        (hold::release(conn, holds, closed, work), None)
    }
}

impl<C: PoolConnection> Handed<C> {
    pub(crate) fn to(
        self,
        locks: &LockPool<C>,
        turn: Turn<LockName, Self>,
        asked: Asked,
        attempt: &Attempt,
    ) -> Result<PooledHeld<C>, LockError> {
        let mut held = self.held.at(Place {
            locks: locks.clone(),
            turn,
            tenure: self.tenure,
        });
        let Lease { conn, hold, .. } = held.lease_mut();
        hold.hand_to::<C>(asked, conn, attempt)?;
        Ok(held)
    }
}

impl<C: PoolConnection> Guard for PooledHeld<C> {
    type Connection = C;

    fn parts(&mut self) -> Parts<'_, C> {
        let Lease { conn, hold, work } = self.lease_mut();
        Parts {
            before: hold.before,
            holds: slice::from_ref(hold),
            label: &hold.name,
            conn,
            work,
        }
    }

    fn observed(&self) -> Option<&Observed> {
        Some(&self.lease().hold.observed)
    }

    fn end(mut self) -> Result<(), LockError> {
        self.end_once()
    }

    fn enclosing(&mut self) -> Enclosing {
        if let Some(place) = &self.place {
            place.turn.set_phase(Phase::Running(in_use::thread()));
        }
        Enclosing::enter(std::iter::once(&self.lease().hold.name))
    }
}

impl<C: PoolConnection> Drop for PooledHeld<C> {
    fn drop(&mut self) {
        // `Drop` cannot return an error: telemetry records it, and a failed release has ended the session.
        drop(hold::quietly(|| self.end_once()));
    }
}

impl<C: PoolConnection> Deref for PooledHeld<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.lease().conn
    }
}

impl<C: PoolConnection> DerefMut for PooledHeld<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.lease_mut().conn
    }
}

impl<C: PoolConnection> fmt::Debug for PooledHeld<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledHeld")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
