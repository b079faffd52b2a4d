//! The rules that hold in every run, whatever faults were injected.

mod accounted;
mod causes;
mod deadlock;
mod exclusive;
mod idle;
mod nothing_left;
mod prompt;
mod reported;
mod spans;

use std::fmt;

use crate::run::Run;

/// How much longer than its timeout and all outages a call may take: the machine has more threads
/// than processors, and a server rolls back before it releases.
const GRACE: u64 = 5_000_000_000;

/// The rules, with their letters in `docs/reliability.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// (a) Bodies that reported success under one name never overlap, except readers.
    Exclusive,
    /// (b) A counter has the value that the reported commits add up to.
    Accounted,
    /// (c) Each loss is reported, and each error has a cause.
    Reported,
    /// (d) Waits are as long as requested, and end; no thread hangs.
    Prompt,
    /// (e) No lock, locked connection, session, process or directory remains at the end.
    NothingLeft,
}

impl Rule {
    pub const ALL: [Self; 5] = [
        Self::Exclusive,
        Self::Accounted,
        Self::Reported,
        Self::Prompt,
        Self::NothingLeft,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exclusive => "(a) exclusive",
            Self::Accounted => "(b) accounted",
            Self::Reported => "(c) reported",
            Self::Prompt => "(d) prompt",
            Self::NothingLeft => "(e) nothing left",
        })
    }
}

/// A broken rule, and where it shows.
#[derive(Debug)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
    /// The calls that broke it, by their index in [`Run::ops`].
    pub ops: Vec<usize>,
    /// The stretch of time in which it shows.
    pub from: u64,
    pub to: u64,
}

impl Violation {
    /// A violation that shows in these calls.
    fn of_ops(run: &Run, rule: Rule, ops: &[usize], what: String) -> Self {
        let from = ops.iter().map(|&op| run.ops[op].invoked).min();
        let to = ops.iter().map(|&op| run.ops[op].last()).max();
        Self {
            rule,
            what,
            ops: ops.to_vec(),
            from: from.unwrap_or(run.to),
            to: to.unwrap_or(run.to),
        }
    }

    /// A violation that shows only at the end.
    fn at_end(run: &Run, rule: Rule, what: String) -> Self {
        Self::of_ops(run, rule, &[], what)
    }
}

/// All violations of a run.
pub fn check(run: &Run) -> Vec<Violation> {
    let mut violations = Vec::new();
    exclusive::check(run, &mut violations);
    accounted::check(run, &mut violations);
    reported::check(run, &mut violations);
    deadlock::check(run, &mut violations);
    prompt::check(run, &mut violations);
    idle::check(run, &mut violations);
    nothing_left::check(run, &mut violations);
    violations
}

fn seconds(nanos: u64) -> String {
    format!(
        "{}.{:03} s",
        nanos / 1_000_000_000,
        nanos / 1_000_000 % 1_000
    )
}
