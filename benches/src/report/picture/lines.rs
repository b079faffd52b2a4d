//! A line for each row over what grows, with a legend beside it.

use maud::{Markup, html};

use super::scale::Scale;
use super::{OTHERS, OURS};
use crate::finding::{Finding, Row};

const TOP: f64 = 56.0;
const BOTTOM: f64 = 390.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 610.0;
const LEGEND: f64 = 640.0;
const LEGEND_STEP: f64 = 26.0;

pub(super) fn draw(
    finding: &Finding,
    x: &str,
    at: &[f64],
    y: &str,
    logarithmic: bool,
) -> (f64, Markup) {
    let values = finding.rows.iter().flat_map(|row| &row.cells);
    let values = values.copied().flatten();
    let (across, up) = (
        Scale::at(at),
        match logarithmic {
            true => Scale::logarithmic(values),
            false => Scale::linear(values),
        },
    );
    let place = |at: f64, value: f64| {
        Some((
            across.place(at, LEFT, RIGHT)?,
            up.place(value, BOTTOM, TOP)?,
        ))
    };
    let content = html! {
        @for tick in &up.ticks {
            @let height = up.place(*tick, BOTTOM, TOP).unwrap_or(BOTTOM);
            line x1=(LEFT) x2=(RIGHT) y1=(round(height)) y2=(round(height)) stroke="#dddddd" {}
            text x=(LEFT - 8.0) y=(round(height + 5.0)) text-anchor="end" { (short(*tick)) }
        }
        @for tick in &across.ticks {
            @let from_left = across.place(*tick, LEFT, RIGHT).unwrap_or(LEFT);
            line x1=(round(from_left)) x2=(round(from_left)) y1=(TOP) y2=(BOTTOM) stroke="#eeeeee" {}
            text x=(round(from_left)) y=(BOTTOM + 22.0) text-anchor="middle" { (short(*tick)) }
        }
        text x=((LEFT + RIGHT) / 2.0) y=(BOTTOM + 46.0) text-anchor="middle" fill="#666666" { (x) }
        text x=(LEFT - 8.0) y=(TOP - 12.0) text-anchor="end" fill="#666666" { (y) }
        @for (number, (row, style)) in styled(&finding.rows).enumerate() {
            @let points = at.iter().zip(&row.cells);
            @let points = points.map(|(at, value)| value.and_then(|value| place(*at, value)));
            (line(&points.collect::<Vec<_>>(), &style))
            @let middle = TOP + 10.0 + LEGEND_STEP * number as f64;
            line x1=(LEGEND) x2=(LEGEND + 32.0) y1=(middle) y2=(middle)
                stroke=(style.colour) stroke-width=(style.width) stroke-dasharray=(style.dashes) {}
            circle cx=(LEGEND + 16.0) cy=(middle) r="4" fill=(style.colour) {}
            text x=(LEGEND + 42.0) y=(middle + 5.0) { (row.name) }
        }
    };
    let legend = TOP + 10.0 + LEGEND_STEP * finding.rows.len() as f64;
    (legend.max(BOTTOM + 62.0), content)
}

/// With gaps where there is no number.
fn line(points: &[Option<(f64, f64)>], style: &Style) -> Markup {
    html! {
        @for part in points.split(Option::is_none) {
            @let part = part.iter().copied().flatten().collect::<Vec<_>>();
            @if part.len() > 1 {
                @let corners = part.iter().map(|(x, y)| format!("{x:.1},{y:.1}"));
                polyline points=(corners.collect::<Vec<_>>().join(" ")) fill="none"
                    stroke=(style.colour) stroke-width=(style.width) stroke-dasharray=(style.dashes) {}
            }
            @for (x, y) in part { circle cx=(round(x)) cy=(round(y)) r="4" fill=(style.colour) {} }
        }
    }
}

struct Style {
    colour: &'static str,
    width: f64,
    dashes: &'static str,
}

fn styled(rows: &[Row]) -> impl Iterator<Item = (&Row, Style)> {
    let (mut ours, mut others) = (0, 0);
    rows.iter().map(move |row| {
        let (colours, number, width): (&[_], _, _) = match row.ours {
            true => (&OURS, &mut ours, 3.0),
            false => (&OTHERS, &mut others, 2.0),
        };
        let style = Style {
            colour: colours[*number % colours.len()],
            width,
            // Neighbours in the legend differ in this as well.
            dashes: ["none", "7 4", "2 3"][*number % 3],
        };
        *number += 1;
        (row, style)
    })
}

/// A tenth of a pixel is enough.
fn round(value: f64) -> String {
    format!("{value:.1}")
}

/// `2`, `64`, `1 k`, `20 M`.
fn short(value: f64) -> String {
    for (size, unit) in [(1e6, " M"), (1e3, " k")] {
        if value >= size {
            return format!("{}{unit}", digits(value / size));
        }
    }
    digits(value)
}

/// At most three digits after the point, and none that says nothing.
fn digits(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn labels_are_short() {
        let shown = [0.0, 0.5, 256.0, 1e3, 1.5e3, 1e5, 2e6].map(short);
        assert_eq!(shown, ["0", "0.5", "256", "1 k", "1.5 k", "100 k", "2 M"]);
    }
}
