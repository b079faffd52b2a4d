//! The records of each lock in `tracing` and `metrics`. Without these features they cost nothing.

#[cfg(any(feature = "tracing", feature = "metrics"))]
mod enabled;
mod ended;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
mod noop;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(any(feature = "tracing", feature = "metrics"))]
use enabled as telemetry;
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
use noop as telemetry;

#[cfg(feature = "metrics")]
pub use self::metrics::describe_metrics;
pub(crate) use ended::Ended;
pub use telemetry::Scope;
pub(crate) use telemetry::{
    LockTelemetry, holder_lookup_failed, idle_timeout_not_restored, queued, still_held,
};
