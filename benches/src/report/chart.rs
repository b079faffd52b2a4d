//! Draws a [`Finding`] as SVG.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::finding::{Cell, Chart, Finding};

const WIDTH: u32 = 960;
/// The width of the legend, and of the labels beside the bars.
const NAMES: u32 = 330;
const FONT: (&str, u32) = ("sans-serif", 14);
const TITLE: (&str, u32) = ("sans-serif", 17);

/// Returns `None` if the finding has no chart.
pub(super) fn of(finding: &Finding) -> Result<Option<String>> {
    let mut svg = String::new();
    match &finding.chart {
        Chart::None => return Ok(None),
        Chart::Bars { column } => bars(&mut svg, finding, *column)?,
        Chart::Lines { x, at, y } => lines(&mut svg, finding, (x, y), at)?,
    }
    Ok(Some(svg))
}

/// Draws a horizontal bar with its number for each row, the first row at the top.
fn bars(svg: &mut String, finding: &Finding, column: usize) -> Result<()> {
    let (rows, shown) = (&finding.rows, &finding.columns[column]);
    let values = rows.iter().map(|row| positive(row.cells[column]));
    let longest = values.clone().flatten().fold(f64::MIN_POSITIVE, f64::max);

    let root = area(svg, 100 + 28 * rows.len() as u32)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(&finding.title, TITLE)
        .margin(10)
        .margin_right(80)
        .x_label_area_size(44)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..longest, rows.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_max_light_lines(0)
        .disable_y_axis()
        .label_style(FONT)
        .x_desc(shown.heading())
        .draw()?;
    for (number, (row, value)) in rows.iter().zip(values).enumerate() {
        let (length, middle) = (value.unwrap_or(0.0), number as f64 + 0.5);
        let corners = [(0.0, middle - 0.35), (length, middle + 0.35)];
        let fill = BLUE.mix(if row.ours { 0.9 } else { 0.3 }).filled();
        let cell = shown.show(row.cells[column]);
        chart.draw_series([Rectangle::new(corners, fill)])?;
        chart.draw_series([
            EmptyElement::at((length, middle)) + Text::new(cell, (6, 0), label(HPos::Left))
        ])?;
        chart.draw_series([EmptyElement::at((0.0, middle))
            + Text::new(row.name.clone(), (-8, 0), label(HPos::Right))])?;
    }
    Ok(root.present()?)
}

/// Draws a line for each row over its columns, both axes logarithmic, with a legend beside them.
fn lines(svg: &mut String, finding: &Finding, (x, y): (&str, &str), at: &[f64]) -> Result<()> {
    let values = finding.rows.iter().flat_map(|row| &row.cells);
    let values = values.filter_map(|value| positive(*value));
    // With at least two powers of ten, which are the ticks.
    let low = values.clone().fold(1e9, f64::min) * 0.8;
    let high = values.fold(low * 100.0, f64::max) * 1.25;
    let ends = at.first().unwrap_or(&1.0) * 0.8..at.last().unwrap_or(&1.0) * 1.25;

    let root = area(svg, 460.max(70 + 26 * finding.rows.len() as u32))?;
    let mut chart = ChartBuilder::on(&root)
        .caption(&finding.title, TITLE)
        .margin(10)
        .margin_right(NAMES)
        .x_label_area_size(44)
        .y_label_area_size(80)
        .build_cartesian_2d(
            ends.log_scale().with_key_points(at.to_vec()),
            (low..high).log_scale(),
        )?;
    chart
        .configure_mesh()
        .label_style(FONT)
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&f64::to_string)
        .y_label_formatter(&f64::to_string)
        .draw()?;
    for (index, row) in finding.rows.iter().enumerate() {
        let line = Palette99::pick(index).stroke_width(if row.ours { 4 } else { 2 });
        let points = at.iter().zip(&row.cells);
        let points: Vec<_> = points
            .map(|(at, value)| Some((*at, positive(*value)?)))
            .collect();
        // The line has a gap where there is no number.
        for part in points.split(Option::is_none) {
            let part = part.iter().copied().flatten();
            chart.draw_series(LineSeries::new(part.clone(), line))?;
            chart.draw_series(part.map(|point| Circle::new(point, 4, line.filled())))?;
        }
        let (left, middle) = ((WIDTH - NAMES) as i32 + 10, 50 + 26 * index as i32);
        let (sample, name) = ([(left, middle), (left + 32, middle)], row.name.as_str());
        root.draw(&PathElement::new(sample, line))?;
        root.draw(&Text::new(name, (left + 40, middle), label(HPos::Left)))?;
    }
    Ok(root.present()?)
}

fn area(svg: &mut String, height: u32) -> Result<DrawingArea<SVGBackend<'_>, Shift>> {
    let area = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

/// The style of a text that is vertically centred beside a point.
fn label(side: HPos) -> TextStyle<'static> {
    TextStyle::from(FONT.into_font()).pos(Pos::new(side, VPos::Center))
}

fn positive(cell: Option<Cell>) -> Option<f64> {
    let value = cell.map(Cell::value);
    value.filter(|value| value.is_finite() && *value > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::lines;

    fn drawn(finding: &Finding) -> String {
        of(finding).expect("no error").expect("a chart")
    }

    #[test]
    fn a_line_has_a_gap_where_a_number_is_missing() {
        let svg = drawn(&lines());
        assert_eq!(svg.matches("<circle").count(), 5, "{svg}");

        assert!(svg.contains("C client, &quot;prepared&quot;"), "{svg}");
    }

    #[test]
    fn a_bar_without_a_number_is_labelled_none() {
        let mut finding = lines();
        finding.chart = Chart::Bars { column: 1 };
        let svg = drawn(&finding);
        assert!(svg.contains("none") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn zeros_and_empty_findings_are_drawn() {
        for chart in [Chart::Bars { column: 0 }, lines().chart] {
            let mut finding = lines();
            finding.chart = chart;
            let cells = finding.rows.iter_mut().flat_map(|row| &mut row.cells);
            cells.for_each(|cell| *cell = Some(Cell::Number(0.0)));
            let svg = drawn(&finding);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            finding.rows.clear();
            drawn(&finding);
        }
    }
}
