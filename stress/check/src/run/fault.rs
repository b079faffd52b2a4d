//! A fault of the coordinator, and the calls that it can have hit.

use super::Op;
use crate::history::{FaultKind, OpFault};

/// How long after its end a fault may still affect calls: the machine is busy, and a server needs
/// time to notice that a client has gone.
pub const AFTERMATH: u64 = 1_000_000_000;

/// What the history says of a fault.
#[derive(Debug)]
pub struct Fault {
    pub id: u32,
    pub kind: FaultKind,
    pub target: String,
    pub begun: u64,
    /// `None` if the run ended first.
    pub over: Option<u64>,
    /// Whether the fault hit something.
    pub hit: bool,
}

impl Fault {
    /// The value of a key in the target.
    pub fn target(&self, key: &str) -> Option<&str> {
        self.target
            .split(',')
            .filter_map(|part| part.split_once('='))
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    pub fn session(&self) -> Option<u64> {
        self.target("session")?.parse().ok()
    }

    pub fn worker(&self) -> Option<u32> {
        self.target("worker")?.parse().ok()
    }

    pub fn end(&self) -> u64 {
        self.over.unwrap_or(u64::MAX)
    }

    /// For how much of the time between `from` and `to` it lasted.
    pub fn overlap(&self, from: u64, to: u64) -> u64 {
        self.end().min(to).saturating_sub(self.begun.max(from))
    }

    /// Whether it may still have affected calls at this time, provided that it had begun.
    pub fn may_affect(&self, from: u64) -> bool {
        self.hit && self.end().saturating_add(AFTERMATH) >= from
    }

    /// Whether it can have hit the session of a call. If the session is unknown, it can.
    pub fn can_hit(&self, op: &Op) -> bool {
        match self.kind {
            FaultKind::CutOne
            | FaultKind::CutAll
            | FaultKind::CutBeforeCommit
            | FaultKind::CutAfterCommit => op.goes_through_proxy(),
            // The session of a swapped connection is unknown.
            _ if op.had_fault(|it| it == OpFault::Swap) => true,
            _ => match (self.session(), op.session) {
                (Some(hit), Some(session)) => hit == session,
                _ => true,
            },
        }
    }
}
