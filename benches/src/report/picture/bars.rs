//! A bar for each row, the number at its end.

use maud::{Markup, html};

use super::{OTHERS, OURS, WIDTH};
use crate::finding::Finding;

const TOP: f64 = 60.0;
const STEP: f64 = 30.0;
const THICK: f64 = 20.0;
const NAMES: f64 = 340.0;
/// For the numbers.
const MARGIN: f64 = 90.0;
const GREY: &str = OTHERS[4];

pub(super) fn draw(finding: &Finding, column: usize) -> (f64, Markup) {
    let shown = &finding.columns[column];
    let value = |cells: &[Option<f64>]| cells[column].filter(|value| value.is_finite());
    let values = finding.rows.iter().filter_map(|row| value(&row.cells));
    let longest = values.fold(f64::MIN_POSITIVE, f64::max);
    let bars = finding.rows.iter().enumerate().map(|(number, row)| {
        let y = TOP + STEP * number as f64;
        let value = value(&row.cells);
        let length = value.unwrap_or(0.0).max(0.0) / longest * (WIDTH - NAMES - MARGIN);
        let colour = if row.ours { OURS[0] } else { GREY };
        html! {
            text x=(NAMES - 10.0) y=(y + 15.0) text-anchor="end" { (row.name) }
            rect x=(NAMES) y=(y) width=(format!("{length:.1}")) height=(THICK) fill=(colour) {}
            text x=(format!("{:.1}", NAMES + length + 8.0)) y=(y + 15.0) { (shown.show(value)) }
        }
    });
    let content = html! {
        text x=(NAMES) y=(TOP - 10.0) fill="#666666" { (shown.heading()) }
        @for bar in bars { (bar) }
    };
    (TOP + STEP * finding.rows.len() as f64 + 10.0, content)
}
