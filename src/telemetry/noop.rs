//! Telemetry without `tracing` and `metrics`: the functions do nothing.

use diesel::result::Error as DieselError;

use crate::deadline::Deadline;
use crate::error::LockError;
use crate::name::LockName;

use super::ended::Ended;

pub(crate) struct LockTelemetry;

impl LockTelemetry {
    pub(crate) fn requested(_name: &LockName, _outer: Option<&LockTelemetry>) -> Self {
        LockTelemetry
    }

    pub(crate) fn contended(&mut self) {}

    pub(crate) fn not_acquired(self, _deadline: &Deadline, _error: &LockError) {}

    pub(crate) fn acquired(&mut self, _deadline: &Deadline, _reentrant: bool) {}

    pub(crate) fn reloaded(&self) {}

    pub(crate) fn ended(&mut self, _name: &LockName, _ended: Ended<'_>) {}

    pub(crate) fn kept(&mut self, _name: &LockName, _ended: Ended<'_>) {}

    pub(crate) fn span(&self) -> Scope {
        Scope
    }
}

/// The span that a closure runs in.
#[derive(Default)]
pub struct Scope;

impl Scope {
    /// Runs the closure, or polls it, in the span.
    pub fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        body()
    }
}

pub(crate) fn queued(_name: &LockName) -> Queued {
    Queued
}

pub(crate) struct Queued;

impl Queued {
    pub(crate) fn end(self) {}
}

pub(crate) fn holder_lookup_failed(_server_name: &str, _error: &DieselError) {}

pub(crate) fn idle_timeout_not_restored(_name: &LockName, _error: &DieselError) {}

pub(crate) fn still_held(_name: &LockName) {}
