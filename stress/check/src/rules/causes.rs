//! Whether a fault explains what happened to a call.

use crate::history::{FaultKind, OpFault};
use crate::run::{Fault, Op, Run};

/// A server with a short `wait_timeout` ends no session that was idle for less.
const IDLE: u64 = 900_000_000;

pub(super) struct Causes<'r> {
    faults: &'r [Fault],
    first_wait_timeout: Option<u64>,
    /// The calls that have swapped their connection.
    swapped: Vec<&'r Op>,
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
            swapped: run.ops.iter().filter(|op| op.swapped().is_some()).collect(),
            first_wait_timeout,
        }
    }

    /// Whether a fault may have failed a statement of the call between `from` and `to`.
    pub(super) fn fails_statement(&self, op: &Op, from: u64, to: u64) -> bool {
        self.ends_session(op, from, to)
            || self.any(from, to, |fault| {
                fault.kind.ends_statements() && fault.can_hit(op)
            })
    }

    /// Whether a fault may have ended the session of the call between `from` and `to`.
    pub(super) fn ends_session(&self, op: &Op, from: u64, to: u64) -> bool {
        // A session keeps the `wait_timeout` with which it began.
        let idle = to.saturating_sub(from) >= IDLE;
        idle && self.first_wait_timeout.is_some_and(|first| first <= to)
            || runtime_is_shut_down(op, to)
            || self.any(from, to, |fault| {
                fault.kind.ends_sessions() && fault.can_hit(op)
            })
    }

    /// Whether the call may have waited for a connection: other sessions had ended, the server did
    /// not answer, or the process was stopped.
    pub(super) fn withholds_connection(&self, op: &Op, from: u64, to: u64) -> bool {
        runtime_is_shut_down(op, to)
            || self.any(from, to, |fault| {
                let kind = fault.kind;
                let stopped = kind == FaultKind::WorkerStop && fault.worker() == Some(op.worker);
                stopped || kind.is_outage() || kind.ends_sessions() || kind.ends_statements()
            })
    }

    /// Whether the server may have answered late between `from` and `to`.
    pub(super) fn is_outage(&self, op: &Op, from: u64, to: u64) -> bool {
        self.any(from, to, |fault| {
            fault.kind.is_outage() && fault.can_hit(op)
        })
    }

    /// Whether a call worked on the same rows without their locks, or this one did, until `to`.
    pub(super) fn is_beside_swap(&self, op: &Op, to: u64) -> bool {
        self.swapped.iter().any(|other| {
            let swapped = other.swapped().is_some_and(|swapped| swapped <= to);
            let has_name = other.names.iter().any(|name| op.names.contains(name));
            swapped && has_name && op.acquired.is_some_and(|from| from <= other.last())
        })
    }

    fn any(&self, from: u64, to: u64, can: impl Fn(&Fault) -> bool) -> bool {
        let until = self.faults.partition_point(|fault| fault.begun <= to);
        let mut faults = self.faults[..until].iter().rev();
        faults.any(|fault| fault.may_affect(from) && can(fault))
    }
}

/// Whether the runtime of the call was shut down before this time.
fn runtime_is_shut_down(op: &Op, to: u64) -> bool {
    let mut faults = op.faults.iter();
    faults.any(|&(time, fault)| fault == OpFault::RuntimeShutdown && time <= to)
}
