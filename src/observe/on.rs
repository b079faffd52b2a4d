//! The life of a lock, as it is told to whoever watches.

#![cfg_attr(
    not(all(feature = "tracing", feature = "metrics")),
    allow(
        dead_code,
        unused_variables,
        reason = "either of them wants what the other does not"
    )
)]

use std::time::{Duration, Instant};

use diesel::result::Error as DieselError;

use crate::attempt::Attempt;
use crate::error::LockError;
use crate::name::LockName;
use crate::policy::DEFAULT_TIMEOUT;
use crate::table::TableIdentity;

#[cfg(feature = "metrics")]
use super::numbers;
#[cfg(feature = "tracing")]
use super::spans::{self, Span};

/// What locks are counted by: their table, and nothing of which there may be many. A thin reference, since every
/// error has a name, and so a label, in it.
#[derive(Clone, Copy)]
pub(crate) struct Label(Option<&'static TableIdentity>);

impl Label {
    pub(crate) const NO_TABLE: Self = Label(None);

    pub(crate) fn table(table: &'static TableIdentity) -> Self {
        Label(Some(table))
    }

    pub(super) fn text(self) -> &'static str {
        self.0.map_or("(none)", |table| &table.name)
    }
}

/// A lock that has been asked for, until it has ended.
pub(crate) struct Observed {
    #[cfg(feature = "tracing")]
    span: Span,
    #[cfg(feature = "metrics")]
    label: Label,
    found_taken: bool,
    held: Option<Holding>,
}

struct Holding {
    since: Instant,
    nested: bool,
    /// Longer is told of.
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
            label: name.label(),
            found_taken: false,
            held: None,
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
            numbers::waited(self.label, wait);
            if self.found_taken || is_timeout || matches!(error, LockError::Deadlock { .. }) {
                numbers::contended(self.label);
            }
            if is_timeout && !attempt.is_try() {
                numbers::timed_out(self.label);
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
            numbers::waited(self.label, wait);
            if self.found_taken {
                numbers::contended(self.label);
            }
        }
        self.held = Some(Holding {
            since: Instant::now(),
            nested,
            expected: attempt.longest_hold().unwrap_or(DEFAULT_TIMEOUT),
        });
    }

    pub(crate) fn reread(&self) {
        #[cfg(feature = "tracing")]
        self.span.reread();
    }

    /// Once; what comes after the end is no part of it.
    pub(crate) fn ended(&mut self, name: &LockName, ended: &Result<(), LockError>) {
        let Some(held) = self.held.take() else {
            return;
        };
        let hold = held.since.elapsed();
        #[cfg(feature = "tracing")]
        self.span.ended(name, hold, held.expected, ended);
        #[cfg(feature = "metrics")]
        {
            if !held.nested {
                numbers::held(self.label, hold);
                if matches!(ended, Err(LockError::Lost { .. })) {
                    numbers::lost(self.label);
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

/// A time-out does not become another error by this.
pub(crate) fn look_up_failed(server_name: &str, error: &DieselError) {
    #[cfg(feature = "tracing")]
    spans::look_up_failed(server_name, error);
}

pub(crate) fn not_shortened(name: &LockName, error: &DieselError) {
    #[cfg(feature = "tracing")]
    spans::not_shortened(name, error);
}
