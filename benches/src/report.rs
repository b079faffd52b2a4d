//! [`Report`]: prints the tables, and writes them to files, with charts.

mod chart;
pub(crate) mod docs;
mod page;
mod recording;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::finding::Finding;
pub(crate) use recording::{Recording, Run};

pub(crate) struct Report {
    directory: PathBuf,
    /// Those since the last [recording](Self::finish).
    findings: Vec<Finding>,
}

impl Report {
    /// Empties the directory, or creates it.
    pub(crate) fn new(directory: PathBuf) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Self {
            directory,
            findings: Vec::new(),
        })
    }

    /// Prints the finding and draws its chart.
    pub(crate) fn add(&mut self, finding: Finding) -> Result<()> {
        let table = table::of(&finding);
        for line in [&finding.title, &finding.text, &finding.note] {
            println!("{line}");
        }
        println!("{table}\n");
        if let Some(svg) = chart::of(&finding)? {
            write(&self.directory.join(format!("{}.svg", finding.id)), &svg)?;
        }
        self.findings.push(finding);
        Ok(())
    }

    /// Writes the findings of a benchmark to `results.json`.
    pub(crate) fn finish(&mut self, benchmark: String, run: Run) -> Result<Recording> {
        let recording = Recording {
            benchmark,
            run,
            findings: self.findings.drain(..).collect(),
        };
        recording.add_to(&self.directory.join("results.json"))?;
        Ok(recording)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Cell, Chart, Column, Row};

    /// A missing number, quotes, and values that differ by orders of magnitude.
    pub(super) fn lines() -> Finding {
        let row = |name: &str, ours, cells: [Option<f64>; 3]| Row {
            name: name.to_owned(),
            ours,
            cells: cells.map(|cell| cell.map(Cell::Number)).to_vec(),
        };
        Finding {
            id: "test".to_owned(),
            title: "A test".to_owned(),
            text: "Edge cases.".to_owned(),
            note: "0 of 3 rounds.".to_owned(),
            columns: [2, 4, 8]
                .map(|at| Column::new(at.to_string(), "µs", 1))
                .to_vec(),
            rows: vec![
                row(
                    "C client, \"prepared\"",
                    false,
                    [Some(0.1), Some(20.0), Some(3e6)],
                ),
                row("run", true, [Some(5.0), None, Some(7.0)]),
            ],
            chart: Chart::Lines {
                x: "threads",
                at: vec![2.0, 4.0, 8.0],
                y: "µs".to_owned(),
            },
        }
    }

    pub(super) fn run(command: &str) -> Run {
        Run {
            server: "Server 1.2".to_owned(),
            date: "a day".to_owned(),
            command: command.to_owned(),
            machine: "a machine".to_owned(),
        }
    }

    #[test]
    fn results_are_written_with_their_charts_and_replace_older_ones() {
        let directory = std::env::temp_dir().join(format!("bench-report-{}", std::process::id()));
        let mut report = Report::new(directory.clone()).expect("a directory");
        let mut finish = |benchmark: &str, command| {
            report.add(lines()).expect("the chart is written");
            let finished = report.finish(benchmark.to_owned(), run(command));
            finished.expect("the results are written")
        };
        finish("a", "first");
        finish("b", "second");
        finish("a", "third");
        assert!(directory.join("test.svg").exists());
        let recordings = recording::read(&directory.join("results.json")).expect("JSON");
        let seen: Vec<_> = recordings
            .iter()
            .map(|recording| (&*recording.benchmark, &*recording.run.command))
            .collect();
        assert_eq!(seen, [("b", "second"), ("a", "third")]);
        assert_eq!(recordings[0].findings[0].lines(), lines().lines());
        fs::remove_dir_all(directory).expect("the directory is removed");
    }
}
