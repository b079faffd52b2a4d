//! A run, read from the files of its directory.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::history::{FaultKind, Outcome, WorkerState};

mod fault;
mod interner;
mod op;
mod read;

pub use fault::{AFTERMATH, Fault};
pub use op::Op;

/// Everything that the history of a run says.
#[derive(Debug, Default)]
pub struct Run {
    /// The seed, the server and more, as the coordinator wrote them.
    pub facts: BTreeMap<String, String>,
    /// All calls, by their time of invocation.
    pub ops: Vec<Op>,
    /// The faults of the coordinator, by the time at which they began.
    pub faults: Vec<Fault>,
    pub workers: BTreeMap<u32, Worker>,
    pub drained: Vec<Drained>,
    pub unconnected: usize,
    /// The values of the counters at the end.
    pub finals: BTreeMap<String, i64>,
    /// Locks, sessions, processes and directories that remained at the end.
    pub left: Vec<(String, String)>,
    /// Whether the coordinator finished its checks at the end.
    pub done: bool,
    /// The number of lines that a killed process did not complete.
    pub incomplete_lines: usize,
    /// For each lock, the lines of its file in their order.
    pub effects: BTreeMap<String, Vec<Effect>>,
    /// The stretches of time in which the server was killed.
    kills: Vec<(u64, u64)>,
    /// The first and the last time in any file.
    pub from: u64,
    pub to: u64,
}

#[derive(Debug, Default)]
pub struct Worker {
    pub started: Option<u64>,
    pub ended: Option<(u64, WorkerState)>,
    /// The time of its last event.
    pub wrote: Option<u64>,
    /// Whether it wrote `finished`.
    pub finished: bool,
}

/// An idle connection at the end, and the locks that it holds.
#[derive(Debug)]
pub struct Drained {
    pub worker: u32,
    pub time: u64,
    pub source: String,
    pub session: u64,
    pub names: Option<String>,
}

/// A line of a lock's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    pub begin: bool,
    pub worker: u32,
    pub op: u32,
}

impl Run {
    /// Reads the directory of a run.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or is not a history.
    pub fn read(directory: &Path) -> Result<Self> {
        read::run(directory)
    }

    /// Whether the server was PostgreSQL.
    pub fn is_on_postgres(&self) -> bool {
        let server = self.facts.get("server");
        server.is_some_and(|server| server.starts_with("postgres"))
    }

    /// The time by which a worker's process had ended, or else the end of the run.
    pub fn worker_end(&self, worker: u32) -> u64 {
        let ended = self.workers.get(&worker).and_then(|worker| worker.ended);
        ended.map_or(self.to, |(time, _)| time)
    }

    /// The time at which a call returned, or by which its process had ended.
    pub fn end_of(&self, op: &Op) -> u64 {
        op.returned().unwrap_or_else(|| self.worker_end(op.worker))
    }

    /// The last time at which a worker's process is known to have run.
    ///
    /// It may be well before [`Run::worker_end`], which the coordinator writes after the kill.
    pub fn alive_until(&self, worker: u32) -> Option<u64> {
        let kills = self.faults.iter();
        let killed = kills
            .filter(|fault| fault.kind == FaultKind::WorkerKill && fault.worker() == Some(worker))
            .map(|fault| fault.begun)
            .min();
        killed.max(self.workers.get(&worker)?.wrote)
    }

    /// Whether a worker was killed as a fault, so that its last calls have no outcome.
    pub fn was_killed(&self, worker: u32) -> bool {
        let ended = self.workers.get(&worker).and_then(|worker| worker.ended);
        matches!(ended, Some((_, WorkerState::Killed)))
    }

    /// How often the server had been killed before this stretch of time, or `None` if it was killed
    /// in it. Session ids start over each time.
    pub fn incarnation(&self, from: u64, to: u64) -> Option<usize> {
        let before = self.kills.partition_point(|&(_, over)| over < from);
        let next = self.kills.get(before);
        next.is_none_or(|&(begun, _)| begun > to).then_some(before)
    }

    /// The outermost call that contains a call.
    pub fn root(&self, mut index: usize) -> usize {
        while let Some(parent) = self.ops[index].parent {
            index = parent;
        }
        index
    }

    /// Whether a call reports that it held its lock until its end.
    ///
    /// The success of a re-entrant call says nothing alone: the release of a lock of a transaction
    /// has no answer of the server. The outer call reports the loss. A call that locks until COMMIT
    /// in the transaction of another one leaves it to that one as well.
    pub fn reports_success(&self, index: usize) -> bool {
        let op = &self.ops[index];
        let has_own_release = self.crosses(op) && !op.locks_until_commit();
        let outer = op.parent.filter(|_| !has_own_release);
        op.is(Outcome::Ok) && outer.is_none_or(|outer| self.reports_success(outer))
    }

    /// Whether a call waits for a lock while its thread holds another one, because it is nested in
    /// a call for other locks.
    pub fn crosses(&self, op: &Op) -> bool {
        let mut missing: Vec<_> = op.names.iter().collect();
        let mut ancestor = op.parent;
        while let Some(index) = ancestor {
            let held = &self.ops[index];
            missing.retain(|name| !held.names.contains(name));
            ancestor = held.parent;
        }
        op.parent.is_some() && !missing.is_empty()
    }
}
