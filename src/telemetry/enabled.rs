//! Telemetry with `tracing`, `metrics` or both.

#![cfg_attr(
    not(all(feature = "tracing", feature = "metrics")),
    allow(dead_code, unused_variables, reason = "each feature uses a part of it")
)]

use std::time::{Duration, Instant};

use diesel::result::Error as DieselError;

use crate::deadline::Deadline;
use crate::error::LockError;
use crate::name::LockName;
use crate::options::DEFAULT_TIMEOUT;

use super::ended::Ended;

#[cfg(feature = "metrics")]
use super::metrics::{self, Series};
#[cfg(feature = "tracing")]
use super::tracing::{self, Span};

/// The record of one request for a lock, until the lock has ended.
pub(crate) struct LockTelemetry {
    #[cfg(feature = "tracing")]
    span: Span,
    #[cfg(feature = "metrics")]
    series: &'static Series,
    contended: bool,
    holding: Option<Holding>,
    /// The call has ended, and the session keeps the lock for the next one.
    kept: bool,
}

#[derive(Clone, Copy)]
struct Holding {
    since: Instant,
    reentrant: bool,
    /// An event is emitted for a longer hold.
    expected: Duration,
}

impl LockTelemetry {
    /// A call requests the lock. In a set, the span of each lock is a child of the previous one's.
    pub(crate) fn requested(name: &LockName, outer: Option<&LockTelemetry>) -> Self {
        LockTelemetry {
            #[cfg(feature = "tracing")]
            span: Span::new(name, outer.map(|outer| &outer.span)),
            #[cfg(feature = "metrics")]
            series: metrics::of(name.label()),
            contended: false,
            holding: None,
            kept: false,
        }
    }

    /// Another session, or another request of this process, holds the lock.
    pub(crate) fn contended(&mut self) {
        self.contended = true;
    }

    pub(crate) fn not_acquired(self, deadline: &Deadline, error: &LockError) {
        let wait = deadline.elapsed();
        let is_timeout = matches!(error, LockError::Timeout { .. });
        #[cfg(feature = "tracing")]
        self.span.not_acquired(wait, deadline, error);
        #[cfg(feature = "metrics")]
        {
            self.series.waited(wait);
            if self.contended || is_timeout || matches!(error, LockError::Deadlock { .. }) {
                self.series.contended();
            }
            if is_timeout && !deadline.is_try() {
                self.series.timed_out();
            }
        }
    }

    pub(crate) fn acquired(&mut self, deadline: &Deadline, reentrant: bool) {
        let wait = deadline.elapsed();
        #[cfg(feature = "tracing")]
        self.span.acquired(wait, reentrant);
        // A re-entrant lock is not counted again.
        #[cfg(feature = "metrics")]
        if !reentrant {
            self.series.waited(wait);
            if self.contended {
                self.series.contended();
            }
        }
        self.holding = Some(Holding {
            since: Instant::now(),
            reentrant,
            expected: deadline.keep_alive().unwrap_or(DEFAULT_TIMEOUT),
        });
    }

    pub(crate) fn reloaded(&self) {
        #[cfg(feature = "tracing")]
        self.span.reloaded();
    }

    /// The lock has ended. Only the first call records anything.
    pub(crate) fn ended(&mut self, name: &LockName, ended: Ended<'_>) {
        let Some(holding) = self.holding.take() else {
            if std::mem::take(&mut self.kept) {
                self.failed(name, ended, false);
            }
            return;
        };
        let hold = holding.since.elapsed();
        #[cfg(feature = "tracing")]
        self.span.ended(name, hold, holding.expected, ended);
        #[cfg(feature = "metrics")]
        if !holding.reentrant {
            self.series.held(hold);
        }
        self.failed(name, ended, holding.reentrant);
    }

    /// The call has ended, and the session keeps the lock for the next one. If that one has left the
    /// queue, the lock is released, and an error of the release is recorded, too.
    pub(crate) fn kept(&mut self, name: &LockName, ended: Ended<'_>) {
        self.ended(name, ended);
        self.kept = true;
    }

    fn failed(&self, name: &LockName, ended: Ended<'_>, reentrant: bool) {
        #[cfg(feature = "tracing")]
        self.span.failed(name, ended);
        #[cfg(feature = "metrics")]
        if !reentrant && matches!(ended, Ended::Failed(LockError::Lost { .. })) {
            self.series.lost();
        }
    }

    pub(crate) fn span(&self) -> Scope {
        Scope {
            #[cfg(feature = "tracing")]
            span: self.span.clone(),
        }
    }
}

/// The span that a closure runs in.
#[derive(Default)]
pub struct Scope {
    #[cfg(feature = "tracing")]
    span: Span,
}

impl Scope {
    /// Runs the closure, or polls it, in the span.
    pub fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        #[cfg(feature = "tracing")]
        return self.span.run(body);
        #[cfg(not(feature = "tracing"))]
        body()
    }
}

/// Counts a request that waits in the queue of a `LockPool`, until the result is dropped or ended.
pub(crate) fn queued(name: &LockName) -> Queued {
    #[cfg(feature = "metrics")]
    let series = metrics::of(name.label());
    #[cfg(feature = "metrics")]
    series.queued(1.0);
    Queued {
        #[cfg(feature = "metrics")]
        series,
    }
}

/// A request that waits.
pub(crate) struct Queued {
    #[cfg(feature = "metrics")]
    series: &'static Series,
}

impl Queued {
    /// Ends it before the end of a block: a recorder may panic, and a panic there leaks the block's
    /// value (rust-lang/rust#47949).
    pub(crate) fn end(self) {}
}

impl Drop for Queued {
    fn drop(&mut self) {
        #[cfg(feature = "metrics")]
        self.series.queued(-1.0);
    }
}

/// The holder of a lock could not be looked up. The call still returns its timeout.
pub(crate) fn holder_lookup_failed(key: &str, error: &DieselError) {
    #[cfg(feature = "tracing")]
    tracing::holder_lookup_failed(key, error);
}

/// A session still held a lock after its outermost release.
pub(crate) fn still_held(name: &LockName) {
    #[cfg(feature = "tracing")]
    tracing::still_held(name);
}

/// The session's idle timeout could not be restored.
pub(crate) fn idle_timeout_not_restored(name: &LockName, error: &DieselError) {
    #[cfg(feature = "tracing")]
    tracing::idle_timeout_not_restored(name, error);
}
