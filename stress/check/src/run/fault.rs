//! Something that was made to go wrong, and whom it may have hit.

use super::Op;
use crate::history::{FaultKind, OpFault};

/// What a fault has done may be noticed a while after it is over: the machine is busy, and a server does
/// not see at once that a client has gone.
pub const AFTERMATH: u64 = 1_000_000_000;

/// All that the history says of a fault.
#[derive(Debug)]
pub struct Fault {
    pub id: u32,
    pub kind: FaultKind,
    pub target: String,
    pub begun: u64,
    /// `None`: the run ended first.
    pub over: Option<u64>,
    pub struck: bool,
}

impl Fault {
    /// A part of the target.
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

    /// How much of the time between `from` and `to` it lasted.
    pub fn overlap(&self, from: u64, to: u64) -> u64 {
        self.end().min(to).saturating_sub(self.begun.max(from))
    }

    /// Whether it may still have been felt then, if it had begun.
    pub fn is_felt(&self, from: u64) -> bool {
        self.struck && self.end().saturating_add(AFTERMATH) >= from
    }

    /// Whether it can have hit the session that an operation was on, if that is known, or was going
    /// to have.
    pub fn aims_at(&self, op: &Op) -> bool {
        match self.kind {
            FaultKind::CutOne
            | FaultKind::CutAll
            | FaultKind::CutBeforeCommit
            | FaultKind::CutAfterCommit => op.goes_through_proxy(),
            // The session of a connection that a body has swapped in is unknown.
            _ if op.was_struck(|it| it == OpFault::Swap) => true,
            _ => match (self.session(), op.session) {
                (Some(hit), Some(session)) => hit == session,
                _ => true,
            },
        }
    }
}
