//! The verdict on a run, for people: tables, and the shortest window that shows a violation.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::rules::{self, Rule, Violation};
use crate::run::{Op, Run};
use window::Window;

mod tables;
mod window;

/// More violations than these are counted, not told.
const TOLD: usize = 12;

/// What came of a run.
#[derive(Debug)]
pub struct Verdict {
    run: Run,
    violations: Vec<Violation>,
}

/// How often locks went from thread to thread of a process within one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handoffs {
    pub all: usize,
    /// Those of several locks at once.
    pub of_sets: usize,
}

impl Verdict {
    pub fn on(run: Run) -> Self {
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

    pub fn broke(&self, rule: Rule) -> bool {
        self.violations
            .iter()
            .any(|violation| violation.rule == rule)
    }

    /// Calls whose body ran.
    pub fn cycles(&self) -> usize {
        let ran = self.run.ops.iter().filter(|op| op.granted.is_some());
        ran.count()
    }

    pub fn faults(&self) -> usize {
        let struck = self.run.faults.iter();
        struck
            .filter(|fault| fault.struck && fault.kind.is_counted())
            .count()
    }

    fn seconds(&self) -> f64 {
        self.run.to.saturating_sub(self.run.from) as f64 / 1e9
    }

    /// How often a lock, or a set of locks, went from one thread to the next of its process: bodies
    /// under the same locks that follow each other on a session, the later of which was requested by
    /// another thread before the earlier was over. The history does not show whether the connection
    /// went through the pool between them, so some of them are releases.
    pub fn handoffs(&self) -> Handoffs {
        let mut bodies: Vec<(u64, &Op)> = self
            .run
            .ops
            .iter()
            .filter(|op| op.parent.is_none() && op.is_handed_off())
            .filter_map(|op| Some((op.granted?, op)))
            .collect();
        bodies.sort_by_key(|&(granted, _)| granted);
        let mut last: HashMap<(u32, u64), &Op> = HashMap::new();
        let mut handoffs = Handoffs::default();
        for (_, op) in bodies {
            let Some(session) = op.session else { continue };
            if let Some(before) = last.insert((op.worker, session), op)
                && before.has_names_of(op)
                && before.told().is_some_and(|told| op.invoked < told)
            {
                handoffs.all += 1;
                handoffs.of_sets += usize::from(op.names.len() > 1);
            }
        }
        handoffs
    }

    /// The violation that shows in the shortest stretch of time.
    fn shortest(&self) -> Option<&Violation> {
        let shown = self.violations.iter().filter(|of| !of.ops.is_empty());
        shown.min_by_key(|violation| violation.to - violation.from)
    }
}

impl fmt::Display for Verdict {
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
             {} times no connection, {} lines torn by a kill.",
            self.cycles(),
            handoffs.all,
            handoffs.of_sets,
            self.faults(),
            self.seconds(),
            run.workers.len(),
            run.unconnected,
            run.torn,
        )?;
        if self.is_clean() {
            return write!(f, "No rule was broken.");
        }
        writeln!(f, "\nVIOLATED, {} times:", self.violations.len())?;
        for violation in self.violations.iter().take(TOLD) {
            writeln!(f, "  {}: {}", violation.rule, violation.what)?;
        }
        if self.violations.len() > TOLD {
            writeln!(f, "  .. and {} more", self.violations.len() - TOLD)?;
        }
        if let Some(violation) = self.shortest() {
            write!(f, "\n{}", Window::of(run, violation))?;
        }
        if let Some(seed) = run.facts.get("seed") {
            write!(f, "\nThe seed was {seed}.")?;
        }
        Ok(())
    }
}
