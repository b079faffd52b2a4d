//! One call that takes locks.

use std::rc::Rc;

use crate::history::{Claim, OpFault, Outcome, WaitMs};

/// A pool opens a connection within this time, or gives up.
const OPENS_IN: WaitMs = WaitMs(500);

/// All that the history says of a call.
#[derive(Debug)]
pub struct Op {
    pub worker: u32,
    pub thread: u16,
    pub id: u32,
    /// The operation of the same thread that this one is nested in, by its place in
    /// [`Run::ops`](super::Run::ops).
    pub parent: Option<usize>,
    pub way: Rc<str>,
    pub names: Rc<[Rc<str>]>,
    pub wait: WaitMs,
    pub source: Rc<str>,
    pub invoked: u64,
    pub granted: Option<u64>,
    pub session: Option<u64>,
    pub holder: Option<u64>,
    /// What the worker did to it, and when.
    pub struck: Vec<(u64, OpFault)>,
    pub ended: Option<u64>,
    /// The counters that it is about to commit, and their values.
    pub wrote: Vec<(Rc<str>, i64)>,
    pub outcome: Option<(u64, Outcome)>,
    /// What its error says of the work.
    pub claim: Option<Claim>,
}

impl Op {
    pub fn is(&self, outcome: Outcome) -> bool {
        self.outcome.is_some_and(|(_, word)| word == outcome)
    }

    pub fn was_struck(&self, which: impl Fn(OpFault) -> bool) -> bool {
        self.struck.iter().any(|&(_, fault)| which(fault))
    }

    /// When the lock was taken from it behind the library's back.
    pub fn robbed(&self) -> Option<u64> {
        let mut struck = self.struck.iter();
        let robbed = struck.find(|(_, fault)| fault.takes_the_lock());
        robbed.map(|&(time, _)| time)
    }

    /// When its caller was told.
    pub fn told(&self) -> Option<u64> {
        self.outcome.map(|(time, _)| time)
    }

    /// When the body ran, if it began and ended.
    pub fn body(&self) -> Option<(u64, u64)> {
        self.granted.zip(self.ended)
    }

    /// The last that is known of it.
    pub fn last(&self) -> u64 {
        self.told()
            .or(self.ended)
            .or(self.granted)
            .unwrap_or(self.invoked)
    }

    pub fn is_of_thread(&self, other: &Op) -> bool {
        (self.worker, self.thread) == (other.worker, other.thread)
    }

    pub fn goes_through_proxy(&self) -> bool {
        !self.source.ends_with("-direct")
    }

    /// Whether it has to expect that there is no connection: the pool has fewer than the process has
    /// threads, or opening one takes longer than the operation waits.
    pub fn may_lack_connection(&self) -> bool {
        self.source.contains("squeezed") || (1..OPENS_IN.0).contains(&self.wait.0)
    }

    /// Through a pool that hands a connection off with its locks.
    pub fn is_handed_off(&self) -> bool {
        self.source.contains("lock-pool")
    }

    /// Whether both are under the same locks, in any order.
    pub fn has_names_of(&self, other: &Op) -> bool {
        self.names.len() == other.names.len()
            && self.names.iter().all(|name| other.names.contains(name))
    }

    /// For people.
    pub fn who(&self) -> String {
        format!(
            "operation {} of worker {}, thread {} ({})",
            self.id, self.worker, self.thread, self.way
        )
    }
}
