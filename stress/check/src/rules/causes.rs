//! Whether a fault explains what happened to an operation.

use crate::history::FaultKind;
use crate::run::{Fault, Op, Run};

/// A server with a short `wait_timeout` ends nobody who was silent for less.
const SILENCE: u64 = 900_000_000;

/// The faults, for many questions about them.
pub(super) struct Causes<'r> {
    faults: &'r [Fault],
    first_wait_timeout: Option<u64>,
}

impl<'r> Causes<'r> {
    pub(super) fn new(run: &'r Run) -> Self {
        let first_wait_timeout = run
            .faults
            .iter()
            .filter(|fault| fault.kind == FaultKind::WaitTimeout)
            .map(|fault| fault.begun)
            .min();
        Self {
            faults: &run.faults,
            first_wait_timeout,
        }
    }

    /// Whether a statement of it may have failed between `from` and `to`.
    pub(super) fn fails_statement(&self, op: &Op, from: u64, to: u64) -> bool {
        self.ends_session(op, from, to)
            || self.any(from, to, |fault| {
                fault.kind.ends_statements() && fault.aims_at(op)
            })
    }

    /// Whether its session may have ended then.
    pub(super) fn ends_session(&self, op: &Op, from: u64, to: u64) -> bool {
        // A session that was opened with a short time-out keeps it.
        let silent = to.saturating_sub(from) >= SILENCE;
        silent && self.first_wait_timeout.is_some_and(|first| first <= to)
            || self.any(from, to, |fault| {
                fault.kind.ends_sessions() && fault.aims_at(op)
            })
    }

    /// Whether it may have had to wait for a connection: others' were ended, nobody was answered, or
    /// its process stood still while the time went by.
    pub(super) fn withholds_connection(&self, op: &Op, from: u64, to: u64) -> bool {
        self.any(from, to, |fault| {
            let kind = fault.kind;
            let stopped = kind == FaultKind::WorkerStop && fault.worker() == Some(op.worker);
            stopped || kind.is_outage() || kind.ends_sessions() || kind.ends_statements()
        })
    }

    fn any(&self, from: u64, to: u64, can: impl Fn(&Fault) -> bool) -> bool {
        let until = self.faults.partition_point(|fault| fault.begun <= to);
        let mut faults = self.faults[..until].iter().rev();
        faults.any(|fault| fault.is_felt(from) && can(fault))
    }
}
