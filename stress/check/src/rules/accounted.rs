//! (b) A counter has the value that the reported commits add up to.
//!
//! Each body writes one more than it has read. So n commits have written each number from 1 to n
//! once, and the counter is n. This finds more than the sum does: two commits that wrote the same
//! number are a lost update.
//!
//! A commit whose result is unknown may explain a number that no commit reported. A transaction
//! that wrote several counters is in all of them or in none, which limits what it can explain.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::{Rule, Violation};
use crate::history::{Claim, Outcome};
use crate::run::{Op, Run};

/// At most so many unreported numbers of a counter are examined.
const GAPS: usize = 1_000;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    let mut ledger = Ledger::new(run);
    for (name, counter) in &ledger.counters {
        if counter.last.is_none() && run.done {
            let what = format!("the final value of `{name}` was not read");
            violations.push(Violation::at_end(run, Rule::Accounted, what));
        }
        counter.check(run, name, violations);
    }
    ledger.explain_gaps(violations);
}

enum Commit {
    Reported,
    /// The connection or the process ended between the body's end and the reply to COMMIT.
    Unknown,
    None,
}

fn commit(op: &Op) -> Commit {
    match (op.outcome, op.claim) {
        (Some((_, Outcome::Ok)), _) | (_, Some(Claim::Committed)) => Commit::Reported,
        // A call whose lock was taken before its COMMIT must not commit, whatever its error claims.
        _ if op.lock_taken().is_some() => Commit::None,
        (None | Some((_, Outcome::Cut)), _) | (_, Some(Claim::Unknown)) => Commit::Unknown,
        (Some(_), _) => Commit::None,
    }
}

#[derive(Default)]
struct Counter {
    /// Its value at the end.
    last: Option<i64>,
    /// For each value, the calls that reported its commit.
    reported: BTreeMap<i64, Vec<usize>>,
    /// For each value, the calls that may have committed it.
    unknown: HashMap<i64, Vec<usize>>,
    /// For each value, the calls that wrote it and must not have committed it.
    undone: HashMap<i64, Vec<usize>>,
}

impl Counter {
    fn check(&self, run: &Run, name: &str, violations: &mut Vec<Violation>) {
        let Some(last) = self.last else { return };
        let mut report = |ops: &[usize], what: String| {
            violations.push(Violation::of_ops(run, Rule::Accounted, ops, what));
        };
        for (value, ops) in &self.reported {
            if ops.len() > 1 {
                let times = ops.len();
                report(
                    ops,
                    format!("an update was lost: {times} commits of `{name}` wrote {value}"),
                );
            }
            if !(1..=last).contains(value) {
                report(
                    ops,
                    format!("a commit was lost: it wrote {value} to `{name}`, which is {last}"),
                );
            }
        }
    }

    /// The values that it had although no call reported their commit.
    fn gaps(&self) -> Vec<i64> {
        let all = 1..=self.last.unwrap_or(0);
        let gaps = all.filter(|value| !self.reported.contains_key(value));
        gaps.take(GAPS).collect()
    }

    /// Whether this call can have committed this value.
    fn allows(&self, value: i64, op: usize) -> bool {
        let in_range = self.last.is_none_or(|last| value <= last);
        let reported = self.reported.get(&value);
        in_range && reported.is_none_or(|ops| *ops == [op])
    }
}

struct Ledger<'r> {
    run: &'r Run,
    counters: BTreeMap<Rc<str>, Counter>,
}

impl<'r> Ledger<'r> {
    fn new(run: &'r Run) -> Self {
        let mut counters: BTreeMap<Rc<str>, Counter> = BTreeMap::new();
        for (name, &last) in &run.finals {
            counters.entry(name.as_str().into()).or_default().last = Some(last);
        }
        for (index, op) in run.ops.iter().enumerate() {
            for (name, value) in &op.wrote {
                let counter = counters.entry(Rc::clone(name)).or_default();
                let writers = match commit(op) {
                    Commit::Reported => counter.reported.entry(*value).or_default(),
                    Commit::Unknown => counter.unknown.entry(*value).or_default(),
                    Commit::None => counter.undone.entry(*value).or_default(),
                };
                writers.push(index);
            }
        }
        Self { run, counters }
    }

    /// Finds for each gap the calls whose unknown commit explains it.
    ///
    /// If only one call explains a gap, that call has committed, to its other counters too. This
    /// may leave fewer explanations for other gaps, so the search is repeated until nothing
    /// changes.
    fn explain_gaps(&mut self, violations: &mut Vec<Violation>) {
        let counters = self.counters.iter();
        let mut gaps: Vec<(Rc<str>, i64)> = counters
            .flat_map(|(name, counter)| {
                let gaps = counter.gaps().into_iter();
                gaps.map(|value| (Rc::clone(name), value))
            })
            .collect();
        loop {
            let before = gaps.len();
            gaps.retain(|(name, value)| match self.candidates(name, *value)[..] {
                [only] => {
                    self.report(only);
                    false
                }
                _ => true,
            });
            if gaps.len() == before {
                break;
            }
        }
        for (name, value) in gaps {
            if !self.candidates(&name, value).is_empty() {
                continue;
            }
            let counter = &self.counters[&name];
            let writers = [&counter.unknown, &counter.undone];
            let writers = writers.into_iter().filter_map(|by| by.get(&value));
            let writers: Vec<usize> = writers.flatten().copied().collect();
            let what = format!("`{name}` had the value {value}, whose commit no call reported");
            let found = Violation::of_ops(self.run, Rule::Accounted, &writers, what);
            violations.push(found);
        }
    }

    /// The calls with an unknown commit that may have written this value.
    fn candidates(&self, name: &Rc<str>, value: i64) -> Vec<usize> {
        let writers = self.counters[name].unknown.get(&value);
        let writers = writers.into_iter().flatten().copied();
        let possible = |op: &usize| {
            let mut wrote = self.run.ops[*op].wrote.iter();
            wrote.all(|(name, value)| self.counters[name].allows(*value, *op))
        };
        writers.filter(possible).collect()
    }

    fn report(&mut self, op: usize) {
        for (name, value) in &self.run.ops[op].wrote {
            if let Some(counter) = self.counters.get_mut(name) {
                counter.reported.insert(*value, vec![op]);
            }
        }
    }
}
