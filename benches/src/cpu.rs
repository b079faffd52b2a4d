//! The client's CPU time, by criterion, and its instructions, by valgrind. The instructions are the
//! same in each run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use criterion::Criterion;
use instructions::{Counter, Part, valgrind_is_installed};
use serde::Deserialize;

use crate::database::{Database, IS_POSTGRES, SCHEMA, Transport};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::report::Report;

pub(crate) fn run(database: &Database, directory: &Path, report: &mut Report) -> Result<()> {
    let counter = match valgrind_is_installed() {
        true => Some(Counter::build()?),
        false => {
            println!("The instruction counts are left out: valgrind is not installed\n");
            None
        }
    };
    let count = |work: &[&str]| -> Result<Option<Cell>> {
        let count = counter.as_ref().map(|counter| counter.per_run(work));
        Ok(count.transpose()?.map(|count| Cell::Number(count as f64)))
    };
    let mut rows = Vec::new();
    for part in Part::all() {
        let name = part.to_string();
        rows.push(Row {
            name: part.title(),
            ours: true,
            cells: vec![
                Some(Cell::Number(nanoseconds(*part, directory)?)),
                count(&["part", &name])?,
            ],
        });
    }
    let url = database.by(Transport::Tcp).url()?;
    let port = database.port().to_string();
    let on_postgres = |name, ours, work| (name, ours, vec!["postgres", work, &url]);
    let calls = match IS_POSTGRES {
        true => vec![
            on_postgres("C client, the same functions", false, "raw-client"),
            on_postgres("diesel::select, the same functions", false, "diesel-select"),
            on_postgres("name.lock().run, the client", true, "run"),
            on_postgres("the same on the name of a row", true, "run-row"),
            on_postgres("an empty transaction of Diesel", false, "empty-transaction"),
            on_postgres("name.lock().transaction", true, "transaction"),
            on_postgres("the same under the name of a row", true, "transaction-row"),
        ],
        false => vec![
            (
                "C client, the same functions",
                false,
                vec!["raw-client", &port, SCHEMA],
            ),
            (
                "diesel::select, the same functions",
                false,
                vec!["diesel-select", &url],
            ),
            ("name.lock().run, the client", true, vec!["run", &url]),
        ],
    };
    for (name, ours, work) in calls {
        rows.push(Row {
            name: name.to_owned(),
            ours,
            cells: vec![None, count(&work)?],
        });
    }
    report.add(Finding {
        id: "cpu".to_owned(),
        title: "CPU time and instructions".to_owned(),
        text: "Instructions of the client process, without the kernel, counted by valgrind. \
               Valgrind does not provide the SHA-256 instructions of the processor, so hashed \
               names need fewer in reality."
            .to_owned(),
        note: String::new(),
        columns: vec![
            Column::new("time", "ns", 0),
            Column::new("instructions", "", 0),
        ],
        rows,
        chart: Chart::None,
    })
}

/// The part of criterion's output that is used.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

fn nanoseconds(part: Part, directory: &Path) -> Result<f64> {
    let name = part.to_string();
    let mut criterion = Criterion::default()
        .output_directory(directory)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let work = part.work();
    criterion.bench_function(&name, |bencher| bencher.iter(&work));
    let file = directory.join(&name).join("new/estimates.json");
    let written = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let estimates: Estimates = serde_json::from_slice(&written)?;
    Ok(estimates.median.point_estimate)
}
