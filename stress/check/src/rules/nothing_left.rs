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
    let doubtful = none_is_used_again(run, violations);
    none_is_kept(run, &doubtful, violations);
}

/// The last operation of each session that was not told that its lock was released, by how often the
/// server was killed before and the session's number.
type Doubtful = HashMap<(usize, u64), usize>;

/// A connection whose lock the server did not confirm to be released may still hold it: nobody may
/// work on it any more.
fn none_is_used_again(run: &Run, violations: &mut Vec<Violation>) -> Doubtful {
    let mut order: Vec<usize> = (0..run.ops.len()).collect();
    order.sort_by_key(|&place| run.ops[place].granted);
    let mut doubtful = Doubtful::new();
    for place in order {
        let op = &run.ops[place];
        let (Some(session), Some(granted)) = (op.session, op.granted) else {
            continue;
        };
        // If the server was killed meanwhile, nobody knows which session has this number.
        if let Some(incarnation) = run.incarnation(op.invoked, granted)
            && let Some(&before) = doubtful.get(&(incarnation, session))
            && run.ops[before].ended.is_some_and(|ended| ended < granted)
            && run.root(place) != run.root(before)
        {
            let what = format!(
                "session {session} went on to run {}, though it had not confirmed a release before",
                op.who()
            );
            let ops = [before, place];
            violations.push(Violation::of_ops(run, Rule::NothingLeft, &ops, what));
            doubtful.remove(&(incarnation, session));
        }
        let is_ended = [Outcome::Lost, Outcome::Disowned, Outcome::CommitUnknown];
        if is_ended.iter().any(|&word| op.is(word))
            && let Some(incarnation) = run.incarnation(op.invoked, op.last())
        {
            doubtful.insert((incarnation, session), place);
        }
    }
    doubtful
}

fn none_is_kept(run: &Run, doubtful: &Doubtful, violations: &mut Vec<Violation>) {
    for drained in &run.drained {
        let session = run
            .incarnation(drained.time, drained.time)
            .map(|incarnation| (incarnation, drained.session));
        if let Some(&before) = session.and_then(|session| doubtful.get(&session)) {
            let what = format!(
                "session {} was kept, though it had not confirmed the release of {}",
                drained.session,
                run.ops[before].who()
            );
            violations.push(Violation::of_ops(run, Rule::NothingLeft, &[before], what));
        }
    }
}
