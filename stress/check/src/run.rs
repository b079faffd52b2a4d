//! A whole run, put together from the files of its directory.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::history::{FaultKind, WorkerState};

mod fault;
mod op;
mod read;
mod texts;

pub use fault::{AFTERMATH, Fault};
pub use op::Op;

/// Everything that is known about a run.
#[derive(Debug, Default)]
pub struct Run {
    /// Seed, server and the like, as the coordinator wrote them.
    pub facts: BTreeMap<String, String>,
    /// Sorted by the time of their invocation.
    pub ops: Vec<Op>,
    /// Sorted by the time of their beginning.
    pub faults: Vec<Fault>,
    pub workers: BTreeMap<u32, Worker>,
    pub drained: Vec<Drained>,
    pub unconnected: usize,
    /// What was in the counters at the end.
    pub finals: BTreeMap<String, i64>,
    /// What was found at the end.
    pub left: Vec<(String, String)>,
    /// Whether the coordinator came to its end.
    pub done: bool,
    /// Lines that a killed process did not complete.
    pub torn: usize,
    /// For each lock, the begins and ends in the order in which they reached its file.
    pub effects: BTreeMap<String, Vec<Effect>>,
    /// From when to when the server was being killed.
    kills: Vec<(u64, u64)>,
    /// The first and the last time in any file.
    pub from: u64,
    pub to: u64,
}

#[derive(Debug, Default)]
pub struct Worker {
    pub started: Option<u64>,
    pub ended: Option<(u64, WorkerState)>,
    /// When it wrote its last event.
    pub wrote: Option<u64>,
    /// That event was the one that says so.
    pub finished: bool,
}

/// An idle connection that was asked for its locks.
#[derive(Debug)]
pub struct Drained {
    pub worker: u32,
    pub time: u64,
    pub source: String,
    pub session: u64,
    pub names: Option<String>,
}

/// A line in a file that bodies write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    pub begin: bool,
    pub worker: u32,
    pub op: u32,
}

impl Run {
    /// Reads a run's directory.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or contains what is no history.
    pub fn read(directory: &Path) -> Result<Self> {
        read::run(directory)
    }

    /// By when a worker's process was there no more.
    pub fn death(&self, worker: u32) -> Option<u64> {
        let (time, _) = self.workers.get(&worker)?.ended?;
        Some(time)
    }

    /// Until when a worker's process certainly was there. What is in the history as its death was
    /// written down a while after it.
    pub fn alive_until(&self, worker: u32) -> Option<u64> {
        let struck = self.faults.iter();
        let struck = struck
            .filter(|fault| fault.kind == FaultKind::WorkerKill && fault.worker() == Some(worker))
            .map(|fault| fault.begun)
            .min();
        struck.max(self.workers.get(&worker)?.wrote)
    }

    /// Whether a worker was killed on purpose, so that its last operations have no outcome.
    pub fn was_killed(&self, worker: u32) -> bool {
        let ended = self.workers.get(&worker).and_then(|worker| worker.ended);
        matches!(ended, Some((_, WorkerState::Killed)))
    }

    /// How often the server had been killed before this stretch of time; `None` if it was killed in
    /// it. Connection ids start over each time.
    pub fn incarnation(&self, from: u64, to: u64) -> Option<usize> {
        let before = self.kills.partition_point(|&(_, over)| over < from);
        let next = self.kills.get(before);
        next.is_none_or(|&(begun, _)| begun > to).then_some(before)
    }

    /// The outermost call that an operation is part of.
    pub fn root(&self, mut place: usize) -> usize {
        while let Some(parent) = self.ops[place].parent {
            place = parent;
        }
        place
    }

    /// Whether an operation is nested in one that does not have its locks: one that waits while it holds
    /// another lock.
    pub fn crosses(&self, op: &Op) -> bool {
        let Some(parent) = op.parent else {
            return false;
        };
        let mut missing: Vec<_> = op.names.iter().collect();
        let mut ancestor = Some(parent);
        while let Some(place) = ancestor {
            let held = &self.ops[place];
            missing.retain(|name| !held.names.contains(name));
            ancestor = held.parent;
        }
        !missing.is_empty()
    }
}
