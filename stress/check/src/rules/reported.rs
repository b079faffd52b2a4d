//! (c) Each loss is reported, and each error has a cause.

use std::collections::HashMap;

use super::causes::Causes;
use super::{Rule, Violation};
use crate::history::{Claim, FaultKind, OpFault, Outcome};
use crate::run::{Op, Run};

/// An operation that must be refused, because it requests a lock inside an open transaction.
const IN_TRANSACTION: &str = "in_transaction";

/// Operations that must not succeed, because their bodies leave a transaction open.
const LEAVES_OPEN: [&str; 3] = ["left_open", "settings_in_body", "settings_in_transaction"];

/// An operation that must be refused, because its session holds the lock shared.
const UPGRADE: &str = "upgrade";

/// Longer than any call takes.
const LONGEST: u64 = 120_000_000_000;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    ended_sessions_are_reported(run, violations);
    thefts_are_reported(run, violations);
    claims_fit(run, violations);
    errors_have_a_cause(run, violations);
}

/// A call does not report success if its session ended while its body ran.
///
/// A call that does report success had one session throughout, so its number is unambiguous.
fn ended_sessions_are_reported(run: &Run, violations: &mut Vec<Violation>) {
    let mut by_session: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, op) in run.ops.iter().enumerate() {
        if let Some(session) = op.session {
            by_session.entry(session).or_default().push(index);
        }
    }
    for fault in run.faults.iter().filter(|fault| fault.hit) {
        let Some(over) = fault.over else { continue };
        let candidates = match fault.kind {
            FaultKind::KillHolder | FaultKind::KillWaiter => {
                let session = fault.session().and_then(|id| by_session.get(&id));
                session.cloned().unwrap_or_default()
            }
            FaultKind::ServerKill | FaultKind::CutAll => {
                let earliest = fault.begun.saturating_sub(LONGEST);
                let since = run.ops.partition_point(|op| op.invoked < earliest);
                let until = run.ops.partition_point(|op| op.invoked < fault.begun);
                (since..until).collect()
            }
            _ => Vec::new(),
        };
        for index in candidates {
            let op = &run.ops[index];
            let spans = op
                .body()
                .is_some_and(|(from, to)| from < fault.begun && to > over);
            if spans && run.reports_success(index) && fault.can_hit(op) {
                let what = format!(
                    "{} reported success, but its session had ended: {} {}",
                    op.describe(),
                    fault.kind,
                    fault.target
                );
                violations.push(Violation::of_ops(run, Rule::Reported, &[index], what));
            }
        }
    }
}

fn thefts_are_reported(run: &Run, violations: &mut Vec<Violation>) {
    for (index, op) in run.ops.iter().enumerate() {
        let lock_taken = op.lock_taken().is_some();
        let what = if lock_taken && op.is(Outcome::Ok) {
            "reported success, but its body had lost the lock"
        } else if lock_taken
            // On PostgreSQL the message that commits has the proof as well, so that neither may
            // have an answer.
            && (op.is(Outcome::CommitUnknown) && !run.is_on_postgres()
                || op.claim == Some(Claim::Committed))
        {
            "reached its COMMIT, but its body had lost the lock"
        } else if !lock_taken
            && op.is(Outcome::NotHeld)
            // It takes away the library's mark of its transaction, which then cannot be recognized.
            && !op.had_fault(|it| it == OpFault::ResetAll)
        {
            "returned `not-held`, but its worker had not taken the lock away"
        } else {
            continue;
        };
        let what = format!("{} {what}", op.describe());
        violations.push(Violation::of_ops(run, Rule::Reported, &[index], what));
    }
}

/// What an error claims about the work does not contradict the body. The counters are checked by
/// rule (b).
fn claims_fit(run: &Run, violations: &mut Vec<Violation>) {
    for (index, op) in run.ops.iter().enumerate() {
        let ran = op.acquired.is_some();
        let refused = |fault: OpFault| fault.must_be_refused();
        let what = match op.claim {
            _ if ran && op.had_fault(refused) => "ran its body, but should have been refused",
            Some(Claim::NothingHappened) if ran => "claims that nothing happened, but its body ran",
            Some(Claim::RolledBack | Claim::Ran | Claim::Committed | Claim::Unknown) if !ran => {
                "claims that its body ran, but it did not"
            }
            Some(Claim::Ran) if !op.wrote.is_empty() => {
                "does not claim what became of its transaction"
            }
            _ => continue,
        };
        let what = format!("{} {what}", op.describe());
        violations.push(Violation::of_ops(run, Rule::Reported, &[index], what));
    }
}

/// An error that needs a fault has one, and some errors are never returned.
fn errors_have_a_cause(run: &Run, violations: &mut Vec<Violation>) {
    // When each thread last used the same source. A fault may have broken the connection since
    // then, which shows only when the connection is used again.
    let mut before: HashMap<(u32, u16, &str), u64> = HashMap::new();
    let mut roots: Vec<u64> = Vec::with_capacity(run.ops.len());
    let causes = Causes::new(run);
    for (index, op) in run.ops.iter().enumerate() {
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
        if let Some((returned, outcome)) = op.outcome
            && let Some(why) = wrong(&causes, op, since, returned, outcome)
        {
            let what = format!("{} returned `{outcome}`, but {why}", op.describe());
            violations.push(Violation::of_ops(run, Rule::Reported, &[index], what));
        }
    }
}

fn wrong(
    causes: &Causes<'_>,
    op: &Op,
    since: u64,
    returned: u64,
    outcome: Outcome,
) -> Option<&'static str> {
    let allowed = match outcome {
        // The other connection of a swap may have no transaction.
        Outcome::Database if op.had_fault(|fault| fault == OpFault::Swap) => true,
        // Without its lock, a swapped connection takes part in deadlocks of rows.
        Outcome::BodyDatabase if causes.is_beside_swap(op, returned) => true,
        Outcome::Lost
        | Outcome::Database
        | Outcome::BodyDatabase
        | Outcome::Interrupted
        | Outcome::CommitUnknown
            if op.had_fault(|it| it == OpFault::StatementTimeout) =>
        {
            causes.fails_statement(op, since, returned) || causes.is_outage(op, since, returned)
        }
        // The prepared statements are gone.
        Outcome::Lost if op.had_fault(|it| it == OpFault::DiscardAll) => true,
        // The server may take transactions for conflicting that are not.
        Outcome::Database | Outcome::BodyDatabase if op.is_serializable() => true,
        Outcome::Lost
        | Outcome::Database
        | Outcome::BodyDatabase
        | Outcome::Interrupted
        | Outcome::CommitUnknown => causes.fails_statement(op, since, returned),
        Outcome::Pool => {
            op.may_lack_connection() || causes.withholds_connection(op, since, returned)
        }
        Outcome::OpenTransaction
            if *op.operation != *IN_TRANSACTION
                && !op.had_fault(|it| {
                    matches!(
                        it,
                        OpFault::NoAutocommit | OpFault::Chain | OpFault::RawBegin
                    )
                }) =>
        {
            return Some("no transaction was open");
        }
        Outcome::LeftOpen if !LEAVES_OPEN.contains(&&*op.operation) => {
            return Some("its body left no transaction open");
        }
        Outcome::KeyMismatch if !op.had_fault(|it| it == OpFault::Misspelled) => {
            return Some("its key was the row's");
        }
        Outcome::IsolationLevel if !op.locks_until_commit() || !op.has_snapshot() => {
            return Some("its transaction was not above READ COMMITTED");
        }
        Outcome::SharedHeld if *op.operation != *UPGRADE => {
            return Some("its session did not hold the lock shared");
        }
        Outcome::Ok if op.locks_until_commit() && op.has_snapshot() => {
            return Some("its transaction was above READ COMMITTED");
        }
        Outcome::Ok
            if *op.operation == *IN_TRANSACTION
                || *op.operation == *UPGRADE
                || LEAVES_OPEN.contains(&&*op.operation)
                || op.had_fault(OpFault::must_be_refused) =>
        {
            return Some("it must not succeed");
        }
        Outcome::WrongAnswer => return Some("no statement may get the answer to another one"),
        Outcome::RowNotFound | Outcome::Other => false,
        _ => true,
    };
    (!allowed).then_some("no fault explains it")
}
