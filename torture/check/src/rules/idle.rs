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
    let occupied = occupied(run);
    let excused = excused(run);
    for (place, op) in run.ops.iter().enumerate() {
        let until = op.granted.unwrap_or_else(|| end(run, op));
        if until.saturating_sub(op.invoked) <= GRACE {
            continue;
        }
        let felt = excused.overlapping(op.invoked, until);
        let mut busy: Vec<_> = felt.map(|span| (span.from, span.to)).collect();
        for name in op.names.iter() {
            let others = occupied.get(name);
            let others = others
                .iter()
                .flat_map(|of| of.overlapping(op.invoked, until));
            let others = others.filter(|span| span.of != place);
            busy.extend(others.map(|span| (span.from, span.to)));
        }
        busy.sort_unstable();
        if let Some((from, to)) = gap(op.invoked, until, &busy) {
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

/// When somebody had each lock, or may have had it.
fn occupied(run: &Run) -> HashMap<&Rc<str>, Spans> {
    let mut spans: HashMap<&Rc<str>, Vec<Span>> = HashMap::new();
    for (op, place) in run.ops.iter().zip(0..) {
        let to = end(run, op);
        let from = if op.names.len() > 1 || run.crosses(op) {
            // It may have some of its locks, and wait for another.
            op.invoked
        } else if op.is(Outcome::Pool) {
            // It was its turn, but it had no connection to ask on.
            op.invoked.max(to.saturating_sub(CONNECTION))
        } else if let Some(granted) = op.granted {
            granted
        } else {
            continue;
        };
        for name in op.names.iter() {
            let span = Span {
                from,
                to,
                of: place,
            };
            spans.entry(name).or_default().push(span);
        }
    }
    let spans = spans.into_iter();
    spans
        .map(|(name, spans)| (name, Spans::new(spans)))
        .collect()
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
