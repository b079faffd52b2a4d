//! (e) No lock, locked connection, session, process or directory remains at the end.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::history::Outcome;
use crate::run::{Op, Run};

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    let mut report = |what: String| {
        violations.push(Violation::at_end(run, Rule::NothingLeft, what));
    };
    if !run.done {
        report("the coordinator did not finish its checks at the end".to_owned());
    }
    for (thing, which) in &run.left {
        report(format!("a {thing} remained: {which}"));
    }
    for drained in &run.drained {
        if let Some(names) = &drained.names {
            report(format!(
                "an idle connection of worker {} ({}, session {}) held {names}",
                drained.worker, drained.source, drained.session
            ));
        }
    }
    for (index, op) in run.ops.iter().enumerate().filter(|(_, op)| op.kept) {
        let what = format!(
            "{} was cut or panicked, but its connection was not marked as broken",
            op.describe()
        );
        violations.push(Violation::of_ops(run, Rule::NothingLeft, &[index], what));
    }
    let unconfirmed = none_is_used_again(run, violations);
    none_is_kept(run, &unconfirmed, violations);
}

/// The sessions whose last release the server did not confirm, and the call that made it. A session
/// is known by its number and by how often the server had been killed before.
type Unconfirmed = HashMap<(usize, u64), usize>;

/// A session whose release the server did not confirm may still hold its lock, so no other call may
/// use its connection.
fn none_is_used_again(run: &Run, violations: &mut Vec<Violation>) -> Unconfirmed {
    let mut order: Vec<usize> = (0..run.ops.len()).collect();
    order.sort_by_key(|&index| used(&run.ops[index]));
    let mut unconfirmed = Unconfirmed::new();
    for index in order {
        let op = &run.ops[index];
        let Some((acquired, session)) = used(op) else {
            continue;
        };
        // If the server was killed during the call, the number may be of a session before or after.
        if let Some(incarnation) = run.incarnation(op.invoked, acquired)
            && let Some(&before) = unconfirmed.get(&(incarnation, session))
            && (run.ops[before].ended)
                .or(run.ops[before].returned())
                .is_some_and(|ended| ended < acquired)
            && run.root(index) != run.root(before)
        {
            let what = format!(
                "session {session} was used again by {}, though it had not confirmed a release",
                op.describe()
            );
            let ops = [before, index];
            violations.push(Violation::of_ops(run, Rule::NothingLeft, &ops, what));
            unconfirmed.remove(&(incarnation, session));
        }
        let is_ended = [
            Outcome::Lost,
            Outcome::NotHeld,
            Outcome::CommitUnknown,
            Outcome::Cut,
        ];
        if is_ended.iter().any(|&word| op.is(word))
            && let Some(incarnation) = run.incarnation(op.invoked, op.last())
        {
            unconfirmed.insert((incarnation, session), index);
        }
    }
    unconfirmed
}

/// When a call first used which session.
fn used(op: &Op) -> Option<(u64, u64)> {
    op.checked.or(op.acquired.zip(op.session))
}

fn none_is_kept(run: &Run, unconfirmed: &Unconfirmed, violations: &mut Vec<Violation>) {
    for drained in &run.drained {
        let session = run
            .incarnation(drained.time, drained.time)
            .map(|incarnation| (incarnation, drained.session));
        if let Some(&before) = session.and_then(|session| unconfirmed.get(&session)) {
            let what = format!(
                "session {} was kept, though it had not confirmed the release of {}",
                drained.session,
                run.ops[before].describe()
            );
            violations.push(Violation::of_ops(run, Rule::NothingLeft, &[before], what));
        }
    }
}
