//! The life of a lock, for `tracing` and `metrics`.

#![cfg_attr(
    not(all(feature = "tracing", feature = "metrics")),
    allow(
        dead_code,
        unused_variables,
        reason = "either of them wants what the other does not"
    )
)]

use std::cell::Cell;
use std::time::{Duration, Instant};

use diesel::result::Error as DieselError;

use crate::attempt::Attempt;
use crate::error::LockError;
use crate::name::LockName;
use crate::policy::DEFAULT_TIMEOUT;
use crate::table::TableIdentity;

use super::Ended;

#[cfg(feature = "metrics")]
use super::numbers::{self, Series};
#[cfg(feature = "tracing")]
use super::spans::{self, Span};

/// What locks are counted by: their table, and nothing of which there may be many. A thin reference, since every
/// error has a name, and so a label, in it.
#[derive(Clone, Copy)]
pub(crate) struct Label(Option<&'static TableIdentity>);

/// Of a table that is a value: there may be any number of them.
static DYNAMIC_TABLE: TableIdentity = TableIdentity::unnamed();

impl Label {
    pub(crate) const NO_TABLE: Self = Label(None);
    pub(crate) const DYNAMIC: Self = Label(Some(&DYNAMIC_TABLE));

    pub(crate) fn table(table: &'static TableIdentity) -> Self {
        Label(Some(table))
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn table_name(self) -> Option<&'static str> {
        self.0.map(|table| match table.name.as_str() {
            "" => "(dynamic)",
            name => name,
        })
    }
}

/// A lock that has been asked for, until it has ended.
pub(crate) struct Observed {
    #[cfg(feature = "tracing")]
    span: Span,
    #[cfg(feature = "metrics")]
    series: &'static Series,
    found_taken: bool,
    held: Cell<Option<Holding>>,
}

#[derive(Clone, Copy)]
struct Holding {
    since: Instant,
    nested: bool,
    /// A longer hold is an event.
    expected: Duration,
}

impl Observed {
    pub(crate) fn asked(name: &LockName) -> Self {
        Self::asked_within(name, None)
    }

    /// One of several: its span is within that of the one before.
    pub(crate) fn asked_within(name: &LockName, outer: Option<&Observed>) -> Self {
        Observed {
            #[cfg(feature = "tracing")]
            span: Span::new(name, outer.map(|outer| &outer.span)),
            #[cfg(feature = "metrics")]
            series: numbers::of(name.label()),
            found_taken: false,
            held: Cell::new(None),
        }
    }

    /// Somebody else has it.
    pub(crate) fn found_taken(&mut self) {
        self.found_taken = true;
    }

    pub(crate) fn refused(self, attempt: &Attempt, error: &LockError) {
        let wait = attempt.elapsed();
        let is_timeout = matches!(error, LockError::Timeout { .. });
        #[cfg(feature = "tracing")]
        self.span.refused(wait, attempt, error);
        #[cfg(feature = "metrics")]
        {
            self.series.waited(wait);
            if self.found_taken || is_timeout || matches!(error, LockError::Deadlock { .. }) {
                self.series.contended();
            }
            if is_timeout && !attempt.is_try() {
                self.series.timed_out();
            }
        }
    }

    pub(crate) fn acquired(&mut self, attempt: &Attempt, nested: bool) {
        let wait = attempt.elapsed();
        #[cfg(feature = "tracing")]
        self.span.acquired(wait, nested);
        // A lock that is held already is not had again.
        #[cfg(feature = "metrics")]
        if !nested {
            self.series.waited(wait);
            if self.found_taken {
                self.series.contended();
            }
        }
        self.held.set(Some(Holding {
            since: Instant::now(),
            nested,
            expected: attempt.longest_hold().unwrap_or(DEFAULT_TIMEOUT),
        }));
    }

    pub(crate) fn reread(&self) {
        #[cfg(feature = "tracing")]
        self.span.reread();
    }

    /// Once; what comes after the end is no part of it.
    pub(crate) fn ended(&self, name: &LockName, ended: Ended<'_>) {
        let Some(held) = self.held.take() else {
            return;
        };
        let hold = held.since.elapsed();
        #[cfg(feature = "tracing")]
        self.span.ended(name, hold, held.expected, ended);
        #[cfg(feature = "metrics")]
        {
            if !held.nested {
                self.series.held(hold);
                if matches!(ended, Ended::Failed(LockError::Lost { .. })) {
                    self.series.lost();
                }
            }
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope {
            #[cfg(feature = "tracing")]
            span: self.span.clone(),
        }
    }
}

/// Within which a closure runs.
#[derive(Default)]
pub(crate) struct Scope {
    #[cfg(feature = "tracing")]
    span: Span,
}

impl Scope {
    pub(crate) fn run<R>(self, body: impl FnOnce() -> R) -> R {
        #[cfg(feature = "tracing")]
        return self.span.run(body);
        #[cfg(not(feature = "tracing"))]
        body()
    }
}

/// A request waits for its turn in a `LockPool`, until `wait` returns.
pub(crate) fn while_queued<R>(name: &LockName, wait: impl FnOnce() -> R) -> R {
    #[cfg(feature = "metrics")]
    let queued = {
        struct Queued(&'static Series);

        impl Drop for Queued {
            fn drop(&mut self) {
                self.0.queued(-1.0);
            }
        }

        let series = numbers::of(name.label());
        series.queued(1.0);
        Queued(series)
    };
    let result = wait();
    // Before the end of the scope: a recorder may panic, and Rust leaks the value of a block whose locals panic as they
    // are dropped (rust-lang/rust#47949).
    #[cfg(feature = "metrics")]
    drop(queued);
    result
}

/// A timeout does not become another error by this.
pub(crate) fn look_up_failed(server_name: &str, error: &DieselError) {
    #[cfg(feature = "tracing")]
    spans::look_up_failed(server_name, error);
}

/// A session whose outermost lock has ended holds it still.
pub(crate) fn still_held(name: &LockName) {
    #[cfg(feature = "tracing")]
    spans::still_held(name);
}

pub(crate) fn not_shortened(name: &LockName, error: &DieselError) {
    #[cfg(feature = "tracing")]
    spans::not_shortened(name, error);
}
