//! (c) What was lost was reported, and what was reported had a cause.

use std::collections::HashMap;

use super::{Rule, Violation};
use crate::history::{FaultKind, Outcome, WaitMs};
use crate::run::{Fault, Op, Run};

/// What a fault has done may be noticed a while after it is over: the machine is busy.
const AFTERMATH: u64 = 1_000_000_000;

/// A server with a short `wait_timeout` ends nobody who was silent for less.
const SILENCE: u64 = 900_000_000;

/// Ways that are there to be refused: a lock inside of an open transaction, and a body that does not
/// commit.
const REFUSED: [&str; 2] = ["in_transaction", "left_open"];

/// A pool opens a connection within this time, or gives up.
const OPENS_IN: WaitMs = WaitMs(500);

/// Longer than any operation takes.
const LONGEST: u64 = 120_000_000_000;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    losses_are_told(run, violations);
    thefts_are_told(run, violations);
    nothing_without_a_cause(run, violations);
}

/// Sessions that are known to have ended while a body ran: it must not report success.
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
            let hit = fault.kind != FaultKind::CutAll || op.goes_through_proxy();
            let spans = op
                .body()
                .is_some_and(|(from, to)| from < fault.begun && to > over);
            if hit && spans && op.is(Outcome::Ok) && same_server(run, op, fault) {
                let what = format!(
                    "operation {} of worker {} ({}) reported success, but its session was ended \
                     under it: {} {}",
                    op.id, op.worker, op.way, fault.kind, fault.target
                );
                violations.push(Violation::of_ops(run, Rule::Reported, &[place], what));
            }
        }
    }
}

/// A session's number means somebody else once the server was started again.
fn same_server(run: &Run, op: &Op, fault: &Fault) -> bool {
    let granted = op.granted.unwrap_or(op.invoked);
    fault.kind == FaultKind::ServerKill || run.incarnation(granted) == run.incarnation(fault.begun)
}

fn thefts_are_told(run: &Run, violations: &mut Vec<Violation>) {
    for (place, op) in run.ops.iter().enumerate() {
        let what = if op.stolen && op.is(Outcome::Ok) {
            "reported success, but its lock had been released behind its back"
        } else if !op.stolen && op.is(Outcome::Disowned) {
            "was told by a living session that the lock was not its own, and nobody had taken it"
        } else {
            continue;
        };
        let what = format!("operation {} of worker {} {what}", op.id, op.worker);
        violations.push(Violation::of_ops(run, Rule::Reported, &[place], what));
    }
}

/// Errors that only a fault can bring about, or that must not come at all.
fn nothing_without_a_cause(run: &Run, violations: &mut Vec<Violation>) {
    let mut say = |place: usize, what: String| {
        let op = &run.ops[place];
        let what = format!(
            "operation {} of worker {} ({}) ended with `{what}",
            op.id, op.worker, op.way
        );
        violations.push(Violation::of_ops(run, Rule::Reported, &[place], what));
    };
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
        let Some((told, outcome)) = op.outcome else {
            continue;
        };
        match outcome {
            Outcome::Deadlock if op.parent.is_none() && op.names.len() == 1 => {
                say(place, format!("{outcome}`, and held no other lock"));
            }
            Outcome::Pool if may_lack_connection(op) => {}
            Outcome::Lost
            | Outcome::Database
            | Outcome::BodyDatabase
            | Outcome::Interrupted
            | Outcome::Pool
                if !causes.any(since, told, outcome) =>
            {
                say(place, format!("{outcome}`, and no fault explains it"));
            }
            Outcome::Gone | Outcome::Other => {
                say(place, format!("{outcome}`, which no fault explains"));
            }
            Outcome::Ok if REFUSED.contains(&&*op.way) => {
                say(place, format!("{outcome}`, and must never succeed"));
            }
            _ => {}
        }
    }
}

/// Whether no connection is what a request has to expect: others have them all, or it takes longer to open one than
/// the request is ready to wait.
fn may_lack_connection(op: &Op) -> bool {
    op.source.contains("squeezed") || (1..OPENS_IN.0).contains(&op.wait.0)
}

/// The faults, for many questions about them.
struct Causes<'r> {
    faults: Vec<&'r Fault>,
    first_wait_timeout: Option<u64>,
}

impl<'r> Causes<'r> {
    fn new(run: &'r Run) -> Self {
        let first_wait_timeout = run
            .faults
            .iter()
            .filter(|fault| fault.kind == FaultKind::WaitTimeout)
            .map(|fault| fault.begun)
            .min();
        Self {
            faults: run.faults.iter().collect(),
            first_wait_timeout,
        }
    }

    fn any(&self, since: u64, told: u64, outcome: Outcome) -> bool {
        // A session that was opened with a short time-out keeps it.
        let silent = told.saturating_sub(since) >= SILENCE;
        if silent && self.first_wait_timeout.is_some_and(|first| first <= told) {
            return true;
        }
        // Faults are in the order of their beginning.
        let until = self.faults.partition_point(|fault| fault.begun <= told);
        self.faults[..until].iter().rev().any(|fault| {
            let kind = fault.kind;
            let can = kind.ends_sessions()
                || kind.ends_statements()
                || outcome == Outcome::Pool && kind.is_outage();
            can && fault.end().saturating_add(AFTERMATH) >= since
        })
    }
}
