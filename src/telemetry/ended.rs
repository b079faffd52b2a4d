//! [`Ended`]: how a lock ended, as telemetry records it.

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
    /// The caller gets this error, or would get it if it did not have another one.
    Failed(&'e LockError),
    /// The work is committed, and the caller gets its value.
    AfterCommit(&'e LockError),
}
