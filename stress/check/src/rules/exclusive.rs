//! (a) Bodies that reported success never overlap for one name.
//!
//! Three witnesses: the clock, the order in which traces reached the lock's file, and what the server
//! answered when the body asked whose the lock was. A body's time is shorter than the lock's: it
//! begins after the grant and ends before the release, so that an overlap of bodies is one of locks.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::causes::Causes;
use super::{Rule, Violation};
use crate::history::Outcome;
use crate::run::{Op, Run};

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    by_clock(run, violations);
    by_effects(run, violations);
    by_witness(run, violations);
}

/// A body that held its lock throughout, or should have.
#[derive(Clone, Copy)]
struct Hold {
    op: usize,
    from: u64,
    to: u64,
    /// Its caller was told that it held it. Otherwise it may have lost it, if there was a cause.
    reported: bool,
}

fn by_clock(run: &Run, violations: &mut Vec<Violation>) {
    let causes = Causes::new(run);
    let mut by_name: BTreeMap<&Rc<str>, Vec<Hold>> = BTreeMap::new();
    for (place, op) in run.ops.iter().enumerate() {
        if let Some(hold) = hold(run, place) {
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

fn hold(run: &Run, place: usize) -> Option<Hold> {
    let op = &run.ops[place];
    let (to, reported) = match op.outcome {
        Some((_, Outcome::Ok)) => (op.ended?, true),
        // The body ended by itself, and nobody has said anything of the lock.
        Some((_, Outcome::Failed | Outcome::Panicked | Outcome::LeftOpen | Outcome::Dropped)) => {
            (op.ended?, false)
        }
        // The process died under the lock, and with it, and not before, its session.
        None if run.was_killed(op.worker) => {
            let end = op.ended.or(run.alive_until(op.worker))?;
            (end.min(op.robbed().unwrap_or(end)), false)
        }
        _ => return None,
    };
    Some(Hold {
        op: place,
        from: op.granted?,
        to,
        reported,
    })
}

/// Whether two that overlap must not.
fn collide(run: &Run, causes: &Causes<'_>, first: &Hold, second: &Hold) -> bool {
    let until = first.to.min(second.to);
    let may_be_lost = |hold: &Hold| {
        let op = &run.ops[hold.op];
        !hold.reported && causes.ends_session(op, op.invoked, until)
    };
    let nested = run.ops[first.op].is_of_thread(&run.ops[second.op]);
    !nested && !may_be_lost(first) && !may_be_lost(second)
}

fn overlap(run: &Run, name: &str, first: &Hold, second: &Hold) -> Violation {
    let until = first.to.min(second.to);
    let what = format!(
        "{} ran under `{name}` for {} while {} did",
        run.ops[second.op].who(),
        millis(until - second.from),
        run.ops[first.op].who(),
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
        .filter(|(_, op)| op.is(Outcome::Ok))
        .map(|(place, op)| ((op.worker, op.id), place))
        .collect();
    for (name, effects) in &run.effects {
        let mut open: Vec<usize> = Vec::new();
        for effect in effects {
            let Some(&place) = succeeded.get(&(effect.worker, effect.op)) else {
                continue;
            };
            if !effect.begin {
                open.retain(|&other| other != place);
                continue;
            }
            let op = &run.ops[place];
            for &other in &open {
                if !run.ops[other].is_of_thread(op) {
                    let what = format!(
                        "in the file of `{name}`, {} began before {} had ended",
                        op.who(),
                        run.ops[other].who(),
                    );
                    violations.push(Violation::of_ops(
                        run,
                        Rule::Exclusive,
                        &[other, place],
                        what,
                    ));
                }
            }
            open.push(place);
        }
    }
}

/// The body's connection lived when it was asked, so the lock was its own or had never been granted.
fn by_witness(run: &Run, violations: &mut Vec<Violation>) {
    for (place, op) in run.ops.iter().enumerate() {
        if op.holder != op.session {
            let what = format!(
                "the body of {} began when the server knew {} as the holder of `{}`",
                op.who(),
                holder(op),
                op.names.join("+"),
            );
            violations.push(Violation::of_ops(run, Rule::Exclusive, &[place], what));
        }
    }
}

fn holder(op: &Op) -> String {
    match op.holder {
        Some(holder) => format!("session {holder}"),
        None => "nobody".to_owned(),
    }
}

fn millis(nanos: u64) -> String {
    format!("{}.{:03} ms", nanos / 1_000_000, nanos / 1_000 % 1_000)
}
