//! (d) No call waits for a lock that no call holds: the lock has leaked, or a wake-up was lost.

use std::collections::HashMap;
use std::rc::Rc;

use super::spans::{Span, Spans};
use super::{GRACE, Rule, Violation, seconds};
use crate::history::{FaultKind, Outcome};
use crate::run::{AFTERMATH, Op, Run};

/// How long a pool may make a call wait for a connection.
const CONNECTION: u64 = 1_000_000_000;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    let names = Names::new(run);
    for (index, op) in run.ops.iter().enumerate() {
        let until = op.acquired.unwrap_or_else(|| run.end_of(op));
        if until.saturating_sub(op.invoked) <= GRACE {
            continue;
        }
        if let Some((from, to)) = names.idle(index, until) {
            let what = format!(
                "{} waited for `{}`, which no call held for {}",
                op.describe(),
                op.names.join("+"),
                seconds(to - from)
            );
            let mut found = Violation::of_ops(run, Rule::Prompt, &[index], what);
            (found.from, found.to) = (from, to);
            violations.push(found);
        }
    }
}

/// When each name may have been locked.
struct Names<'r> {
    run: &'r Run,
    /// When a call held the lock, or may have held it.
    occupied: ByName<'r>,
    /// When a call requested it in a set: the call may have held it while it waited for another
    /// lock.
    requested: ByName<'r>,
    excused: Spans,
}

type ByName<'r> = HashMap<&'r Rc<str>, Spans>;

impl<'r> Names<'r> {
    fn new(run: &'r Run) -> Self {
        let ops = || run.ops.iter().zip(0..);
        Self {
            run,
            occupied: by_name(
                ops().filter_map(|(op, index)| Some((op, occupied(run, op, index)?))),
            ),
            requested: by_name(
                ops()
                    .filter(|(op, _)| op.names.len() > 1)
                    .map(|(op, index)| (op, requested(run, op, index))),
            ),
            excused: excused(run),
        }
    }

    /// When no call held the lock for which this call waited.
    ///
    /// A call that may have held that lock may itself have waited for other locks of its set. So
    /// those must have been free, too, and so on.
    fn idle(&self, index: usize, until: u64) -> Option<(u64, u64)> {
        let op = &self.run.ops[index];
        let excused = self.excused.overlapping(op.invoked, until);
        let mut busy: Vec<_> = excused.map(|span| (span.from, span.to)).collect();
        let mut names: Vec<&Rc<str>> = Vec::new();
        let mut new: Vec<&Rc<str>> = op.names.iter().collect();
        loop {
            for name in &new {
                let others = self.spans(&self.occupied, name, op.invoked, until);
                let others = others.filter(|span| span.of != index);
                busy.extend(others.map(|span| (span.from, span.to)));
            }
            busy.sort_unstable();
            let (from, to) = gap(op.invoked, until, &busy)?;
            names.append(&mut new);
            for name in &names {
                let requested = self.spans(&self.requested, name, from, to);
                let requested = requested.flat_map(|span| self.run.ops[span.of].names.iter());
                new.extend(requested.filter(|name| !names.contains(name)));
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

/// The first stretch of more than [`GRACE`] outside of the busy ones.
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

/// When a call held its locks, or may have held them.
fn occupied(run: &Run, op: &Op, index: usize) -> Option<Span> {
    let to = run.end_of(op);
    let from = if run.crosses(op) {
        op.invoked
    } else if op.is(Outcome::Pool) {
        // It had the permit of its `LockPool`, but no connection.
        op.invoked.max(to.saturating_sub(CONNECTION))
    } else {
        op.acquired?
    };
    Some(Span {
        from,
        to,
        of: index,
    })
}

/// When a call waited for its locks, some of which it may have held.
fn requested(run: &Run, op: &Op, index: usize) -> Span {
    Span {
        from: op.invoked,
        to: op.acquired.unwrap_or_else(|| run.end_of(op)),
        of: index,
    }
}

/// When the server may not have answered, or sessions ended that held locks.
fn excused(run: &Run) -> Spans {
    let faults = run.faults.iter().zip(0..).filter(|(fault, _)| {
        let of_process = matches!(fault.kind, FaultKind::WorkerStop | FaultKind::WorkerKill);
        of_process || fault.kind.is_outage() || fault.kind.ends_sessions()
    });
    let spans = faults.map(|(fault, index)| Span {
        from: fault.begun,
        to: fault.end().saturating_add(AFTERMATH),
        of: index,
    });
    Spans::new(spans.collect())
}
