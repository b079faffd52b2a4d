//! A table for the terminal.

use comfy_table::{CellAlignment, Table};

use crate::finding::Finding;

pub(super) fn of(finding: &Finding) -> Table {
    let mut table = Table::new();
    let headings = finding.columns.iter().map(|column| column.heading());
    table.set_header([String::new()].into_iter().chain(headings));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for row in &finding.rows {
        let cells = finding.columns.iter().zip(&row.cells);
        let cells = cells.map(|(column, value)| column.show(*value));
        table.add_row([row.name.clone()].into_iter().chain(cells));
    }
    table
}
