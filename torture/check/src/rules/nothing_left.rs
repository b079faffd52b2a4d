//! (e) At the end nothing is left: no lock, no locked connection, no process, no directory.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::history::Outcome;
use crate::run::Run;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    let mut say = |what: String| {
        violations.push(Violation::at_end(run, Rule::NothingLeft, what));
    };
    if !run.done {
        say("the coordinator did not come to its end: nobody has looked".to_owned());
    }
    for (thing, which) in &run.left {
        say(format!("a {thing} was left: {which}"));
    }
    for drained in &run.drained {
        if let Some(names) = &drained.names {
            say(format!(
                "worker {}'s idle connection ({}, session {}) still held {names}",
                drained.worker, drained.source, drained.session
            ));
        }
    }
    none_is_used_again(run, violations);
}

/// A connection whose lock the server did not confirm to be released may still hold it: nobody may
/// work on it any more.
fn none_is_used_again(run: &Run, violations: &mut Vec<Violation>) {
    let mut doubtful: HashMap<(usize, u64), usize> = HashMap::new();
    for (place, op) in run.ops.iter().enumerate() {
        let (Some(session), Some(granted)) = (op.session, op.granted) else {
            continue;
        };
        let key = (run.incarnation(granted), session);
        if let Some(&before) = doubtful.get(&key) {
            let told = run.ops[before].outcome.map_or(u64::MAX, |(time, _)| time);
            if op.invoked > told && root(run, place) != root(run, before) {
                let what = format!(
                    "session {session} went on to run operation {} of worker {}, though it had not \
                     confirmed a release before",
                    op.id, op.worker
                );
                violations.push(Violation::of_ops(
                    run,
                    Rule::NothingLeft,
                    &[before, place],
                    what,
                ));
                doubtful.remove(&key);
            }
        }
        if op.is(Outcome::Lost) || op.is(Outcome::Disowned) {
            doubtful.insert(key, place);
        }
    }
}

/// The outermost call that an operation is part of.
fn root(run: &Run, mut place: usize) -> usize {
    while let Some(parent) = run.ops[place].parent {
        place = parent;
    }
    place
}
