//! A table for the terminal.

use comfy_table::{CellAlignment, Table};

use crate::finding::Finding;

pub(super) fn of(finding: &Finding) -> Table {
    let mut table = Table::new();
    let mut lines = finding.lines().into_iter();
    table.set_header(lines.next().unwrap_or_default());
    table.add_rows(lines);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
