//! [`Held`]: the guard. Acquire, release, drop.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use diesel::result::Error as DieselError;

use crate::backend::sealed::Session;
use crate::backend::{Refusal, Request, Wait};
use crate::error::LockError;
use crate::name::LockName;
use crate::source::LockSource;
use crate::transaction;

/// A lock that is held, and the connection it is held on.
///
/// Derefs to the connection, which cannot be used in any other way for as long as the lock is
/// held. [`release`](Self::release) it to learn whether it was held throughout; dropping it
/// releases it too, but cannot tell.
///
/// ```
/// # include!("doctest_setup.rs");
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
    name: LockName,
    server_name: String,
    nested: bool,
    /// Transactions that were open before the lock, which are not ours to end.
    depth_before: u32,
    ended: bool,
}

impl<'c, C: LockSource> Held<'c, C> {
    pub(crate) fn acquire(
        source: &'c mut C,
        name: LockName,
        wait: Wait,
    ) -> Result<Self, LockError> {
        let start = Instant::now();
        let conn = source.connection();
        let wanted = name.wanted()?;
        let depth = match transaction::depth(conn) {
            Ok(depth) => depth,
            Err(source) => return Err(LockError::Database { name, source }),
        };
        // Inside a transaction a lock would be released too early and taken too late, unless
        // the session holds it around that transaction anyway.
        let only_again = depth > 0 && !transaction::is_test(conn, depth);
        let answer = conn.acquire(Request {
            name: wanted,
            wait,
            only_again,
        });
        match answer {
            Ok(acquired) => Ok(Held {
                source,
                name,
                server_name: acquired.server_name,
                nested: acquired.nested,
                depth_before: depth,
                ended: false,
            }),
            Err(refusal) => Err(match refusal {
                Refusal::Timeout => LockError::Timeout {
                    name,
                    waited: start.elapsed(),
                },
                Refusal::NotHeld => LockError::OpenTransaction { name },
                Refusal::Deadlock(source) => LockError::Deadlock { name, source },
                Refusal::Interrupted(source) => LockError::Interrupted { name, source },
                Refusal::Database(source) => LockError::Database { name, source },
            }),
        }
    }

    /// The lock.
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// Whether this session held the lock already when this guard was acquired. It goes on holding
    /// it when this guard ends.
    pub fn is_nested(&self) -> bool {
        self.nested
    }

    /// Releases the lock, and tells whether it was still ours.
    ///
    /// # Errors
    ///
    /// [`LockError::Lost`] if the server does not confirm that the lock was ours;
    /// [`LockError::TransactionLeftOpen`] if a transaction was begun under the lock and is still open:
    /// it has been rolled back, and the lock is released; [`LockError::Database`] if Diesel has given up on
    /// the connection meanwhile, so that nobody can tell what was left.
    pub fn release(mut self) -> Result<(), LockError> {
        self.end()
    }

    /// The end of a closure that ran under the lock. Its own error goes before any of the release.
    pub(crate) fn finish<R, E: From<LockError>>(self, result: Result<R, E>) -> Result<R, E> {
        let value = result?;
        self.release()?;
        Ok(value)
    }

    /// A transaction that ends with the lock: [`commit`](Self::commit) it, or it is rolled back.
    pub(crate) fn begin(&mut self) -> Result<(), LockError> {
        transaction::begin(self.source.connection()).map_err(|source| self.database_error(source))
    }

    /// If a savepoint was left open, this ends only that, and the release finds the rest.
    pub(crate) fn commit(&mut self) -> Result<(), LockError> {
        transaction::commit(self.source.connection()).map_err(|source| self.database_error(source))
    }

    pub(crate) fn database_error(&self, source: DieselError) -> LockError {
        LockError::Database {
            name: self.name.clone(),
            source,
        }
    }

    fn end(&mut self) -> Result<(), LockError> {
        self.ended = true;
        let ended = self.roll_back().and_then(|left| {
            let released = self.source.connection().release(&self.server_name)?;
            Ok((left, released))
        });
        let name = self.name.clone();
        let lost = match ended {
            Ok((Left::Nothing, true)) => return Ok(()),
            Ok((Left::Transaction, true)) => return Err(LockError::TransactionLeftOpen { name }),
            Ok((Left::Unknown(source), true)) => return Err(LockError::Database { name, source }),
            Ok((_, false)) => None,
            Err(source) => Some(source),
        };
        transaction::mark_broken(self.source.connection());
        Err(LockError::Lost { name, source: lost })
    }

    /// Ends what was begun under the lock and is still open; the release must not come first.
    fn roll_back(&mut self) -> Result<Left, DieselError> {
        let conn = self.source.connection();
        match transaction::depth(conn) {
            Ok(depth) if depth <= self.depth_before => Ok(Left::Nothing),
            Ok(_) => {
                transaction::roll_back_to(conn, self.depth_before)?;
                Ok(Left::Transaction)
            }
            Err(broken) => {
                conn.roll_back_everything()?;
                Ok(Left::Unknown(broken))
            }
        }
    }
}

/// What was still open when the lock ended.
enum Left {
    Nothing,
    Transaction,
    /// Diesel has given up on the connection and cannot tell; nothing on it commits any more.
    Unknown(DieselError),
}

impl<C: LockSource> Drop for Held<'_, C> {
    fn drop(&mut self) {
        if !self.ended {
            // There is nobody to tell; if it fails, `end` has marked the connection as broken.
            drop(self.end());
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
            .field("name", &self.name)
            .field("nested", &self.nested)
            .finish_non_exhaustive()
    }
}
