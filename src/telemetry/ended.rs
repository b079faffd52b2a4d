//! [`Ended`]: how a lock ended.

use crate::error::LockError;

/// How a lock ended.
#[cfg_attr(
    not(feature = "tracing"),
    allow(dead_code, reason = "only `tracing` reads all of it")
)]
#[derive(Clone, Copy)]
pub(crate) enum Ended<'e> {
    Released,
    /// The closure of a `.transaction(..)` form returned an error, or panicked.
    RolledBack,
    /// The session has been ended in a `Drop`, which releases its locks.
    Abandoned,
    /// This error is returned, unless the call returns another one.
    Failed(&'e LockError),
    /// The work is committed, and the closure's value is returned instead of this error.
    AfterCommit(&'e LockError),
}
