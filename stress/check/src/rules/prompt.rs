//! (d) Nobody waits longer than he was ready to, or for less; no thread hangs.

use std::collections::BTreeMap;

use super::{GRACE, Rule, Violation, seconds};
use crate::history::{FaultKind, Outcome, WorkerState};
use crate::run::{Op, Run};

/// How much earlier than asked a time-out may come: the servers' timers are not the clock that is
/// read here.
const EARLY: u64 = 2_000_000;

/// What was tried as often and never once succeeded does not work.
const ENOUGH: usize = 300;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    for (place, op) in run.ops.iter().enumerate() {
        if let Some(what) = wrong(run, op) {
            let what = format!("{} {what}", op.who());
            violations.push(Violation::of_ops(run, Rule::Prompt, &[place], what));
        }
    }
    workers_end(run, violations);
    all_succeed_once(run, violations);
}

fn wrong(run: &Run, op: &Op) -> Option<String> {
    let wait = op.wait.0.saturating_mul(1_000_000);
    let until = match op.outcome {
        Some((time, _)) => time,
        None if run.was_killed(op.worker) => run.death(op.worker).unwrap_or(run.to),
        None => return Some("has no outcome: its thread hangs, or its process is gone".to_owned()),
    };
    // From the call to the body, or to the refusal.
    let asked = op.granted.unwrap_or(until).saturating_sub(op.invoked);
    if asked > wait.saturating_add(GRACE) {
        let (from, to) = (op.invoked, op.invoked.saturating_add(asked));
        let allowed = wait
            .saturating_add(GRACE)
            .saturating_add(outages(run, op, from, to));
        if asked > allowed {
            return Some(format!(
                "waited {}, for which it had asked {}",
                seconds(asked),
                seconds(wait)
            ));
        }
    }
    if (op.is(Outcome::Timeout) || op.is(Outcome::Busy)) && asked.saturating_add(EARLY) < wait {
        return Some(format!(
            "was told after {} that its time of {} was over",
            seconds(asked),
            seconds(wait)
        ));
    }
    // From the body's end to the answer.
    if let Some(ended) = op.ended {
        let took = until.saturating_sub(ended);
        if took > GRACE && took > GRACE + outages(run, op, ended, until) {
            return Some(format!("took {} to end", seconds(took)));
        }
    }
    None
}

/// How much of a time nobody could have answered.
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
            None => "was never seen to end",
            Some((_, WorkerState::Hung)) => "did not end when it was told to",
            Some((_, WorkerState::Failed)) => "ended on its own",
            Some((_, WorkerState::Exited)) if !worker.finished => "ended before it had finished",
            Some(_) => continue,
        };
        let what = format!("worker {number} {what}");
        violations.push(Violation::at_end(run, Rule::Prompt, what));
    }
}

/// A way of locking, and a kind of connection.
fn all_succeed_once(run: &Run, violations: &mut Vec<Violation>) {
    let mut tries: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for op in &run.ops {
        // Some ways are there to be refused, or to tell nobody.
        let as_meant = matches!(
            op.outcome,
            Some((
                _,
                Outcome::Ok
                    | Outcome::OpenTransaction
                    | Outcome::LeftOpen
                    | Outcome::KeyMismatch
                    | Outcome::Dropped
            ))
        );
        for what in [&op.way, &op.source] {
            let (tried, succeeded) = tries.entry(what).or_default();
            *tried += 1;
            *succeeded += usize::from(as_meant);
        }
    }
    for (what, (tried, succeeded)) in tries {
        if tried >= ENOUGH && succeeded == 0 {
            let what = format!("`{what}` was tried {tried} times and never once succeeded");
            violations.push(Violation::at_end(run, Rule::Prompt, what));
        }
    }
}
