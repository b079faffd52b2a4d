//! [`Sweep`]: competitors under loads of several sizes. Each measure gives a table and a chart.

use anyhow::Result;

use crate::competitors::{Competitors, Load, Measures};
use crate::database::Database;
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::{Table, median_of, under_loads};
use crate::report::Report;

/// The parameter that varies from column to column.
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) at: &'static [usize],
}

/// A number of each run.
pub(crate) struct Measure {
    /// The last part of the file names.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) digits: usize,
    pub(crate) of: fn(&Measures) -> f64,
}

pub(crate) const THROUGHPUT: Measure = Measure {
    id: "throughput",
    title: "throughput",
    text: "Acquisitions per second of all threads together.",
    unit: "locks/s",
    digits: 0,
    of: |measures| measures.per_second,
};

pub(crate) const P99: Measure = Measure {
    id: "p99",
    title: "99th percentile of waits",
    text: "The 99th percentile of the time from the request to the acquisition.",
    unit: "µs",
    digits: 0,
    of: |measures| measures.p99,
};

pub(crate) const UNFAIRNESS: Measure = Measure {
    id: "fairness",
    title: "unfairness",
    text: "The largest number of acquisitions of a thread over the smallest: 1 is fair. There is \
           no number if a thread acquired nothing.",
    unit: "x",
    digits: 2,
    of: |measures| measures.unfairness,
};

pub(crate) const CONNECTIONS: Measure = Measure {
    id: "connections",
    title: "connections used",
    text: "The connections of all threads, whether they hold the lock or wait for it.",
    unit: "connections",
    digits: 0,
    of: |measures| measures.connections,
};

pub(crate) struct Sweep<'a> {
    /// The first part of the file names.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) axis: &'a Axis,
    /// The load at a point of the axis.
    pub(crate) load: &'a dyn Fn(usize) -> Load,
    pub(crate) measures: &'a [Measure],
}

impl Sweep<'_> {
    pub(crate) fn run(
        &self,
        database: &Database,
        mut competitors: Competitors<'_>,
        rounds: usize,
        report: &mut Report,
    ) -> Result<()> {
        let loads: Vec<_> = self.axis.at.iter().map(|&at| (self.load)(at)).collect();
        let table = under_loads(self.title, database, rounds, &mut competitors, &loads)?;
        for measure in self.measures {
            report.add(self.finding(measure, &competitors, &table))?;
        }
        Ok(())
    }

    fn finding(&self, measure: &Measure, competitors: &Competitors<'_>, table: &Table) -> Finding {
        let Self {
            id, title, axis, ..
        } = self;
        let columns = axis.at.iter().map(|&at| Column {
            name: format!("{} {}", thousands(at), axis.name),
            unit: String::new(),
            digits: measure.digits,
        });
        let rows = competitors
            .iter()
            .zip(&table.cells)
            .map(|(competitor, row)| Row {
                name: competitor.name(),
                ours: competitor.ours(),
                cells: row
                    .iter()
                    .map(|values| median_of(values, measure.of).map(Cell::Number))
                    .collect(),
            });
        Finding {
            id: format!("{id}-{}", measure.id),
            title: format!("{title}: {}, {}", measure.title, measure.unit),
            text: measure.text.to_owned(),
            note: table.quality.sentence(),
            columns: columns.collect(),
            rows: rows.collect(),
            chart: Chart::Lines {
                x: axis.name,
                at: axis.at.iter().map(|&at| at as f64).collect(),
                y: measure.unit.to_owned(),
            },
        }
    }
}

/// Separates groups of digits: `100,000`.
fn thousands(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_commas() {
        assert_eq!(thousands(256), "256");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(1_020_003), "1,020,003");
    }
}
