//! (a) Bodies that reported success under one name never overlap, unless all of them have locked it
//! in shared mode.
//!
//! There are three sources: the clock, the order of lines in the lock's file, and the holder that
//! the server reported to the body. A body begins after the lock was acquired and ends before its
//! release. So an overlap of bodies is an overlap of locks.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::causes::Causes;
use super::{Rule, Violation};
use crate::history::Outcome;
use crate::run::Run;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    by_clock(run, violations);
    by_effects(run, violations);
    by_server(run, violations);
}

/// A body that held its lock until its end, as far as the history says.
#[derive(Clone, Copy)]
struct Hold {
    op: usize,
    from: u64,
    to: u64,
    /// Whether the call succeeded. Otherwise it may have lost the lock, if a fault explains that.
    reported: bool,
}

fn by_clock(run: &Run, violations: &mut Vec<Violation>) {
    let causes = Causes::new(run);
    let mut by_name: BTreeMap<&Rc<str>, Vec<Hold>> = BTreeMap::new();
    for (index, op) in run.ops.iter().enumerate() {
        if let Some(hold) = hold(run, index) {
            for name in op.names.iter() {
                by_name.entry(name).or_default().push(hold);
            }
        }
    }
    for (name, mut holds) in by_name {
        holds.sort_by_key(|hold| hold.from);
        let mut open: Vec<Hold> = Vec::new();
        for second in holds {
            open.retain(|first| first.to > second.from);
            for first in &open {
                if collide(run, &causes, first, &second) {
                    violations.push(overlap(run, name, first, &second));
                }
            }
            open.push(second);
        }
    }
}

fn hold(run: &Run, index: usize) -> Option<Hold> {
    let op = &run.ops[index];
    let (end, reported) = match op.outcome {
        Some((_, Outcome::Ok)) => (op.ended?, run.reports_success(index)),
        // The body ended the call, which says nothing about the lock.
        Some((
            _,
            Outcome::Failed
            | Outcome::Panicked
            | Outcome::LeftOpen
            | Outcome::Dropped
            | Outcome::Cut,
        )) => (op.ended?, false),
        // The process was killed under the lock, which its session held until then.
        None if run.was_killed(op.worker) => (op.ended.or(run.alive_until(op.worker))?, false),
        _ => return None,
    };
    let taken = op.lock_taken().filter(|_| !reported);
    let to = taken.map_or(end, |taken| taken.min(end));
    Some(Hold {
        op: index,
        from: op.acquired?,
        to,
        reported,
    })
}

/// Whether the overlap of two bodies is a violation.
fn collide(run: &Run, causes: &Causes<'_>, first: &Hold, second: &Hold) -> bool {
    let until = first.to.min(second.to);
    let may_be_lost = |hold: &Hold| {
        let op = &run.ops[hold.op];
        !hold.reported && causes.ends_session(op, op.invoked, until)
    };
    let nested = run.ops[first.op].is_of_thread(&run.ops[second.op]);
    let shared = run.ops[first.op].is_shared() && run.ops[second.op].is_shared();
    !nested && !shared && !may_be_lost(first) && !may_be_lost(second)
}

fn overlap(run: &Run, name: &str, first: &Hold, second: &Hold) -> Violation {
    let until = first.to.min(second.to);
    let what = format!(
        "{} ran under `{name}` for {} while {} did",
        run.ops[second.op].describe(),
        millis(until - second.from),
        run.ops[first.op].describe(),
    );
    let mut found = Violation::of_ops(run, Rule::Exclusive, &[first.op, second.op], what);
    (found.from, found.to) = (first.from, until);
    found
}

fn by_effects(run: &Run, violations: &mut Vec<Violation>) {
    let succeeded: HashMap<(u32, u32), usize> = run
        .ops
        .iter()
        .enumerate()
        .filter(|&(index, _)| run.reports_success(index))
        .map(|(index, op)| ((op.worker, op.id), index))
        .collect();
    for (name, effects) in &run.effects {
        let mut open: Vec<usize> = Vec::new();
        for effect in effects {
            let Some(&index) = succeeded.get(&(effect.worker, effect.op)) else {
                continue;
            };
            if !effect.begin {
                open.retain(|&other| other != index);
                continue;
            }
            let op = &run.ops[index];
            for &other in &open {
                let shared = op.is_shared() && run.ops[other].is_shared();
                if !shared && !run.ops[other].is_of_thread(op) {
                    let what = format!(
                        "in the file of `{name}`, {} began before {} had ended",
                        op.describe(),
                        run.ops[other].describe(),
                    );
                    violations.push(Violation::of_ops(
                        run,
                        Rule::Exclusive,
                        &[other, index],
                        what,
                    ));
                }
            }
            open.push(index);
        }
    }
}

/// The session answered, so it must have held the lock.
fn by_server(run: &Run, violations: &mut Vec<Violation>) {
    for (index, op) in run.ops.iter().enumerate() {
        if op.holder != op.session {
            let what = format!(
                "the body of {} began when the server reported {} as the holder of `{}`",
                op.describe(),
                op.holder
                    .map_or("no session".to_owned(), |id| format!("session {id}")),
                op.names.join("+"),
            );
            violations.push(Violation::of_ops(run, Rule::Exclusive, &[index], what));
        }
    }
}

fn millis(nanos: u64) -> String {
    format!("{}.{:03} ms", nanos / 1_000_000, nanos / 1_000 % 1_000)
}
