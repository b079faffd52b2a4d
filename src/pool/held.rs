//! [`PooledHeld`]: the guard that owns its connection, and how it hands it on.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::thread;

use diesel::r2d2::{ConnectionManager, PooledConnection};

use super::limits::Tenure;
use super::queue::Turn;
use super::{LockPool, PoolConnection};
use crate::asked::Asked;
use crate::attempt::Attempt;
use crate::error::LockError;
use crate::guard::Guard;
use crate::hold::{self, Hold};
use crate::name::LockName;
use crate::observe::Observed;
use crate::reload::{self, Reload};
use crate::transaction;

/// A lock that is held, and the pooled connection it is held on.
///
/// What [`Held`](crate::Held) is, but it owns the connection, so that it may be kept and sent to
/// another thread. When it ends, the connection goes back to the pool, or to the next who waits for the lock in
/// the same [`LockPool`].
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
    pub(crate) fn new(conn: PooledConnection<ConnectionManager<C>>, hold: Hold) -> Self {
        PooledHeld {
            lease: Some(Lease { conn, hold }),
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

    /// Asks the server whether the lock is still ours: see [`Held::verify`](crate::Held::verify).
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
        let Lease { conn, hold } = self.lease_mut();
        hold.confirm::<C>(conn)
    }

    /// The caller's model, as the row is under the lock. Always read: a session that was just checked out knows nothing
    /// of it, also if somebody had put the connection back with the lock held.
    pub(crate) fn refreshed<'m, T>(&mut self, model: &'m mut T) -> Result<&'m mut T, LockError>
    where
        T: for<'a> Reload<'a, C>,
    {
        let Lease { conn, hold } = self.lease_mut();
        *model = reload::under::<T, C>(hold, model, conn)?;
        Ok(model)
    }

    /// Releases the lock, and tells whether it was still ours.
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
        self.end_once(false)
    }

    fn end_once(&mut self, committed: bool) -> Result<(), LockError> {
        match (self.lease.take(), self.place.take()) {
            (Some(lease), Some(place)) => place.hand_on(lease, committed),
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
    fn end(
        &mut self,
        give_back: impl FnOnce(&Hold, &mut C) -> Result<(), LockError>,
    ) -> Result<(), LockError> {
        let Lease { conn, hold } = self;
        hold::end::<C>(conn, &hold.name, hold.depth_before, |conn| {
            give_back(hold, conn)
        })
    }

    fn release(mut self) -> Result<(), LockError> {
        let ended = self.end(release);
        self.hold.ended(ended)
    }
}

fn release<C: PoolConnection>(hold: &Hold, conn: &mut C) -> Result<(), LockError> {
    let released = hold.release(conn);
    if hold.nested {
        // Somebody had put the connection back with this lock held, and it is still.
        transaction::mark_broken(conn);
    }
    released
}

impl<C: PoolConnection> Place<C> {
    pub(crate) fn new(locks: &LockPool<C>, turn: Turn<LockName, Handed<C>>) -> Self {
        Place {
            tenure: locks.limits.tenure(turn.takers()),
            locks: locks.clone(),
            turn,
        }
    }

    fn hand_on(self, mut lease: Lease<C>, committed: bool) -> Result<(), LockError> {
        let mut kept = None;
        let ended = lease.end(|hold, conn| {
            // The next has times of its own.
            hold.shorten(conn);
            let takers = self.turn.takers();
            if takers == 0 || thread::panicking() || hold.nested || !transaction::works(conn) {
                return release(hold, conn);
            }
            if let Some(tenure) = self.tenure.next() {
                if !committed {
                    hold.confirm(conn)?;
                }
                kept = Some(tenure);
            } else if self.locks.is_exhausted() {
                // Somebody may wait for a connection, which has been kept from the pool for long enough.
                return release(hold, conn);
            } else if hold.give_way(conn)? {
                kept = Some(self.locks.limits.tenure(takers - 1));
            }
            Ok(())
        });
        let ended = lease.hold.ended(ended);
        let Some(tenure) = kept else {
            // The connection first: the next may need it.
            drop(lease);
            drop(self.turn);
            return ended;
        };
        let held = PooledHeld::new(lease.conn, lease.hold);
        match self.turn.pass(Handed { held, tenure }) {
            Ok(()) => ended,
            Err((turn, handed)) => {
                let released = handed.held.release();
                drop(turn);
                ended.and(released)
            }
        }
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
        let Lease { conn, hold } = held.lease_mut();
        hold.hand_to::<C>(asked, conn, attempt)?;
        Ok(held)
    }
}

impl<C: PoolConnection> Guard for PooledHeld<C> {
    type Connection = C;

    fn parts(&mut self) -> (&LockName, &mut C) {
        let Lease { conn, hold } = self.lease_mut();
        (&hold.name, conn)
    }

    fn observed(&self) -> Option<&Observed> {
        Some(&self.lease().hold.observed)
    }

    fn end(mut self, committed: bool) -> Result<(), LockError> {
        self.end_once(committed)
    }
}

impl<C: PoolConnection> Drop for PooledHeld<C> {
    fn drop(&mut self) {
        // Nobody is told but who watches; if it fails, the connection has been marked as broken.
        drop(self.end_once(false));
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
