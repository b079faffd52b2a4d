//! Markdown, for `docs/benchmarks.md`.

use std::fmt::Write as _;

use super::{Run, Section};
use crate::finding::Finding;

pub(super) fn of(run: &Run, findings: &[Section]) -> String {
    let mut text = format!("{}. {}.\n\n{}\n", run.server, run.machine, run.method);
    for Section { finding, svg } in findings {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n### {}\n\n{}\n\n", finding.title, finding.text);
        text.push_str(&table(finding));
        if svg.is_some() {
            let _ = write!(text, "\n![{}]({}.svg)\n", finding.title, finding.id);
        }
    }
    text
}

fn table(finding: &Finding) -> String {
    let headings = finding.columns.iter().map(|column| column.heading());
    let mut text = line([String::new()].into_iter().chain(headings));
    let marks = finding.columns.iter().map(|_| "---:".to_owned());
    text.push_str(&line(["---".to_owned()].into_iter().chain(marks)));
    for row in &finding.rows {
        let name = if row.ours {
            format!("**{}**", row.name)
        } else {
            row.name.clone()
        };
        let cells = finding.columns.iter().zip(&row.cells);
        let cells = cells.map(|(column, value)| column.show(*value));
        text.push_str(&line([name].into_iter().chain(cells)));
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<_> = cells.map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}
