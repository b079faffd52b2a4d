//! The verdict on a run, as people read it: tables, and the shortest window that shows what is wrong.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};

use crate::history::Outcome;
use crate::rules::{self, Rule, Violation};
use crate::run::Run;

/// More violations than these are counted, not told.
const TOLD: usize = 12;

/// More lines of a window than these show nothing more.
const LINES: usize = 60;

/// What came of a run.
#[derive(Debug)]
pub struct Verdict {
    run: Run,
    violations: Vec<Violation>,
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

    fn outcomes(&self) -> Table {
        let mut ways: BTreeMap<&str, BTreeMap<Option<Outcome>, usize>> = BTreeMap::new();
        for op in &self.run.ops {
            let word = op.outcome.map(|(_, word)| word);
            *ways.entry(&op.way).or_default().entry(word).or_default() += 1;
        }
        let mut columns: Vec<Option<Outcome>> = ways
            .values()
            .flat_map(|words| words.keys().copied())
            .collect();
        columns.sort_by_key(|word| word.map_or(usize::MAX, |word| word as usize));
        columns.dedup();

        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let titles = columns
            .iter()
            .map(|word| word.map_or("no outcome", Outcome::word));
        table.set_header(["way", "calls"].into_iter().chain(titles));
        let mut row = |way: &str, words: &BTreeMap<Option<Outcome>, usize>| {
            let counts = columns.iter().map(|word| match words.get(word) {
                Some(count) => count.to_string(),
                None => String::new(),
            });
            let calls: usize = words.values().sum();
            table.add_row(
                [way.to_owned(), calls.to_string()]
                    .into_iter()
                    .chain(counts),
            );
        };
        let mut all = BTreeMap::new();
        for (way, words) in &ways {
            row(way, words);
            for (word, count) in words {
                *all.entry(*word).or_default() += count;
            }
        }
        row("all", &all);
        right(&mut table, 1);
        table
    }

    fn faults_table(&self) -> Table {
        let mut kinds: BTreeMap<_, (usize, usize)> = BTreeMap::new();
        for fault in self.run.faults.iter().filter(|f| f.kind.is_counted()) {
            let (struck, missed) = kinds.entry(fault.kind).or_default();
            *(if fault.struck { struck } else { missed }) += 1;
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["fault", "times", "struck nothing"]);
        for (kind, (struck, missed)) in &kinds {
            table.add_row([kind.to_string(), struck.to_string(), missed.to_string()]);
        }
        right(&mut table, 1);
        table
    }

    fn rules_table(&self) -> Table {
        let counts = self.by_rule();
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["rule", "violations"]);
        for rule in Rule::ALL {
            let count = counts.get(&rule).copied().unwrap_or_default();
            table.add_row([rule.to_string(), count.to_string()]);
        }
        right(&mut table, 1);
        table
    }

    /// All that happened in the shortest stretch of time that shows a violation.
    fn window(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .violations
            .iter()
            .filter(|violation| !violation.ops.is_empty())
            .min_by_key(|violation| violation.to - violation.from);
        let Some(violation) = shown else {
            return Ok(());
        };
        writeln!(
            f,
            "\nThe shortest window that shows one, {:.6} s after the start: {}",
            self.since(violation.from),
            violation.what
        )?;
        let mut lines = Vec::new();
        // Whoever had to do with these names then, and what was done to them.
        let names: Vec<_> = violation
            .ops
            .iter()
            .flat_map(|&op| self.run.ops[op].names.iter())
            .collect();
        for op in &self.run.ops {
            let meant = op.names.iter().any(|name| names.contains(&name));
            if !meant || op.invoked > violation.to || op.last() < violation.from {
                continue;
            }
            let who = format!(
                "worker {:<3} thread {:<2} {:>7}",
                op.worker, op.thread, op.id
            );
            let mut say = |time: u64, what: String| lines.push((time, format!("{who} {what}")));
            let names = op.names.join("+");
            say(
                op.invoked,
                format!(
                    "invoke {} {names} ({} ms, {})",
                    op.way, op.wait.0, op.source
                ),
            );
            if let Some(granted) = op.granted {
                let session = |id: Option<u64>| id.map_or("-".to_owned(), |id| id.to_string());
                say(
                    granted,
                    format!(
                        "granted, session {}, held by {}",
                        session(op.session),
                        session(op.holder)
                    ),
                );
            }
            if let Some(ended) = op.ended {
                let wrote = op.wrote.iter();
                let wrote: String = wrote
                    .map(|(name, value)| format!(", {name}={value}"))
                    .collect();
                say(ended, format!("end{wrote}"));
            }
            if let Some((time, word)) = op.outcome {
                say(time, format!("outcome {word}"));
            }
        }
        for fault in &self.run.faults {
            if fault.begun <= violation.to && fault.end() >= violation.from {
                let what = format!("fault {} {}", fault.kind, fault.target);
                lines.push((fault.begun, format!("{what} begins")));
                if let Some(over) = fault.over {
                    lines.push((over, format!("{what} is over")));
                }
            }
        }
        lines.sort();
        for (time, line) in lines.iter().take(LINES) {
            writeln!(f, "  {:>12.6}  {line}", self.since(*time))?;
        }
        if lines.len() > LINES {
            writeln!(f, "  .. and {} lines more", lines.len() - LINES)?;
        }
        Ok(())
    }

    fn since(&self, time: u64) -> f64 {
        (time as f64 - self.run.from as f64) / 1e9
    }
}

fn right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
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
        writeln!(
            f,
            "{} cycles and {} faults in {:.0} s, by {} processes; {} times no connection, {} lines torn by a kill.",
            self.cycles(),
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
        self.window(f)?;
        if let Some(seed) = run.facts.get("seed") {
            write!(f, "\nThe seed was {seed}.")?;
        }
        Ok(())
    }
}
