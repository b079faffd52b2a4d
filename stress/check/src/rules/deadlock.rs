//! (c) Nobody is told of a deadlock who cannot have been part of one.
//!
//! In a circle everybody waits for one lock while he holds another, and somebody waits for a lock that the
//! refused one holds. Several locks that are asked for at once are taken in one order, which makes no
//! circle: one needs a lock that is asked for inside of another, in an order of its own.

use std::collections::HashSet;
use std::rc::Rc;

use super::spans::{Span, Spans};
use super::{Rule, Violation};
use crate::history::Outcome;
use crate::run::{AFTERMATH, Op, Run};

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    let mut refused = run.ops.iter().zip(0..);
    if !refused.any(|(op, _)| op.is(Outcome::Deadlock)) {
        return;
    }
    let circles = Circles::new(run);
    for (place, op) in run.ops.iter().enumerate() {
        if op.is(Outcome::Deadlock)
            && let Some(why) = circles.miss(op)
        {
            let what = format!("{} ended with `{}`, and {why}", op.who(), Outcome::Deadlock);
            violations.push(Violation::of_ops(run, Rule::Reported, &[place], what));
        }
    }
}

/// Those that wait while they hold something.
struct Circles<'r> {
    run: &'r Run,
    waits: Spans,
    /// Names that are asked for together with others.
    together: HashSet<&'r Rc<str>>,
}

impl<'r> Circles<'r> {
    fn new(run: &'r Run) -> Self {
        let mut waits = Vec::new();
        let mut together = HashSet::new();
        for (place, op) in run.ops.iter().enumerate() {
            if op.names.len() > 1 {
                together.extend(op.names.iter());
            }
            if op.names.len() > 1 || run.crosses(op) {
                let death = || run.death(op.worker).unwrap_or(run.to);
                let to = op.granted.or(op.told()).unwrap_or_else(death);
                waits.push(Span {
                    from: op.invoked,
                    // The server goes on for a while when the client has given up.
                    to: to.saturating_add(AFTERMATH),
                    of: place,
                });
            }
        }
        Self {
            run,
            waits: Spans::new(waits),
            together,
        }
    }

    /// What keeps an operation from being part of a circle.
    fn miss(&self, op: &Op) -> Option<&'static str> {
        let crosses = self.run.crosses(op);
        if !crosses && op.names.len() == 1 {
            return Some("held no other lock");
        }
        let held = self.held(op);
        let mut others = self.others(op);
        if !others.any(|other| other.names.iter().any(|name| held.contains(&name))) {
            return Some("nobody waited for what it held");
        }
        let mut others = self.others(op);
        let crossing = |other: &Op| {
            let mut names = self.held(other).into_iter().chain(other.names.iter());
            self.run.crosses(other) && names.any(|name| self.together.contains(name))
        };
        if !crosses && !others.any(crossing) {
            return Some("everybody took his locks in one order");
        }
        None
    }

    fn others(&self, op: &Op) -> impl Iterator<Item = &'r Op> {
        let (run, by) = (self.run, (op.worker, op.thread));
        let waits = self.waits.overlapping(op.invoked, op.last());
        let others = waits.map(move |span| &run.ops[span.of]);
        others.filter(move |other| (other.worker, other.thread) != by)
    }

    /// The locks that an operation may hold while it waits.
    fn held(&self, op: &'r Op) -> Vec<&'r Rc<str>> {
        let mut held = Vec::new();
        if op.names.len() > 1 {
            held.extend(op.names.iter());
        }
        let mut parent = op.parent;
        while let Some(place) = parent {
            let outer = &self.run.ops[place];
            held.extend(outer.names.iter());
            parent = outer.parent;
        }
        held
    }
}
