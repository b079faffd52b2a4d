//! What was found, for people: tables while it runs, and a directory of files that is whole after each subject.

mod csv;
mod markdown;
mod page;
mod picture;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use maud::Markup;

use crate::finding::Finding;
use crate::machine::Machine;

/// All findings of a run, in their order.
pub(crate) struct Report {
    directory: PathBuf,
    run: Run,
    findings: Vec<Illustrated>,
}

/// Where and how it was measured.
pub(crate) struct Run {
    pub(crate) server: String,
    pub(crate) method: String,
    pub(crate) machine: Machine,
}

struct Illustrated {
    finding: Finding,
    svg: Option<String>,
}

impl Report {
    /// Empties the directory.
    pub(crate) fn new(directory: PathBuf, run: Run) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self {
            directory,
            run,
            findings: Vec::new(),
        })
    }

    /// Prints it, and writes all files anew, so that a run that is broken off leaves what it has.
    pub(crate) fn add(&mut self, finding: Finding) -> Result<()> {
        println!("{}\n{}\n", finding.title, table::of(&finding));
        let svg = picture::of(&finding).map(Markup::into_string);
        if let Some(svg) = &svg {
            self.write(&format!("{}.svg", finding.id), svg.as_bytes())?;
        }
        self.findings.push(Illustrated { finding, svg });
        self.write("results.csv", &csv::of(&self.findings)?)?;
        self.write(
            "tables.md",
            markdown::of(&self.run, &self.findings).as_bytes(),
        )?;
        let page = page::of(&self.run, &self.findings);
        self.write("index.html", page.into_string().as_bytes())
    }

    /// Where one can look at it.
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
    use crate::finding::{Column, Picture, Row};

    /// Two contenders and all that is hard to show.
    pub(super) fn lines() -> Finding {
        let row = |name: &str, ours, cells: [Option<f64>; 3]| Row {
            name: name.to_owned(),
            ours,
            cells: cells.to_vec(),
        };
        Finding {
            id: "test".to_owned(),
            title: "A test".to_owned(),
            text: "Of what is hard to show.".to_owned(),
            columns: [2, 4, 8]
                .map(|at| Column::new(at.to_string(), "µs", 1))
                .to_vec(),
            rows: vec![
                row(
                    "C client, \"prepared\"",
                    false,
                    [Some(0.1), Some(20.0), Some(3e6)],
                ),
                row("hold", true, [Some(5.0), None, Some(7.0)]),
            ],
            picture: Picture::Lines {
                x: "threads",
                at: vec![2.0, 4.0, 8.0],
                y: "µs".to_owned(),
                logarithmic: true,
            },
        }
    }

    pub(super) fn run() -> Run {
        Run {
            server: "a server".to_owned(),
            method: "By hand.".to_owned(),
            machine: Machine::default(),
        }
    }

    #[test]
    fn all_files_are_there_after_each_finding() {
        let directory = std::env::temp_dir().join(format!("bench-report-{}", std::process::id()));
        let mut report = Report::new(directory.clone(), run()).expect("a directory");
        report.add(lines()).expect("to write");
        for file in ["results.csv", "tables.md", "index.html", "test.svg"] {
            assert!(directory.join(file).exists(), "{file}");
        }
        fs::remove_dir_all(directory).expect("to remove it");
    }
}
