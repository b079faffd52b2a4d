//! A self-contained HTML page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Run, Section};
use crate::finding::Finding;

const STYLE: &str = "
    :root { color-scheme: light dark; }
    body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
    table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
    th, td { padding: .25rem .75rem; border-bottom: 1px solid #8886; text-align: right; }
    th:first-child, td:first-child { text-align: left; }
    .ours { font-weight: 600; color: #c65400; }
    svg { max-width: 100%; height: auto; border-radius: 6px; }
    section { break-inside: avoid; margin-top: 3rem; }
";

pub(super) fn of(run: &Run, findings: &[Section]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "diesel-advisory-lock benchmarks" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "diesel-advisory-lock benchmarks" }
                p { (run.server) ". " (run.machine.to_string()) "." }
                p { (run.method) }
                @for Section { finding, svg } in findings {
                    section id=(finding.id) {
                        h2 { (finding.title) }
                        p { (finding.text) }
                        @if let Some(svg) = svg { (PreEscaped(svg)) }
                        (table(finding))
                    }
                }
            }
        }
    }
}

fn table(finding: &Finding) -> Markup {
    html! {
        table {
            tr {
                th {}
                @for column in &finding.columns { th { (column.heading()) } }
            }
            @for row in &finding.rows {
                tr class=[row.ours.then_some("ours")] {
                    td { (row.name) }
                    @for (column, value) in finding.columns.iter().zip(&row.cells) {
                        td { (column.show(*value)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{lines, run};

    #[test]
    fn markup_in_text_is_escaped() {
        let mut finding = lines();
        finding.title = "a < b".to_owned();
        let page = of(&run(), &[Section { finding, svg: None }]).into_string();
        assert!(page.contains("<h2>a &lt; b</h2>"), "{page}");
        assert!(page.contains("<td>none</td>"), "{page}");
    }
}
