//! The client's CPU time, by criterion, and its instructions, by valgrind, which are the same in
//! each run; and the server's CPU time.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use criterion::Criterion;
use instructions::{Counter, Part, valgrind_is_installed};
use serde::Deserialize;

use crate::competitors::{Load, Until};
use crate::database::{Database, IS_POSTGRES, SCHEMA, Transport};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::progress;
use crate::report::Report;
use crate::uncontended::Calls;

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
    })?;
    report.add(of_server(database)?)
}

/// The server's CPU time for a lock. A load beside it has little effect on it.
fn of_server(database: &Database) -> Result<Finding> {
    let title = "CPU time of the server";
    let load = Load::single(Until::Elapsed(Duration::from_secs(1)));
    let mut competitors = Calls::Blocking.competitors(database.by(Transport::Tcp));
    let bar = progress(title, competitors.len());
    let mut rows = Vec::new();
    for competitor in &mut competitors {
        let before = server_millis(database)?;
        let outcome = competitor.run(&load)?;
        // The time of a session that has ended counts from a moment later.
        thread::sleep(Duration::from_millis(100));
        let used = server_millis(database)? - before;
        let locks: u64 = outcome.counts.iter().sum();
        rows.push(Row {
            name: competitor.name(),
            ours: competitor.ours(),
            cells: vec![Cell::number(used as f64 * 1e3 / locks as f64)],
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Finding {
        id: "cpu-server".to_owned(),
        title: title.to_owned(),
        text: "The CPU time of all processes of the server for one uncontended lock over TCP, the \
               mean of a second."
            .to_owned(),
        note: String::new(),
        columns: vec![Column::new("time", "µs", 1)],
        rows,
        chart: Chart::Bars { column: 0 },
    })
}

/// Returns the CPU time of the server so far, with that of sessions that have ended.
fn server_millis(database: &Database) -> Result<u64> {
    let pid = database.pid().context("the server has ended")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may contain spaces. The fields 14 to 17 are the time
    // of the process and of its children, in user space and in the kernel.
    let (_, fields) = stat.rsplit_once(')').context("an unknown format")?;
    let fields = fields.split_whitespace().skip(11).take(4);
    let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    // A tick is 10 ms on all systems that Rust's Linux targets run on.
    Ok(ticks * 10)
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
