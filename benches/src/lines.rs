//! Findings of lockers under loads that grow: a table for each measure, drawn as a line for each locker.

use anyhow::Result;

use crate::contenders::{Load, Lockers, Measures};
use crate::finding::{Column, Finding, Picture, Row};
use crate::report::Report;
use crate::rounds::{Table, median_of, under_loads};

/// What grows from column to column.
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) at: &'static [usize],
}

/// One number of each run.
pub(crate) struct Measure {
    /// The end of the files' names.
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
    text: "Locks taken and released by all threads together.",
    unit: "locks/s",
    digits: 0,
    of: |measures| measures.per_second,
};

pub(crate) const P50: Measure = Measure {
    id: "p50",
    title: "half of the waits are shorter",
    text: "The median time from asking for the lock to having it.",
    unit: "µs",
    digits: 0,
    of: |measures| measures.p50,
};

pub(crate) const P99: Measure = Measure {
    id: "p99",
    title: "99 in 100 waits are shorter",
    text: "The 99th percentile of the time from asking for the lock to having it.",
    unit: "µs",
    digits: 0,
    of: |measures| measures.p99,
};

pub(crate) const UNFAIRNESS: Measure = Measure {
    id: "fairness",
    title: "how unequal the shares are",
    text: "The share of the thread that got most over that of the thread that got least: 1 is fair, and there is no number \
           where one got nothing.",
    unit: "x",
    digits: 2,
    of: |measures| measures.unfairness,
};

pub(crate) const CONNECTIONS: Measure = Measure {
    id: "connections",
    title: "connections used",
    text: "How many connections the threads occupy, whether they hold the lock or wait for it.",
    unit: "connections",
    digits: 0,
    of: |measures| measures.connections,
};

/// Many threads under a load that grows, and what is told of it.
pub(crate) struct Growing<'a> {
    /// The beginning of the files' names.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) axis: &'a Axis,
    /// The load at a point of the axis.
    pub(crate) load: &'a dyn Fn(usize) -> Load,
    pub(crate) measures: &'a [Measure],
}

impl Growing<'_> {
    pub(crate) fn run(
        &self,
        mut lockers: Lockers<'_>,
        rounds: usize,
        report: &mut Report,
    ) -> Result<()> {
        let loads: Vec<_> = self.axis.at.iter().map(|&at| (self.load)(at)).collect();
        let table = under_loads(self.title, rounds, &mut lockers, &loads)?;
        for measure in self.measures {
            report.add(self.finding(measure, &lockers, &table))?;
        }
        Ok(())
    }

    fn finding(&self, measure: &Measure, lockers: &Lockers<'_>, table: &Table) -> Finding {
        let Self {
            id, title, axis, ..
        } = self;
        let columns = axis.at.iter().map(|&at| Column {
            name: format!("{} {}", thousands(at), axis.name),
            unit: "",
            digits: measure.digits,
        });
        let rows = lockers.iter().zip(table).map(|(locker, row)| Row {
            name: locker.name(),
            ours: locker.ours(),
            cells: row
                .iter()
                .map(|values| median_of(values, measure.of))
                .collect(),
        });
        Finding {
            id: format!("{id}-{}", measure.id),
            title: format!("{title}: {}, {}", measure.title, measure.unit),
            text: measure.text.to_owned(),
            columns: columns.collect(),
            rows: rows.collect(),
            picture: Picture::Lines {
                x: axis.name,
                at: axis.at.iter().map(|&at| at as f64).collect(),
                y: measure.unit.to_owned(),
                logarithmic: true,
            },
        }
    }
}

/// `100,000`
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
    fn large_numbers_have_commas() {
        assert_eq!(thousands(256), "256");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(1_020_003), "1,020,003");
    }
}
