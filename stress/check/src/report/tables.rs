//! The tables of a report: calls by outcome, faults, and violations by rule.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use super::Report;
use crate::history::{OpFault, Outcome};
use crate::rules::Rule;

impl Report {
    pub(super) fn outcomes(&self) -> Table {
        let mut operations: BTreeMap<&str, BTreeMap<Option<Outcome>, usize>> = BTreeMap::new();
        for op in &self.run.ops {
            let word = op.outcome.map(|(_, word)| word);
            *operations
                .entry(&op.operation)
                .or_default()
                .entry(word)
                .or_default() += 1;
        }
        let mut columns: Vec<Option<Outcome>> = operations
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
        table.set_header(["operation", "calls"].into_iter().chain(titles));
        let mut row = |operation: &str, words: &BTreeMap<Option<Outcome>, usize>| {
            let counts = columns.iter().map(|word| match words.get(word) {
                Some(count) => count.to_string(),
                None => String::new(),
            });
            let calls: usize = words.values().sum();
            table.add_row(
                [operation.to_owned(), calls.to_string()]
                    .into_iter()
                    .chain(counts),
            );
        };
        let mut all = BTreeMap::new();
        for (operation, words) in &operations {
            row(operation, words);
            for (word, count) in words {
                *all.entry(*word).or_default() += count;
            }
        }
        row("all", &all);
        align_right(&mut table, 1);
        table
    }

    pub(super) fn faults_table(&self) -> Table {
        let mut kinds: BTreeMap<_, (usize, usize)> = BTreeMap::new();
        for fault in self.run.faults.iter().filter(|f| f.kind.is_counted()) {
            let (hit, missed) = kinds.entry(fault.kind).or_default();
            *(if fault.hit { hit } else { missed }) += 1;
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["fault", "hits", "misses"]);
        for (kind, (hit, missed)) in &kinds {
            table.add_row([kind.to_string(), hit.to_string(), missed.to_string()]);
        }
        let ops = &self.run.ops;
        let by_outcome = [
            ("panic", Outcome::Panicked),
            ("deadlock", Outcome::Deadlock),
            ("cut", Outcome::Cut),
        ];
        let by_outcome = by_outcome.map(|(what, word)| {
            let times = ops.iter().filter(|op| op.is(word)).count();
            (what, times)
        });
        let by_workers = OpFault::ALL.iter().map(|&fault| {
            let times = ops.iter().filter(|op| op.had_fault(|it| it == fault));
            (fault.word(), times.count())
        });
        for (what, times) in by_outcome.into_iter().chain(by_workers) {
            table.add_row([what, &times.to_string(), "-"]);
        }
        align_right(&mut table, 1);
        table
    }

    pub(super) fn rules_table(&self) -> Table {
        let counts = self.by_rule();
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["rule", "violations"]);
        for rule in Rule::ALL {
            let count = counts.get(&rule).copied().unwrap_or_default();
            table.add_row([rule.to_string(), count.to_string()]);
        }
        align_right(&mut table, 1);
        table
    }
}

fn align_right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
