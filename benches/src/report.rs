//! [`Report`]: prints the tables, and writes them as CSV, Markdown and HTML, with charts.

mod chart;
mod csv;
mod markdown;
mod page;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::finding::Finding;
use crate::machine::Machine;

pub(crate) struct Report {
    directory: PathBuf,
    run: Run,
    findings: Vec<Section>,
}

/// Where and how the numbers were measured.
pub(crate) struct Run {
    pub(crate) server: String,
    pub(crate) method: String,
    pub(crate) machine: Machine,
}

struct Section {
    finding: Finding,
    svg: Option<String>,
}

impl Report {
    /// Empties the directory, or creates it.
    pub(crate) fn new(directory: PathBuf, run: Run) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Self {
            directory,
            run,
            findings: Vec::new(),
        })
    }

    /// Prints the finding and rewrites all files, so that an interrupted run leaves a valid report.
    pub(crate) fn add(&mut self, finding: Finding) -> Result<()> {
        println!("{}\n{}\n", finding.title, table::of(&finding));
        let svg = chart::of(&finding)?;
        if let Some(svg) = &svg {
            self.write(&format!("{}.svg", finding.id), svg.as_bytes())?;
        }
        self.findings.push(Section { finding, svg });
        self.write("results.csv", &csv::of(&self.findings)?)?;
        self.write(
            "tables.md",
            markdown::of(&self.run, &self.findings).as_bytes(),
        )?;
        let page = page::of(&self.run, &self.findings);
        self.write("index.html", page.into_string().as_bytes())
    }

    /// Returns the path of the HTML page.
    pub(crate) fn page(&self) -> PathBuf {
        self.directory.join("index.html")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path: &Path = &self.directory.join(name);
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Chart, Column, Row};

    /// A missing number, quotes, and values that differ by orders of magnitude.
    pub(super) fn lines() -> Finding {
        let row = |name: &str, ours, cells: [Option<f64>; 3]| Row {
            name: name.to_owned(),
            ours,
            cells: cells.to_vec(),
        };
        Finding {
            id: "test".to_owned(),
            title: "A test".to_owned(),
            text: "Edge cases.".to_owned(),
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

    pub(super) fn run() -> Run {
        Run {
            server: "a server".to_owned(),
            method: "A method.".to_owned(),
            machine: Machine::default(),
        }
    }

    #[test]
    fn adding_a_finding_writes_all_files() {
        let directory = std::env::temp_dir().join(format!("bench-report-{}", std::process::id()));
        let mut report = Report::new(directory.clone(), run()).expect("a directory");
        report.add(lines()).expect("the files are written");
        for file in ["results.csv", "tables.md", "index.html", "test.svg"] {
            assert!(directory.join(file).exists(), "{file}");
        }
        fs::remove_dir_all(directory).expect("the directory is removed");
    }
}
