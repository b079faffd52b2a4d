//! A drawing of a finding, as SVG.

mod bars;
mod lines;
mod scale;

use maud::{Markup, html};

use crate::finding::{Finding, Picture};

const WIDTH: f64 = 960.0;

/// Told apart by people who see few colours, too. Warm ones are this library's.
const OURS: [&str; 4] = ["#d55e00", "#e69f00", "#9c2f6f", "#7a1f00"];
const OTHERS: [&str; 8] = [
    "#333333", "#0072b2", "#009e73", "#56b4e9", "#8c8c8c", "#5b4aa8", "#1f6f6f", "#b0b0b0",
];

pub(super) fn of(finding: &Finding) -> Option<Markup> {
    let (height, content) = match &finding.picture {
        Picture::None => return None,
        Picture::Bars { column } => bars::draw(finding, *column),
        Picture::Lines {
            x,
            at,
            y,
            logarithmic,
        } => lines::draw(finding, x, at, y, *logarithmic),
    };
    let view = format!("0 0 {WIDTH} {height}");
    Some(html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(view) width=(WIDTH) height=(height)
            font-family="system-ui, sans-serif" font-size="14" fill="#222222" {
            rect width="100%" height="100%" fill="#ffffff" {}
            text x="16" y="28" font-size="17" font-weight="600" { (finding.title) }
            (content)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::lines;

    fn drawn(finding: &Finding) -> String {
        of(finding).expect("a picture").into_string()
    }

    #[test]
    fn a_line_has_gaps_where_there_is_no_number() {
        let svg = drawn(&lines());
        // The first goes through; the second has one number on either side of its gap.
        assert_eq!(svg.matches("<polyline").count(), 1, "{svg}");
        // Each number, and each row in the legend.
        assert_eq!(svg.matches("<circle").count(), 5 + 2, "{svg}");
    }

    #[test]
    fn a_bar_without_a_number_says_so() {
        let mut bars = lines();
        bars.picture = Picture::Bars { column: 1 };
        let svg = drawn(&bars);
        assert!(svg.contains("none") && !svg.contains("NaN"), "{svg}");
        assert!(svg.contains("C client, &quot;prepared&quot;"), "{svg}");
    }

    #[test]
    fn nothing_and_zeros_can_be_drawn_too() {
        for picture in [Picture::Bars { column: 0 }, lines().picture] {
            let mut finding = lines();
            finding.picture = picture;
            let cells = finding.rows.iter_mut().flat_map(|row| &mut row.cells);
            cells.for_each(|cell| *cell = Some(0.0));
            let svg = drawn(&finding);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            finding.rows.clear();
            drawn(&finding);
        }
    }
}
