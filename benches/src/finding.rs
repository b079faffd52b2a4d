//! [`Finding`]: the results of one measurement, as a table and a chart.

use serde::{Deserialize, Serialize};

/// Rows are competitors. Columns are several measures of one run, or one measure at several sizes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Finding {
    /// The stem of its file names, such as `hot-loopback`.
    pub(crate) id: String,
    pub(crate) title: String,
    /// What the numbers are, in a sentence or two.
    pub(crate) text: String,
    /// What is special about this run, such as its number of rounds. May be empty.
    pub(crate) note: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    #[serde(skip)]
    pub(crate) chart: Chart,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Empty if the name states the unit, or the number is a ratio.
    pub(crate) unit: String,
    /// Digits after the decimal point.
    pub(crate) digits: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Whether the row measures this crate.
    pub(crate) ours: bool,
    /// `None` if there is no result.
    pub(crate) cells: Vec<Option<Cell>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Number(f64),
    /// The median of the rounds' ratios, and the limits between which half of them or more are.
    Ratio {
        median: f64,
        low: f64,
        high: f64,
    },
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Chart {
    /// A bar for each row.
    Bars { column: usize },
    /// A line for each row over its columns, on logarithmic axes.
    Lines {
        x: &'static str,
        /// The position of each column on the x axis.
        at: Vec<f64>,
        y: String,
    },
    #[default]
    None,
}

impl Finding {
    /// Returns the table as lines of cells, the headings first.
    pub(crate) fn lines(&self) -> Vec<Vec<String>> {
        let headings = self.columns.iter().map(Column::heading);
        let mut lines: Vec<Vec<_>> = vec![[String::new()].into_iter().chain(headings).collect()];
        lines.extend(self.rows.iter().map(|row| {
            let cells = self.columns.iter().zip(&row.cells);
            let cells = cells.map(|(column, cell)| column.show(*cell));
            [row.name.clone()].into_iter().chain(cells).collect()
        }));
        lines
    }
}

impl Column {
    pub(crate) fn new(name: impl Into<String>, unit: &str, digits: usize) -> Self {
        let (name, unit) = (name.into(), unit.to_owned());
        Column { name, unit, digits }
    }

    /// Returns the heading with its unit.
    pub(crate) fn heading(&self) -> String {
        match self.unit.as_str() {
            "" => self.name.clone(),
            unit => format!("{}, {unit}", self.name),
        }
    }

    /// Formats a cell. A ratio is given with its limits, and not at all if these are further apart
    /// than the ratio is from 1.
    pub(crate) fn show(&self, cell: Option<Cell>) -> String {
        let number = |value: f64| format!("{value:.*}", self.digits);
        match cell {
            Some(Cell::Number(value)) if value.is_finite() => number(value),
            Some(Cell::Ratio { median, low, high }) if (high - low).is_finite() => {
                let limits = format!("{}–{}", number(low), number(high));
                if low == high {
                    number(median)
                } else if high - low <= (median - 1.0).abs() {
                    format!("{} ({limits})", number(median))
                } else if low <= 1.0 && 1.0 <= high {
                    format!("about the same ({limits})")
                } else {
                    limits
                }
            }
            _ => "none".to_owned(),
        }
    }
}

impl Cell {
    pub(crate) fn value(self) -> f64 {
        match self {
            Cell::Number(value) => value,
            Cell::Ratio { median, .. } => median,
        }
    }

    /// Returns `None` if the number is not finite.
    pub(crate) fn number(value: f64) -> Option<Self> {
        value.is_finite().then_some(Cell::Number(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_shown([low, median, high]: [f64; 3], expected: &str) {
        let cell = Cell::Ratio { median, low, high };
        assert_eq!(Column::new("x", "", 2).show(Some(cell)), expected);
    }

    #[test]
    fn ratio_is_shown_only_if_its_spread_is_smaller_than_what_it_claims() {
        assert_shown([1.16, 1.18, 1.21], "1.18 (1.16–1.21)");
        assert_shown([0.45, 0.5, 0.52], "0.50 (0.45–0.52)");
        assert_shown([0.97, 1.02, 1.08], "about the same (0.97–1.08)");
        assert_shown([0.25, 0.9, 4.1], "about the same (0.25–4.10)");
        // All rounds were slower, but it is unclear by how much.
        assert_shown([1.5, 2.0, 4.0], "1.50–4.00");
        assert_shown([1.0, 1.0, 1.0], "1.00");
        assert_shown([1.0, f64::NAN, f64::INFINITY], "none");
    }
}
