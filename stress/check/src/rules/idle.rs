//! (d) Nobody waits for a lock that nobody has: it has leaked, or a wake-up was lost.

use std::collections::HashMap;
use std::rc::Rc;

use super::spans::{Span, Spans};
use super::{GRACE, Rule, Violation, seconds};
use crate::history::{FaultKind, Outcome};
use crate::run::{AFTERMATH, Op, Run};

/// A pool makes nobody wait for a connection for longer.
const CONNECTION: u64 = 1_000_000_000;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    let names = Names::new(run);
    for (place, op) in run.ops.iter().enumerate() {
        let until = op.granted.unwrap_or_else(|| end(run, op));
        if until.saturating_sub(op.invoked) <= GRACE {
            continue;
        }
        if let Some((from, to)) = names.idle(place, until) {
            let what = format!(
                "{} waited for `{}`, which nobody had for {}",
                op.who(),
                op.names.join("+"),
                seconds(to - from)
            );
            let mut found = Violation::of_ops(run, Rule::Prompt, &[place], what);
            (found.from, found.to) = (from, to);
            violations.push(found);
        }
    }
}

/// What went on under each name.
struct Names<'r> {
    run: &'r Run,
    /// When somebody had it, or may have had it.
    occupied: ByName<'r>,
    /// When somebody asked for it and others at once. He may have had it, and waited for one of the others.
    asked: ByName<'r>,
    excused: Spans,
}

type ByName<'r> = HashMap<&'r Rc<str>, Spans>;

impl<'r> Names<'r> {
    fn new(run: &'r Run) -> Self {
        let ops = || run.ops.iter().zip(0..);
        Self {
            run,
            occupied: by_name(
                ops().filter_map(|(op, place)| Some((op, occupied(run, op, place)?))),
            ),
            asked: by_name(
                ops()
                    .filter(|(op, _)| op.names.len() > 1)
                    .map(|(op, place)| (op, asked(run, op, place))),
            ),
            excused: excused(run),
        }
    }

    /// When nobody had what an operation waited for, nor what those waited for who may have had it, and so on.
    fn idle(&self, place: usize, until: u64) -> Option<(u64, u64)> {
        let op = &self.run.ops[place];
        let felt = self.excused.overlapping(op.invoked, until);
        let mut busy: Vec<_> = felt.map(|span| (span.from, span.to)).collect();
        let mut names: Vec<&Rc<str>> = Vec::new();
        let mut new: Vec<&Rc<str>> = op.names.iter().collect();
        loop {
            for name in &new {
                let others = self.spans(&self.occupied, name, op.invoked, until);
                let others = others.filter(|span| span.of != place);
                busy.extend(others.map(|span| (span.from, span.to)));
            }
            busy.sort_unstable();
            let (from, to) = gap(op.invoked, until, &busy)?;
            names.append(&mut new);
            for name in &names {
                let asked = self.spans(&self.asked, name, from, to);
                let asked = asked.flat_map(|span| self.run.ops[span.of].names.iter());
                new.extend(asked.filter(|name| !names.contains(name)));
            }
            new.sort_unstable();
            new.dedup();
            if new.is_empty() {
                return Some((from, to));
            }
        }
    }

    fn spans(
        &self,
        by_name: &'r ByName<'r>,
        name: &Rc<str>,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = Span> {
        let spans = by_name.get(name).into_iter();
        spans.flat_map(move |spans| spans.overlapping(from, to))
    }
}

/// The first stretch of more than [`GRACE`] in which nothing is going on.
fn gap(from: u64, to: u64, busy: &[(u64, u64)]) -> Option<(u64, u64)> {
    let mut idle_since = from;
    for &(begun, over) in busy.iter().chain([&(to, to)]) {
        if begun > idle_since.saturating_add(GRACE) {
            return Some((idle_since, begun));
        }
        idle_since = idle_since.max(over);
    }
    None
}

fn by_name<'r>(ops: impl Iterator<Item = (&'r Op, Span)>) -> ByName<'r> {
    let mut spans: HashMap<&Rc<str>, Vec<Span>> = HashMap::new();
    for (op, span) in ops {
        for name in op.names.iter() {
            spans.entry(name).or_default().push(span);
        }
    }
    let spans = spans.into_iter();
    spans
        .map(|(name, spans)| (name, Spans::new(spans)))
        .collect()
}

/// When an operation had its locks, or may have had them.
fn occupied(run: &Run, op: &Op, place: usize) -> Option<Span> {
    let to = end(run, op);
    let from = if run.crosses(op) {
        op.invoked
    } else if op.is(Outcome::Pool) {
        // It was its turn, but it had no connection to ask on.
        op.invoked.max(to.saturating_sub(CONNECTION))
    } else {
        op.granted?
    };
    Some(Span {
        from,
        to,
        of: place,
    })
}

/// When an operation asked for its locks, and had some of them at most.
fn asked(run: &Run, op: &Op, place: usize) -> Span {
    Span {
        from: op.invoked,
        to: op.granted.unwrap_or_else(|| end(run, op)),
        of: place,
    }
}

fn end(run: &Run, op: &Op) -> u64 {
    let death = || run.death(op.worker).unwrap_or(run.to);
    op.told().unwrap_or_else(death)
}

/// When nobody may have been answered, or sessions were ended that had locks.
fn excused(run: &Run) -> Spans {
    let faults = run.faults.iter().zip(0..).filter(|(fault, _)| {
        let of_process = matches!(fault.kind, FaultKind::WorkerStop | FaultKind::WorkerKill);
        of_process || fault.kind.is_outage() || fault.kind.ends_sessions()
    });
    let spans = faults.map(|(fault, place)| Span {
        from: fault.begun,
        to: fault.end().saturating_add(AFTERMATH),
        of: place,
    });
    Spans::new(spans.collect())
}
