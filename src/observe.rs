//! What `tracing` and `metrics` are told of each lock; without these features, nothing, at no cost.

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
pub(crate) use off::{Label, Observed, Scope, look_up_failed, not_shortened};
#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) use on::{Label, Observed, Scope, look_up_failed, not_shortened};
