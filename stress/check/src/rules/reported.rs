//! (c) What was lost was reported, and what was reported had a cause.

use std::collections::HashMap;

use super::causes::Causes;
use super::{Rule, Violation};
use crate::history::{Claim, FaultKind, OpFault, Outcome};
use crate::run::{Op, Run};

/// Ways that must not succeed: a lock inside of an open transaction, a body that does not commit, and a body in
/// whose session every statement, or every COMMIT, begins a transaction.
const IN_TRANSACTION: &str = "in_transaction";
const LEFT_OPEN: &str = "left_open";
const SETTINGS_IN_BODY: &str = "settings_in_body";
const SETTINGS_IN_TRANSACTION: &str = "settings_in_transaction";
const LEAVES_OPEN: [&str; 3] = [LEFT_OPEN, SETTINGS_IN_BODY, SETTINGS_IN_TRANSACTION];

/// Longer than any operation takes.
const LONGEST: u64 = 120_000_000_000;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    losses_are_told(run, violations);
    thefts_are_told(run, violations);
    claims_fit(run, violations);
    nothing_without_a_cause(run, violations);
}

/// Sessions that are known to have ended while a body ran: it must not report success. Whoever does had the same
/// session all the while, so that its number means no other.
fn losses_are_told(run: &Run, violations: &mut Vec<Violation>) {
    let mut by_session: HashMap<u64, Vec<usize>> = HashMap::new();
    for (place, op) in run.ops.iter().enumerate() {
        if let Some(session) = op.session {
            by_session.entry(session).or_default().push(place);
        }
    }
    for fault in run.faults.iter().filter(|fault| fault.struck) {
        let Some(over) = fault.over else { continue };
        let of_session;
        let since;
        let candidates: &[usize] = match fault.kind {
            FaultKind::KillHolder | FaultKind::KillWaiter => {
                let session = fault.session().and_then(|id| by_session.get(&id));
                session.map_or(&[], Vec::as_slice)
            }
            FaultKind::ServerKill | FaultKind::CutAll => {
                let earliest = fault.begun.saturating_sub(LONGEST);
                since = run.ops.partition_point(|op| op.invoked < earliest);
                let until = run.ops.partition_point(|op| op.invoked < fault.begun);
                of_session = (since..until).collect::<Vec<_>>();
                &of_session
            }
            _ => &[],
        };
        for &place in candidates {
            let op = &run.ops[place];
            let spans = op
                .body()
                .is_some_and(|(from, to)| from < fault.begun && to > over);
            if spans && op.is(Outcome::Ok) && fault.aims_at(op) {
                let what = format!(
                    "{} reported success, but its session was ended under it: {} {}",
                    op.who(),
                    fault.kind,
                    fault.target
                );
                violations.push(Violation::of_ops(run, Rule::Reported, &[place], what));
            }
        }
    }
}

fn thefts_are_told(run: &Run, violations: &mut Vec<Violation>) {
    for (place, op) in run.ops.iter().enumerate() {
        let was_robbed = op.robbed().is_some();
        let what = if was_robbed && op.is(Outcome::Ok) {
            "reported success, but its lock had been released behind its back"
        } else if was_robbed
            && (op.is(Outcome::CommitUnknown) || op.claim == Some(Claim::Committed))
        {
            "went on to COMMIT, but its lock had been released behind its back"
        } else if !was_robbed && op.is(Outcome::Disowned) {
            "was told by a living session that the lock was not its own, and nobody had taken it"
        } else {
            continue;
        };
        let what = format!("{} {what}", op.who());
        violations.push(Violation::of_ops(run, Rule::Reported, &[place], what));
    }
}

/// What an error says of the work is what became of it, as far as this shows without the counters.
fn claims_fit(run: &Run, violations: &mut Vec<Violation>) {
    for (place, op) in run.ops.iter().enumerate() {
        let ran = op.granted.is_some();
        let refused = |fault: OpFault| fault.is_to_be_refused();
        let what = match op.claim {
            _ if ran && op.was_struck(refused) => "ran its body, and should have been refused",
            Some(Claim::NothingHappened) if ran => "says that nothing happened, but its body ran",
            Some(Claim::RolledBack | Claim::Ran | Claim::Committed | Claim::Unknown) if !ran => {
                "says what became of its work, but its body did not run"
            }
            Some(Claim::Ran) if !op.wrote.is_empty() => {
                "does not say what became of its transaction"
            }
            _ => continue,
        };
        let what = format!("{} {what}", op.who());
        violations.push(Violation::of_ops(run, Rule::Reported, &[place], what));
    }
}

/// Errors that only a fault can bring about, or that must not come at all.
fn nothing_without_a_cause(run: &Run, violations: &mut Vec<Violation>) {
    // When each thread had last asked the same connection for anything, or one of the same pool: what
    // an operation suffers came later, for an answer may be old when it arrives.
    let mut before: HashMap<(u32, u16, &str), u64> = HashMap::new();
    let mut roots: Vec<u64> = Vec::with_capacity(run.ops.len());
    let causes = Causes::new(run);
    for (place, op) in run.ops.iter().enumerate() {
        let since = match op.parent {
            Some(parent) => roots[parent],
            None => {
                let start = run
                    .workers
                    .get(&op.worker)
                    .and_then(|worker| worker.started);
                let last = before.insert((op.worker, op.thread, &op.source), op.invoked);
                last.or(start).unwrap_or(op.invoked)
            }
        };
        roots.push(since);
        if let Some((told, outcome)) = op.outcome
            && let Some(why) = wrong(&causes, op, since, told, outcome)
        {
            let what = format!("{} ended with `{outcome}`, {why}", op.who());
            violations.push(Violation::of_ops(run, Rule::Reported, &[place], what));
        }
    }
}

fn wrong(
    causes: &Causes<'_>,
    op: &Op,
    since: u64,
    told: u64,
    outcome: Outcome,
) -> Option<&'static str> {
    let allowed = match outcome {
        // The connection that took the other's place has no transaction.
        Outcome::Database if op.was_struck(|fault| fault == OpFault::Swap) => true,
        Outcome::Lost
        | Outcome::Database
        | Outcome::BodyDatabase
        | Outcome::Interrupted
        | Outcome::CommitUnknown => causes.fails_statement(op, since, told),
        Outcome::Pool => op.may_lack_connection() || causes.withholds_connection(op, since, told),
        Outcome::OpenTransaction
            if *op.way != *IN_TRANSACTION
                && !op.was_struck(|it| matches!(it, OpFault::NoAutocommit | OpFault::Chain)) =>
        {
            return Some("and nothing was open");
        }
        Outcome::LeftOpen if !LEAVES_OPEN.contains(&&*op.way) => {
            return Some("and had left nothing open");
        }
        Outcome::KeyMismatch if !op.was_struck(|it| it == OpFault::Misspelled) => {
            return Some("and its key was the row's");
        }
        Outcome::Ok
            if *op.way == *IN_TRANSACTION
                || LEAVES_OPEN.contains(&&*op.way)
                || op.was_struck(OpFault::is_to_be_refused) =>
        {
            return Some("and must never succeed");
        }
        Outcome::Gone | Outcome::Other => false,
        _ => true,
    };
    (!allowed).then_some("and no fault explains it")
}
