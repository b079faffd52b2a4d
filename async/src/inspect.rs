//! Which session holds which lock, and which sessions wait for it.

use diesel_advisory_lock::__core;
use diesel_advisory_lock::{LockError, LockName};

pub use diesel_advisory_lock::inspect::{
    Activity, HeldLock, HoldDuration, InspectError, LockStatus, LockedObject, ParsedLockName,
    PostgresKey, Session,
};

use crate::connection::LockSource;
use crate::driver::Via;

/// Lists the locks of this library that are held, with their holders and waiters: the blocking
/// crate's [`held_locks`](diesel_advisory_lock::inspect::held_locks).
///
/// # Errors
///
/// [`InspectError`] if the server does not list its locks, or not all of them.
pub async fn held_locks<S: LockSource>(conn: &mut S) -> Result<Vec<HeldLock>, InspectError> {
    __core::list(&mut Via(conn)).await
}

/// Returns whether a lock is free, and otherwise its holder: the blocking crate's
/// [`LockName::status`].
///
/// # Errors
///
/// [`LockError::InvalidName`], or [`LockError::Database`].
pub async fn status<S: LockSource>(name: &LockName, conn: &mut S) -> Result<LockStatus, LockError> {
    __core::status(name, &mut Via(conn)).await
}
