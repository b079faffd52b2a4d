//! [`Finding`]: what one subject found, as a table and as what to draw of it.

/// Rows are contenders; columns are either measures of one run, or one measure at growing sizes.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// Names its files, such as `alone-tcp`.
    pub(crate) id: String,
    pub(crate) title: String,
    /// What the numbers are, in a sentence or two.
    pub(crate) text: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) picture: Picture,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Empty where the name says it all, or the number is a ratio.
    pub(crate) unit: &'static str,
    /// Digits after the point.
    pub(crate) digits: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// This library, and not one of those it is compared to.
    pub(crate) ours: bool,
    /// `None` where nothing could be measured: nobody got through, or it was left out.
    pub(crate) cells: Vec<Option<f64>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Picture {
    /// A bar for each row.
    Bars {
        column: usize,
    },
    /// A line for each row over its columns.
    Lines {
        /// What grows, and how far along each column is.
        x: &'static str,
        at: Vec<f64>,
        y: String,
        /// The scale of `y` is logarithmic too; that of `x` always is.
        logarithmic: bool,
    },
    None,
}

impl Column {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, digits: usize) -> Self {
        let name = name.into();
        Column { name, unit, digits }
    }

    /// The head of the column, for people.
    pub(crate) fn heading(&self) -> String {
        match self.unit {
            "" => self.name.clone(),
            unit => format!("{}, {unit}", self.name),
        }
    }

    /// A cell, for people.
    pub(crate) fn show(&self, value: Option<f64>) -> String {
        match value {
            Some(value) if value.is_finite() => format!("{value:.*}", self.digits),
            _ => "none".to_owned(),
        }
    }
}
