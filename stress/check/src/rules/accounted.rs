//! (b) A counter is what the reported commits make of it; only what nobody could know is open.
//!
//! Each body writes one more than it has read. So of n commits, each has written another number from 1
//! to n, and n is what is in the counter. That is more than the sum: it names the two that wrote the
//! same. A transaction that wrote several counters is in all of them or in none, which may settle whether
//! one that nobody could know of has been committed.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::{Rule, Violation};
use crate::history::{Claim, Outcome};
use crate::run::{Op, Run};

/// More numbers than these that nobody has reported say nothing more.
const GAPS: usize = 1_000;

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    let mut ledger = Ledger::new(run);
    for (name, counter) in &ledger.counters {
        if counter.last.is_none() && run.done {
            let what = format!("nobody has looked what is in `{name}`");
            violations.push(Violation::at_end(run, Rule::Accounted, what));
        }
        counter.check(run, name, violations);
    }
    ledger.settle(violations);
}

enum Commit {
    Reported,
    /// The connection or the process ended between the body's end and the answer to COMMIT.
    Unknown,
    None,
}

fn commit(op: &Op) -> Commit {
    match (op.outcome, op.claim) {
        (Some((_, Outcome::Ok)), _) | (_, Some(Claim::Committed)) => Commit::Reported,
        // What had its lock taken before the COMMIT must not be committed, whatever it says.
        _ if op.robbed().is_some() => Commit::None,
        (None, _) | (_, Some(Claim::Unknown)) => Commit::Unknown,
        (Some(_), _) => Commit::None,
    }
}

#[derive(Default)]
struct Counter {
    /// What is in it at the end.
    last: Option<i64>,
    /// Who has written which value.
    reported: BTreeMap<i64, Vec<usize>>,
    unknown: HashMap<i64, Vec<usize>>,
    /// Those whose error says that it did not happen, and those that had lost their lock.
    undone: HashMap<i64, Vec<usize>>,
}

impl Counter {
    fn check(&self, run: &Run, name: &str, violations: &mut Vec<Violation>) {
        let Some(last) = self.last else { return };
        let mut say = |ops: &[usize], what: String| {
            violations.push(Violation::of_ops(run, Rule::Accounted, ops, what));
        };
        for (value, ops) in &self.reported {
            if ops.len() > 1 {
                let times = ops.len();
                say(
                    ops,
                    format!("{times} commits of `{name}` wrote {value}: an update was lost"),
                );
            }
            if !(1..=last).contains(value) {
                say(
                    ops,
                    format!("a commit of `{name}` wrote {value}, but {last} is in it: it was lost"),
                );
            }
        }
    }

    /// The numbers that it went through, and that nobody has reported.
    fn gaps(&self) -> Vec<i64> {
        let all = 1..=self.last.unwrap_or(0);
        let gaps = all.filter(|value| !self.reported.contains_key(value));
        gaps.take(GAPS).collect()
    }

    /// Whether an operation that may have written this value can have been committed.
    fn allows(&self, value: i64, op: usize) -> bool {
        let in_it = self.last.is_none_or(|last| value <= last);
        let others = self.reported.get(&value);
        in_it && others.is_none_or(|ops| *ops == [op])
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
        for (place, op) in run.ops.iter().enumerate() {
            for (name, value) in &op.wrote {
                let counter = counters.entry(Rc::clone(name)).or_default();
                let writers = match commit(op) {
                    Commit::Reported => counter.reported.entry(*value).or_default(),
                    Commit::Unknown => counter.unknown.entry(*value).or_default(),
                    Commit::None => counter.undone.entry(*value).or_default(),
                };
                writers.push(place);
            }
        }
        Self { run, counters }
    }

    /// Finds for each number that nobody has reported somebody who could not know. Where only one is
    /// left, it was that one, and it is in its other counters too.
    fn settle(&mut self, violations: &mut Vec<Violation>) {
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
            let what =
                format!("`{name}` went through {value}, which no operation reports as committed");
            let found = Violation::of_ops(self.run, Rule::Accounted, &writers, what);
            violations.push(found);
        }
    }

    /// Who may have written a value, and nobody knows whether he did.
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
