//! (d) Waits are as long as requested, and end; no thread hangs.

use std::collections::BTreeMap;

use super::{GRACE, Rule, Violation, seconds};
use crate::history::{FaultKind, Outcome, WorkerState};
use crate::run::{Op, Run};

/// How much earlier than requested a timeout may come, because the servers use another clock.
const EARLY: u64 = 2_000_000;

/// An operation that was called so often must have succeeded once.
const ENOUGH: usize = 300;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    for (index, op) in run.ops.iter().enumerate() {
        if let Some(what) = wrong(run, op) {
            let what = format!("{} {what}", op.describe());
            violations.push(Violation::of_ops(run, Rule::Prompt, &[index], what));
        }
    }
    workers_end(run, violations);
    all_succeed_once(run, violations);
}

fn wrong(run: &Run, op: &Op) -> Option<String> {
    let wait = op.wait.0.saturating_mul(1_000_000);
    let until = match op.outcome {
        Some((time, _)) => time,
        None if run.was_killed(op.worker) => run.worker_end(op.worker),
        None => return Some("has no outcome: its thread hangs, or its process ended".to_owned()),
    };
    let waited = op.acquired.unwrap_or(until).saturating_sub(op.invoked);
    if waited > wait.saturating_add(GRACE) {
        let (from, to) = (op.invoked, op.invoked.saturating_add(waited));
        let allowed = wait
            .saturating_add(GRACE)
            .saturating_add(outages(run, op, from, to));
        if waited > allowed {
            return Some(format!(
                "waited {} with a timeout of {}",
                seconds(waited),
                seconds(wait)
            ));
        }
    }
    if (op.is(Outcome::Timeout) || op.is(Outcome::Contended)) && waited.saturating_add(EARLY) < wait
    {
        return Some(format!(
            "timed out after {} with a timeout of {}",
            seconds(waited),
            seconds(wait)
        ));
    }
    if let Some(ended) = op.ended {
        let took = until.saturating_sub(ended);
        if took > GRACE && took > GRACE + outages(run, op, ended, until) {
            return Some(format!("returned {} after its body ended", seconds(took)));
        }
    }
    None
}

/// For how much of a time the server could not answer this call.
fn outages(run: &Run, op: &Op, from: u64, to: u64) -> u64 {
    run.faults
        .iter()
        .filter(|fault| {
            let stopped = fault.kind == FaultKind::WorkerStop && fault.worker() == Some(op.worker);
            stopped || fault.kind.is_outage()
        })
        .map(|fault| fault.overlap(from, to))
        .sum()
}

fn workers_end(run: &Run, violations: &mut Vec<Violation>) {
    for (number, worker) in &run.workers {
        let what = match worker.ended {
            None if !run.done => continue,
            None => "has no end in the history",
            Some((_, WorkerState::Hung)) => "did not stop on request",
            Some((_, WorkerState::Failed)) => "ended without a request, or with an error",
            Some((_, WorkerState::Exited)) if !worker.finished => "stopped before it had finished",
            Some(_) => continue,
        };
        let what = format!("worker {number} {what}");
        violations.push(Violation::at_end(run, Rule::Prompt, what));
    }
}

/// Each operation, and each kind of connection, succeeds at least once.
fn all_succeed_once(run: &Run, violations: &mut Vec<Violation>) {
    let mut tries: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for op in &run.ops {
        // Some operations must be refused, others lose their lock, and a dropped guard reports
        // nothing.
        let as_intended = matches!(
            op.outcome,
            Some((
                _,
                Outcome::Ok
                    | Outcome::OpenTransaction
                    | Outcome::LeftOpen
                    | Outcome::KeyMismatch
                    | Outcome::IsolationLevel
                    | Outcome::SharedHeld
                    | Outcome::Dropped
                    | Outcome::Cut
            ))
        ) || op.lock_taken().is_some() && op.is(Outcome::NotHeld);
        for what in [&op.operation, &op.source] {
            let (tried, succeeded) = tries.entry(what).or_default();
            *tried += 1;
            *succeeded += usize::from(as_intended);
        }
    }
    for (what, (tried, succeeded)) in tries {
        if tried >= ENOUGH && succeeded == 0 {
            let what = format!("`{what}` was tried {tried} times and never succeeded");
            violations.push(Violation::at_end(run, Rule::Prompt, what));
        }
    }
}
