//! What the colours and signs mean.

use std::fmt;

use super::palette::{OTHER, OUTAGE_OPACITY, Palette, STOPPED, STOPPED_OPACITY, TROUBLE, WAITING};
use super::{LEFT, MARGIN, escaped, lanes};

const COLUMNS: usize = 7;
const COLUMN: f64 = 188.0;
const ROW: f64 = 19.0;
const SIGN: f64 = 18.0;

/// Of the signs that are no locks.
const SIGNS: usize = 6;

pub(super) fn height(palette: &Palette) -> f64 {
    let rows = locks(palette).count().div_ceil(COLUMNS) + SIGNS.div_ceil(COLUMNS);
    rows as f64 * ROW + MARGIN
}

fn locks(palette: &Palette) -> impl Iterator<Item = (&str, &'static str)> {
    let others = palette.has_others.then_some(("another lock", OTHER));
    palette.iter().chain(others)
}

pub(super) fn draw(f: &mut fmt::Formatter<'_>, top: f64, palette: &Palette) -> fmt::Result {
    let mut count = 0;
    for (place, (name, colour)) in locks(palette).enumerate() {
        let (x, y) = cell(top, place);
        bar(f, x, y, 12.0, colour, 1.0)?;
        text(f, x, y, name)?;
        count = place + 1;
    }
    let first = count.next_multiple_of(COLUMNS);
    let at = |place: usize| cell(top, first + place);

    let (x, y) = at(0);
    bar(f, x, y + 4.0, 4.0, WAITING, 1.0)?;
    text(f, x, y, "waiting, or asking")?;
    let (x, y) = at(1);
    bar(f, x + SIGN / 2.0 - 1.2, y - 2.0, 16.0, TROUBLE, 1.0)?;
    text(f, x, y, "an error was reported")?;
    let (x, y) = at(2);
    let line = y + 6.0;
    writeln!(
        f,
        r##"<line x1="{x}" x2="{}" y1="{line}" y2="{line}" stroke="{TROUBLE}" stroke-dasharray="5 3"/>"##,
        x + SIGN
    )?;
    text(f, x, y, "a fault began")?;
    let (x, y) = at(3);
    bar(f, x, y, 12.0, TROUBLE, OUTAGE_OPACITY)?;
    text(f, x, y, "answers late, or none")?;
    let (x, y) = at(4);
    bar(f, x, y, 12.0, STOPPED, STOPPED_OPACITY)?;
    text(f, x, y, "stopped process")?;
    let (x, y) = at(SIGNS - 1);
    lanes::cross(f, x + SIGN / 2.0, y + 6.0)?;
    text(f, x, y, "killed process")
}

fn cell(top: f64, place: usize) -> (f64, f64) {
    let (row, column) = (place / COLUMNS, place % COLUMNS);
    (LEFT + column as f64 * COLUMN, top + row as f64 * ROW)
}

fn bar(
    f: &mut fmt::Formatter<'_>,
    x: f64,
    y: f64,
    height: f64,
    colour: &str,
    opacity: f64,
) -> fmt::Result {
    // A sign that is no more than a line is as wide as in its lane.
    let width = if height > 12.0 { 2.4 } else { SIGN };
    writeln!(
        f,
        r##"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}" opacity="{opacity}"/>"##
    )
}

fn text(f: &mut fmt::Formatter<'_>, x: f64, y: f64, text: &str) -> fmt::Result {
    writeln!(
        f,
        r##"<text x="{}" y="{}" fill="#444">{}</text>"##,
        x + SIGN + 6.0,
        y + 10.0,
        escaped(text)
    )
}
