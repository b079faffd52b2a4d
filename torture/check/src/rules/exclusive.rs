//! (a) Bodies that reported success never overlap for one name.
//!
//! Three witnesses: the clock, the order in which traces reached the lock's file, and what the server
//! answered when the body asked whose the lock was. A body's time is shorter than the lock's: it
//! begins after the grant and ends before the release, so that an overlap of bodies is one of locks.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Rule, Violation};
use crate::history::{FaultKind, Outcome};
use crate::run::{Op, Run};

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    by_clock(run, violations);
    by_effects(run, violations);
    by_witness(run, violations);
}

/// A body that held its lock throughout, or must have: until it ended, or until its process died.
struct Hold {
    op: usize,
    from: u64,
    to: u64,
    reported: bool,
}

fn by_clock(run: &Run, violations: &mut Vec<Violation>) {
    let mut holds: HashMap<&Rc<str>, Vec<Hold>> = HashMap::new();
    for (place, op) in run.ops.iter().enumerate() {
        let Some(granted) = op.granted else { continue };
        let hold = |to, reported| Hold {
            op: place,
            from: granted,
            to,
            reported,
        };
        let hold = match (op.body(), op.outcome, run.death(op.worker)) {
            (Some((_, end)), Some((_, Outcome::Ok)), _) => hold(end, true),
            // The process died under the lock, and with it, and not before, its session.
            (body, None, Some(death)) if run.was_killed(op.worker) => {
                hold(body.map_or(death, |(_, end)| end.min(death)), false)
            }
            _ => continue,
        };
        for name in op.names.iter() {
            holds.entry(name).or_default().push(Hold { ..hold });
        }
    }
    for (name, mut holds) in holds {
        holds.sort_by_key(|hold| hold.from);
        let mut longest: Option<&Hold> = None;
        for hold in &holds {
            if let Some(before) = longest {
                let (first, second) = (&run.ops[before.op], &run.ops[hold.op]);
                if hold.from < before.to
                    && !first.is_of_thread(second)
                    && (before.reported && hold.reported || !may_be_lost(run, before, hold))
                {
                    let what = format!(
                        "{} ran under `{name}` for {} while {} did",
                        told(second),
                        millis(before.to.min(hold.to) - hold.from),
                        told(first),
                    );
                    let mut found =
                        Violation::of_ops(run, Rule::Exclusive, &[before.op, hold.op], what);
                    (found.from, found.to) = (before.from.min(hold.from), before.to.min(hold.to));
                    violations.push(found);
                }
            }
            if longest.is_none_or(|longest| hold.to > longest.to) {
                longest = Some(hold);
            }
        }
    }
}

/// Whether one of two that overlap has no outcome, because its process was killed, and may have
/// lost its lock before: then nobody was left to report it.
fn may_be_lost(run: &Run, first: &Hold, second: &Hold) -> bool {
    let from = first.from.min(second.from);
    let to = first.to.min(second.to);
    run.faults.iter().any(|fault| {
        // A session that has a short time-out keeps it.
        fault.begun <= to
            && (fault.kind == FaultKind::WaitTimeout
                || fault.kind.ends_sessions() && fault.end() >= from)
    })
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
                        told(op),
                        told(&run.ops[other]),
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
        if op.session.is_some() && op.holder != op.session {
            let holder = match op.holder {
                Some(holder) => format!("session {holder}"),
                None => "nobody".to_owned(),
            };
            let what = format!(
                "the body of {} began when the server knew {holder} as the holder of `{}`",
                told(op),
                op.names.join("+"),
            );
            violations.push(Violation::of_ops(run, Rule::Exclusive, &[place], what));
        }
    }
}

fn told(op: &Op) -> String {
    format!(
        "operation {} of worker {}, thread {} ({})",
        op.id, op.worker, op.thread, op.way
    )
}

fn millis(nanos: u64) -> String {
    format!("{}.{:03} ms", nanos / 1_000_000, nanos / 1_000 % 1_000)
}
