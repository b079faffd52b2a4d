//! What must hold in every run, whatever was done to it.

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
use std::str::FromStr;

use crate::run::Run;

/// What a call may take beyond its wait and all outages: the machine has more threads than processors, and
/// a server rolls back before it lets go.
const GRACE: u64 = 5_000_000_000;

/// The rules, by the letters that the documentation gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// (a) Bodies that reported success never overlap for one name.
    Exclusive,
    /// (b) A counter is what the reported commits make of it; only what nobody could know is open.
    Accounted,
    /// (c) What was lost was reported, and what was reported had a cause.
    Reported,
    /// (d) Nobody waits longer than he was ready to, or for less, or for nobody; no thread hangs.
    Prompt,
    /// (e) At the end nothing is left: no lock, no locked connection, no process, no directory.
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

    /// For the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Accounted => "accounted",
            Self::Reported => "reported",
            Self::Prompt => "prompt",
            Self::NothingLeft => "nothing-left",
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let rule = Self::ALL.into_iter().find(|rule| rule.word() == word);
        rule.ok_or_else(|| format!("the rules are {}", Self::ALL.map(Self::word).join(", ")))
    }
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

/// A rule that was broken, and where to look.
#[derive(Debug)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
    /// The operations that broke it, by their place in [`Run::ops`].
    pub ops: Vec<usize>,
    /// The stretch of time that shows it.
    pub from: u64,
    pub to: u64,
}

impl Violation {
    /// One that these operations show.
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

    /// One that only shows at the end.
    fn at_end(run: &Run, rule: Rule, what: String) -> Self {
        Self::of_ops(run, rule, &[], what)
    }
}

/// Everything that is wrong with a run.
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
