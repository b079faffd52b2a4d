//! Makes `docs/benchmarks.md` from the template `page.md` and recorded results.
//!
//! A line such as `{{contended}}` of the template is replaced by the findings of this benchmark on
//! all servers, and `{{runs}}` by the runs that gave them. The [`crate::counts`] have no place
//! of their own: they are columns of the tables whose rows they are about.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use test_server::ServerKind;

use super::{Recording, Run};
use crate::counts;
use crate::finding::{Finding, Row};

const TEMPLATE: &str = include_str!("page.md");

type Servers = [(ServerKind, Vec<Recording>)];

/// `chart` returns the path of a finding's chart, if the page shall show it.
pub(super) fn generate(
    servers: &Servers,
    chart: impl Fn(ServerKind, &str) -> Option<String>,
) -> Result<String> {
    fill(TEMPLATE, servers, chart)
}

fn fill(
    template: &str,
    servers: &Servers,
    chart: impl Fn(ServerKind, &str) -> Option<String>,
) -> Result<String> {
    let all = || servers.iter().flat_map(|(_, recordings)| recordings);
    let mut page = String::new();
    let mut shown = Vec::new();
    for line in template.lines() {
        let place = line
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"));
        match place {
            Some("runs") => page.push_str(&runs(all())),
            Some(benchmark) => {
                let is_recorded = all().any(|recording| recording.benchmark == benchmark);
                ensure!(is_recorded, "there are no results of `{benchmark}`");
                page.push_str(&results(benchmark, servers, &chart));
                shown.push(benchmark);
            }
            None => {
                page.push_str(line);
                page.push('\n');
            }
        }
    }
    for Recording { benchmark, .. } in all() {
        let is_shown = benchmark == counts::BENCHMARK || shown.contains(&benchmark.as_str());
        ensure!(is_shown, "the page has no place for `{benchmark}`");
    }
    Ok(page)
}

/// The findings of a benchmark: each on all servers, before the next.
fn results(
    benchmark: &str,
    servers: &Servers,
    chart: impl Fn(ServerKind, &str) -> Option<String>,
) -> String {
    let mut recorded = Vec::new();
    for (kind, recordings) in servers {
        let before = recorded.len();
        for Recording { run, findings, .. } in
            recordings.iter().filter(|it| it.benchmark == benchmark)
        {
            recorded.extend(findings.iter().map(|finding| (*kind, run, finding)));
        }
        if recorded.len() == before {
            recorded.extend(counts(benchmark, recordings).map(|(run, it)| (*kind, run, it)));
        }
    }
    let mut ids: Vec<&str> = Vec::new();
    for (_, _, finding) in &recorded {
        if !ids.contains(&finding.id.as_str()) {
            ids.push(&finding.id);
        }
    }
    let mut text = String::new();
    for id in ids {
        let of_id = recorded.iter().filter(|(_, _, finding)| finding.id == id);
        for (number, (kind, run, finding)) in of_id.enumerate() {
            if number == 0 {
                let explanation = wrapped(&finding.text);
                // Writing to a string cannot fail.
                let _ = write!(text, "\n### {}\n\n{explanation}", finding.title);
            }
            let heading = wrapped(&format!("{}. {}", run.server, finding.note));
            let recordings = servers.iter().find(|(server, _)| server == kind);
            let counts = recordings.and_then(|(_, recordings)| counts(benchmark, recordings));
            let table = table(&with_counts(finding, counts.map(|(_, counts)| counts)));
            let _ = write!(text, "\n{heading}\n{table}");
            if let Some(chart) = chart(*kind, id) {
                let _ = write!(text, "\n![{}, {}]({chart})\n", finding.title, run.server);
            }
        }
    }
    // The template has an empty line before.
    text.split_off(1.min(text.len()))
}

/// What a server has counted for the rows of a benchmark.
fn counts<'a>(benchmark: &str, recordings: &'a [Recording]) -> Option<(&'a Run, &'a Finding)> {
    let id = format!("{benchmark}{}", counts::SUFFIX);
    recordings
        .iter()
        .find_map(|Recording { run, findings, .. }| {
            let counts = findings.iter().find(|finding| finding.id == id)?;
            Some((run, counts))
        })
}

/// Puts the columns of the counts before those of another finding.
fn with_counts(finding: &Finding, counts: Option<&Finding>) -> Finding {
    let mut finding = finding.clone();
    if let Some(counts) = counts.filter(|counts| counts.id != finding.id) {
        for row in &mut finding.rows {
            let counted = counts.rows.iter().find(|counted| counted.name == row.name);
            let none = vec![None; counts.columns.len()];
            let cells = counted.map_or(none, |counted| counted.cells.clone());
            row.cells.splice(0..0, cells);
        }
        finding.columns.splice(0..0, counts.columns.iter().cloned());
    }
    finding
}

fn table(finding: &Finding) -> String {
    let mut lines = finding.lines();
    let marks = finding.columns.iter().map(|_| "---:".to_owned());
    lines.insert(1, ["---".to_owned()].into_iter().chain(marks).collect());
    for (line, Row { name, ours, .. }) in lines[2..].iter_mut().zip(&finding.rows) {
        if *ours {
            line[0] = format!("**{name}**");
        }
    }
    lines
        .iter()
        .map(|cells| format!("| {} |\n", cells.join(" | ").replace('\n', " ")))
        .collect()
}

/// The runs, each with the benchmarks whose results are its.
fn runs<'a>(recordings: impl Iterator<Item = &'a Recording>) -> String {
    let mut runs: Vec<(&Run, Vec<String>)> = Vec::new();
    for Recording { benchmark, run, .. } in recordings {
        let benchmark = format!("`{benchmark}`");
        match runs.iter_mut().find(|(other, _)| *other == run) {
            Some((_, benchmarks)) => benchmarks.push(benchmark),
            None => runs.push((run, vec![benchmark])),
        }
    }
    let line = |(run, benchmarks): &(&Run, Vec<String>)| {
        let Run {
            server,
            date,
            command,
            machine,
        } = run;
        let benchmarks = benchmarks.join(", ");
        let text = format!("{benchmarks} on {server}, {date}: `{command}`. {machine}.");
        format!("- {}", wrapped(&text).replace('\n', "\n  ").trim_end()) + "\n"
    };
    runs.iter().map(line).collect()
}

/// Breaks a text into lines of at most 98 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if lines[last].is_empty() {
            lines[last].push_str(word);
        } else if lines[last].chars().count() + word.chars().count() < 98 {
            lines[last].push(' ');
            lines[last].push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Cell, Column};
    use crate::report::tests::{lines, run};

    fn recording(benchmark: &str, findings: Vec<Finding>) -> Recording {
        Recording {
            benchmark: benchmark.to_owned(),
            run: run("the command"),
            findings,
        }
    }

    fn filled(template: &str, recordings: Vec<Recording>) -> Result<String> {
        let servers = [(ServerKind::Mysql, recordings)];
        fill(template, &servers, |server, id| {
            (id == "test").then(|| format!("{server}-{id}.svg"))
        })
    }

    #[test]
    fn results_and_runs_are_filled_in() {
        let page = filled(
            "# Title\n\n{{a}}\nText.\n\n{{runs}}\n",
            vec![recording("a", vec![lines()])],
        );
        let expected = "\
# Title

### A test

Edge cases.

Server 1.2. 0 of 3 rounds.

|  | 2, µs | 4, µs | 8, µs |
| --- | ---: | ---: | ---: |
| C client, \"prepared\" | 0.1 | 20.0 | 3000000.0 |
| **run** | 5.0 | none | 7.0 |

![A test, Server 1.2](mysql-test.svg)
Text.

- `a` on Server 1.2, a day: `the command`. a machine.
";
        assert_eq!(page.expect("a page"), expected);
    }

    #[test]
    fn counts_are_put_before_the_results_of_the_same_rows() {
        let mut counts = lines();
        counts.id = "a-counts".to_owned();
        counts.columns = vec![Column::new("round trips", "", 0)];
        counts.rows.remove(0);
        counts.rows[0].cells = vec![Some(Cell::Number(2.0))];
        let recordings = vec![
            recording("a", vec![lines()]),
            recording("counts", vec![counts]),
        ];
        let page = filled("{{a}}\n", recordings).expect("a page");
        for line in [
            "|  | round trips | 2, µs | 4, µs | 8, µs |",
            "| C client, \"prepared\" | none | 0.1 | 20.0 | 3000000.0 |",
            "| **run** | 2 | 5.0 | none | 7.0 |",
        ] {
            assert!(page.lines().any(|found| found == line), "{page}");
        }
    }

    #[test]
    fn results_without_a_place_and_places_without_results_are_errors() {
        let results = || vec![recording("a", vec![lines()])];
        assert!(filled("{{a}}\n", results()).is_ok());
        let error = filled("Text.\n", results()).expect_err("no place");
        assert!(error.to_string().contains("no place for `a`"), "{error}");
        let error = filled("{{a}}\n{{b}}\n", results()).expect_err("no results");
        assert!(error.to_string().contains("no results of `b`"), "{error}");
    }

    #[test]
    fn lines_are_wrapped_between_words() {
        let text = "word ".repeat(40);
        let wrapped = wrapped(&text);
        assert!(wrapped.lines().all(|line| line.chars().count() <= 98));
        assert_eq!(wrapped.lines().count(), 3);
        assert_eq!(wrapped.split_whitespace().count(), 40);
    }
}
