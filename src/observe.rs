//! What `tracing` and `metrics` are told of each lock; without these features, nothing, at no cost.

use crate::error::LockError;

#[cfg(feature = "metrics")]
mod numbers;
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
mod off;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod on;
#[cfg(feature = "tracing")]
mod spans;

#[cfg(feature = "metrics")]
pub use numbers::describe_metrics;
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
pub(crate) use off::{
    Label, Observed, Scope, look_up_failed, not_shortened, still_held, while_queued,
};
#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) use on::{
    Label, Observed, Scope, look_up_failed, not_shortened, still_held, while_queued,
};

/// How a lock ended.
#[cfg_attr(
    not(feature = "tracing"),
    allow(dead_code, reason = "read in full by `tracing` alone")
)]
#[derive(Clone, Copy)]
pub(crate) enum Ended<'e> {
    Released,
    /// As the caller wanted: its `.transaction(..)` returned an error, or panicked.
    RolledBack,
    /// The caller gets this error, or would get it if it did not have another one.
    Failed(&'e LockError),
    /// The work is committed, and the caller gets its value.
    AfterCommit(&'e LockError),
}
