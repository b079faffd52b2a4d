//! Tables for people.

use comfy_table::{CellAlignment, Table};

/// All but the first column are numbers.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

pub(crate) fn print(title: &str, table: &Table) {
    println!("{title}\n{table}\n");
}
