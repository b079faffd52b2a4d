//! (b) A counter is what the reported commits make of it; only what nobody could know is open.
//!
//! Each body writes one more than it has read. So of n commits, each has written another number from 1
//! to n, and n is what is in the counter. That is more than the sum: it names the two that wrote the
//! same.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::{Rule, Violation};
use crate::history::Outcome;
use crate::run::{Op, Run};

pub(super) fn check(run: &Run, violations: &mut Vec<Violation>) {
    let mut counters: BTreeMap<Rc<str>, Counter> = BTreeMap::new();
    for (place, op) in run.ops.iter().enumerate() {
        for (name, value) in &op.wrote {
            let counter = counters.entry(Rc::clone(name)).or_default();
            match commit(op) {
                Commit::Reported => counter.reported.entry(*value).or_default().push(place),
                Commit::Unknown => counter.unknown.entry(*value).or_default().push(place),
                Commit::None => {}
            }
        }
    }
    for (name, counter) in &counters {
        let Some(&last) = run.finals.get(&**name) else {
            if run.done {
                let what = format!("nobody has looked what is in `{name}`");
                violations.push(Violation::at_end(run, Rule::Accounted, what));
            }
            continue;
        };
        counter.check(run, name, last, violations);
    }
}

enum Commit {
    Reported,
    /// The connection or the process ended between the body's end and the answer to COMMIT.
    Unknown,
    None,
}

fn commit(op: &Op) -> Commit {
    match op.outcome {
        // A loss is told after the COMMIT.
        Some((_, Outcome::Ok | Outcome::Lost | Outcome::Disowned)) => Commit::Reported,
        Some((_, Outcome::Database)) | None => Commit::Unknown,
        Some(_) => Commit::None,
    }
}

#[derive(Default)]
struct Counter {
    /// Who has written which value.
    reported: BTreeMap<i64, Vec<usize>>,
    unknown: HashMap<i64, Vec<usize>>,
}

impl Counter {
    fn check(&self, run: &Run, name: &str, last: i64, violations: &mut Vec<Violation>) {
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
            if *value > last {
                say(
                    ops,
                    format!("a commit of `{name}` wrote {value}, but {last} is in it: it was lost"),
                );
            }
        }
        for value in 1..=last {
            if self.reported.contains_key(&value) || self.unknown.contains_key(&value) {
                continue;
            }
            // Whoever wrote it was told that it did not happen.
            let writers: Vec<usize> = (0..run.ops.len())
                .filter(|&op| {
                    let mut wrote = run.ops[op].wrote.iter();
                    wrote.any(|(of, wrote)| &**of == name && *wrote == value)
                })
                .collect();
            say(
                &writers,
                format!("`{name}` went through {value}, which nobody has reported to be committed"),
            );
        }
    }
}
