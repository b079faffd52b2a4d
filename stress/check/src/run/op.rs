//! One call that acquires locks.

use std::rc::Rc;

use crate::history::{Claim, OpFault, Outcome, WaitMs};

/// How long a pool waits for a connection to open.
const CONNECTION_TIMEOUT: WaitMs = WaitMs(500);

/// What the names of operations begin with that lock until COMMIT, in their own transaction.
const UNTIL_COMMIT: [&str; 3] = ["until_commit", "try_until_commit", "shared.until_commit"];

/// What the history says of a call.
#[derive(Debug)]
pub struct Op {
    pub worker: u32,
    pub thread: u16,
    pub id: u32,
    /// The call of the same thread that contains this one, by its index in
    /// [`Run::ops`](super::Run::ops).
    pub parent: Option<usize>,
    pub operation: Rc<str>,
    pub names: Rc<[Rc<str>]>,
    pub wait: WaitMs,
    pub source: Rc<str>,
    pub invoked: u64,
    /// The session that answered before the library used the connection, and when.
    pub checked: Option<(u64, u64)>,
    pub acquired: Option<u64>,
    /// Whether its connection was not marked as broken after its future was dropped.
    pub kept: bool,
    pub session: Option<u64>,
    /// The session that the server reported as the holder.
    pub holder: Option<u64>,
    /// The faults that the worker caused in it.
    pub faults: Vec<(u64, OpFault)>,
    pub ended: Option<u64>,
    /// The counters that its body was about to commit, and their values.
    pub wrote: Vec<(Rc<str>, i64)>,
    pub outcome: Option<(u64, Outcome)>,
    /// What its error says became of the work.
    pub claim: Option<Claim>,
}

impl Op {
    pub fn is(&self, outcome: Outcome) -> bool {
        self.outcome.is_some_and(|(_, word)| word == outcome)
    }

    pub fn had_fault(&self, which: impl Fn(OpFault) -> bool) -> bool {
        self.faults.iter().any(|&(_, fault)| which(fault))
    }

    /// When its worker took the lock away from it, without the library's knowledge.
    pub fn lock_taken(&self) -> Option<u64> {
        let mut taken = None;
        for &(time, fault) in &self.faults {
            match fault {
                OpFault::VainTheft => taken = None,
                fault if fault.takes_the_lock() => taken = taken.or(Some(time)),
                _ => {}
            }
        }
        taken
    }

    /// When its body swapped its connection with another one.
    pub fn swapped(&self) -> Option<u64> {
        let mut faults = self.faults.iter();
        faults.find_map(|&(time, fault)| (fault == OpFault::Swap).then_some(time))
    }

    /// Whether it locks in shared mode, in which calls do not exclude each other.
    pub fn is_shared(&self) -> bool {
        self.operation.starts_with("shared")
    }

    /// Whether its lock belongs to a transaction of its thread, and lasts until its end.
    pub fn locks_until_commit(&self) -> bool {
        let mut names = UNTIL_COMMIT.iter();
        names.any(|name| self.operation.starts_with(name))
    }

    /// Whether the server may refuse what it reads and writes because of other transactions.
    pub fn is_serializable(&self) -> bool {
        self.source.starts_with("serializable")
    }

    /// Whether its transaction is above READ COMMITTED.
    pub fn has_snapshot(&self) -> bool {
        self.is_serializable() || self.source.starts_with("repeatable-read")
    }

    /// When the call returned.
    pub fn returned(&self) -> Option<u64> {
        self.outcome.map(|(time, _)| time)
    }

    /// From when to when the body ran.
    pub fn body(&self) -> Option<(u64, u64)> {
        self.acquired.zip(self.ended)
    }

    /// The time of its last event.
    pub fn last(&self) -> u64 {
        self.returned()
            .or(self.ended)
            .or(self.acquired)
            .unwrap_or(self.invoked)
    }

    pub fn is_of_thread(&self, other: &Op) -> bool {
        (self.worker, self.thread) == (other.worker, other.thread)
    }

    pub fn goes_through_proxy(&self) -> bool {
        !self.source.ends_with("-direct")
    }

    /// Whether it may find no connection without any fault. The pool has fewer connections than the
    /// process has threads, or opening a connection may take longer than the call waits.
    pub fn may_lack_connection(&self) -> bool {
        self.source.contains("undersized") || (1..CONNECTION_TIMEOUT.0).contains(&self.wait.0)
    }

    /// Whether it went through a `LockPool`, which hands off a connection with its locks.
    pub fn uses_lock_pool(&self) -> bool {
        self.source.contains("lock-pool")
    }

    /// Whether both calls have the same locks, in any order.
    pub fn has_same_names(&self, other: &Op) -> bool {
        self.names.len() == other.names.len()
            && self.names.iter().all(|name| other.names.contains(name))
    }

    /// The call's name in messages.
    pub fn describe(&self) -> String {
        format!(
            "call {} of worker {}, thread {} ({})",
            self.id, self.worker, self.thread, self.operation
        )
    }
}
