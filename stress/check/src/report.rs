//! The report on a run: tables, and the events around the shortest violation.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::rules::{self, Rule, Violation};
use crate::run::{Op, Run};
use window::Window;

mod tables;
mod window;

/// The report lists at most so many violations of each rule, and counts the others.
const LISTED: usize = 12;

/// A run and its violations.
#[derive(Debug)]
pub struct Report {
    run: Run,
    violations: Vec<Violation>,
}

/// How often a lock, or a set of locks, was handed off from thread to thread within one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handoffs {
    pub all: usize,
    /// Handoffs of several locks at once.
    pub of_sets: usize,
}

impl Report {
    pub fn of(run: Run) -> Self {
        let violations = rules::check(&run);
        Self { run, violations }
    }

    pub fn run(&self) -> &Run {
        &self.run
    }

    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// How often each rule was broken.
    pub fn by_rule(&self) -> BTreeMap<Rule, usize> {
        let mut counts = BTreeMap::new();
        for violation in &self.violations {
            *counts.entry(violation.rule).or_default() += 1;
        }
        counts
    }

    /// The number of calls whose body ran.
    pub fn cycles(&self) -> usize {
        let ran = self.run.ops.iter().filter(|op| op.acquired.is_some());
        ran.count()
    }

    /// The number of faults that hit something.
    pub fn faults(&self) -> usize {
        let faults = self.run.faults.iter();
        faults
            .filter(|fault| fault.hit && fault.kind.is_counted())
            .count()
    }

    fn seconds(&self) -> f64 {
        self.run.to.saturating_sub(self.run.from) as f64 / 1e9
    }

    /// Counts the handoffs: two consecutive bodies of one session under the same locks, the second
    /// of which was requested before the first call returned.
    ///
    /// The history does not show whether the connection went back to its pool in between. So some
    /// of these are releases.
    pub fn handoffs(&self) -> Handoffs {
        let mut bodies: Vec<(u64, &Op)> = self
            .run
            .ops
            .iter()
            .filter(|op| op.parent.is_none() && op.uses_lock_pool())
            .filter_map(|op| Some((op.acquired?, op)))
            .collect();
        bodies.sort_by_key(|&(acquired, _)| acquired);
        let mut last: HashMap<(u32, u64), &Op> = HashMap::new();
        let mut handoffs = Handoffs::default();
        for (_, op) in bodies {
            let Some(session) = op.session else { continue };
            if let Some(before) = last.insert((op.worker, session), op)
                && before.has_same_names(op)
                && before
                    .returned()
                    .is_some_and(|returned| op.invoked < returned)
            {
                handoffs.all += 1;
                handoffs.of_sets += usize::from(op.names.len() > 1);
            }
        }
        handoffs
    }

    /// The violation that takes the shortest time.
    fn shortest(&self) -> Option<&Violation> {
        let violations = self.violations.iter().filter(|of| !of.ops.is_empty());
        violations.min_by_key(|violation| violation.to - violation.from)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.run;
        for (key, value) in &run.facts {
            writeln!(f, "{key}: {value}")?;
        }
        writeln!(f, "{}", self.outcomes())?;
        if !run.faults.is_empty() {
            writeln!(f, "{}", self.faults_table())?;
        }
        writeln!(f, "{}", self.rules_table())?;
        let handoffs = self.handoffs();
        writeln!(
            f,
            "{} cycles, {} handoffs ({} of sets) and {} faults in {:.0} s, by {} processes; \
             no connection: {} times; incomplete lines: {}.",
            self.cycles(),
            handoffs.all,
            handoffs.of_sets,
            self.faults(),
            self.seconds(),
            run.workers.len(),
            run.unconnected,
            run.incomplete_lines,
        )?;
        if self.is_clean() {
            return write!(f, "No rule was broken.");
        }
        if let Some(violation) = self.shortest() {
            write!(f, "\n{}", Window::of(run, violation))?;
        }
        writeln!(f, "\nViolations: {}", self.violations.len())?;
        for (rule, count) in self.by_rule() {
            let of_rule = self.violations.iter().filter(|it| it.rule == rule);
            for violation in of_rule.take(LISTED) {
                writeln!(f, "  {rule}: {}", violation.what)?;
            }
            if count > LISTED {
                writeln!(f, "  {rule}: and {} more", count - LISTED)?;
            }
        }
        if let Some(seed) = run.facts.get("seed") {
            write!(f, "\nSeed: {seed}")?;
        }
        Ok(())
    }
}
