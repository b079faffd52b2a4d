//! [`Finding`]: the results of one measurement, as a table and a chart.

/// Rows are competitors. Columns are several measures of one run, or one measure at several sizes.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The stem of its file names, such as `uncontended-tcp`.
    pub(crate) id: String,
    pub(crate) title: String,
    /// What the numbers are, in a sentence or two.
    pub(crate) text: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) chart: Chart,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Empty if the name states the unit, or the number is a ratio.
    pub(crate) unit: &'static str,
    /// Digits after the decimal point.
    pub(crate) digits: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Whether the row measures this crate.
    pub(crate) ours: bool,
    /// `None` if there is no result.
    pub(crate) cells: Vec<Option<f64>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Chart {
    /// A bar for each row.
    Bars {
        column: usize,
    },
    /// A line for each row over its columns, on logarithmic axes.
    Lines {
        x: &'static str,
        /// The position of each column on the x axis.
        at: Vec<f64>,
        y: String,
    },
    None,
}

impl Column {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, digits: usize) -> Self {
        let name = name.into();
        Column { name, unit, digits }
    }

    /// Returns the heading with its unit.
    pub(crate) fn heading(&self) -> String {
        match self.unit {
            "" => self.name.clone(),
            unit => format!("{}, {unit}", self.name),
        }
    }

    /// Formats a cell.
    pub(crate) fn show(&self, value: Option<f64>) -> String {
        match value {
            Some(value) if value.is_finite() => format!("{value:.*}", self.digits),
            _ => "none".to_owned(),
        }
    }
}
