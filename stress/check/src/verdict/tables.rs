//! What was done, what was caused and what was broken, counted.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use super::Verdict;
use crate::history::{OpFault, Outcome};
use crate::rules::Rule;

impl Verdict {
    pub(super) fn outcomes(&self) -> Table {
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

    pub(super) fn faults_table(&self) -> Table {
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
        // What workers do to themselves.
        let ops = &self.run.ops;
        let ended = [
            ("panic", Outcome::Panicked),
            ("deadlock", Outcome::Deadlock),
        ];
        let ended = ended.map(|(what, word)| {
            let times = ops.iter().filter(|op| op.is(word)).count();
            (what, times)
        });
        let struck = OpFault::ALL.iter().map(|&fault| {
            let times = ops.iter().filter(|op| op.was_struck(|it| it == fault));
            (fault.word(), times.count())
        });
        for (what, times) in ended.into_iter().chain(struck) {
            table.add_row([what, &times.to_string(), "-"]);
        }
        right(&mut table, 1);
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
        right(&mut table, 1);
        table
    }
}

fn right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
