//! (c) A call reports a deadlock only if it can have been part of one.
//!
//! In a deadlock, each session waits for one lock while it holds another, and one of them waits for
//! a lock that the refused session holds. The locks of a set are acquired in one order. So sets
//! alone make no deadlock: it takes a lock that is requested inside another one.
//!
//! PostgreSQL may refuse a bystander, too: a session that holds nothing, and waits in the queue of a
//! lock for which a deadlock exists.

use std::collections::HashSet;
use std::rc::Rc;

use super::spans::{Span, Spans};
use super::{Rule, Violation};
use crate::history::Outcome;
use crate::run::{AFTERMATH, Op, Run};

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    if !run.ops.iter().any(|op| op.is(Outcome::Deadlock)) {
        return;
    }
    let waits = Waits::new(run);
    for (index, op) in run.ops.iter().enumerate() {
        if op.is(Outcome::Deadlock)
            && let Some(why) = waits.rule_out(op)
        {
            let what = format!("{} returned `deadlock`, but {why}", op.describe());
            violations.push(Violation::of_ops(run, Rule::Reported, &[index], what));
        }
    }
}

/// The calls that wait while they hold a lock.
struct Waits<'r> {
    run: &'r Run,
    spans: Spans,
    /// The names that are requested in sets.
    in_sets: HashSet<&'r Rc<str>>,
}

impl<'r> Waits<'r> {
    fn new(run: &'r Run) -> Self {
        let mut waits = Vec::new();
        let mut in_sets = HashSet::new();
        for (index, op) in run.ops.iter().enumerate() {
            if op.names.len() > 1 {
                in_sets.extend(op.names.iter());
            }
            if op.names.len() > 1 || run.crosses(op) {
                let to = op.acquired.unwrap_or_else(|| run.end_of(op));
                waits.push(Span {
                    from: op.invoked,
                    // The server may go on waiting for a while after the client has given up.
                    to: to.saturating_add(AFTERMATH),
                    of: index,
                });
            }
        }
        Self {
            run,
            spans: Spans::new(waits),
            in_sets,
        }
    }

    /// The reason why a call cannot have been part of a deadlock, if there is one.
    fn rule_out(&self, op: &Op) -> Option<&'static str> {
        let crosses = self.run.crosses(op);
        if self.run.is_on_postgres() && self.waits_beside_another(op) {
            return None;
        }
        if !crosses && op.names.len() == 1 {
            return Some("held no other lock");
        }
        let held = self.held(op);
        let mut others = self.others(op);
        if !others.any(|other| other.names.iter().any(|name| held.contains(&name))) {
            return Some("no call waited for a lock that it held");
        }
        let mut others = self.others(op);
        let crosses_set = |other: &Op| {
            let mut names = self.held(other).into_iter().chain(other.names.iter());
            self.run.crosses(other) && names.any(|name| self.in_sets.contains(name))
        };
        if !crosses && !others.any(crosses_set) {
            return Some("all calls acquired their locks in one order");
        }
        None
    }

    /// Whether a call waited for the same lock, or held it, while it waited for another one.
    fn waits_beside_another(&self, op: &Op) -> bool {
        self.others(op).any(|other| {
            let mut names = self.held(other).into_iter().chain(other.names.iter());
            self.run.crosses(other) && names.any(|name| op.names.contains(name))
        })
    }

    /// The calls of other threads that waited at the same time.
    fn others(&self, op: &Op) -> impl Iterator<Item = &'r Op> {
        let (run, by) = (self.run, (op.worker, op.thread));
        let waits = self.spans.overlapping(op.invoked, op.last());
        let others = waits.map(move |span| &run.ops[span.of]);
        others.filter(move |other| (other.worker, other.thread) != by)
    }

    /// The locks that a call may hold while it waits.
    fn held(&self, op: &'r Op) -> Vec<&'r Rc<str>> {
        let mut held = Vec::new();
        if op.names.len() > 1 {
            held.extend(op.names.iter());
        }
        let mut parent = op.parent;
        while let Some(index) = parent {
            let outer = &self.run.ops[index];
            held.extend(outer.names.iter());
            parent = outer.parent;
        }
        held
    }
}
