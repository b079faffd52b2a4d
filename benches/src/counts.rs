//! What a lock costs in numbers that do not depend on the machine: round trips, statements, and
//! the instructions of the client.

use anyhow::{Context, Result};
use instructions::{Counter, valgrind_is_installed};

use crate::competitors::{Competitor, Load, Until};
use crate::database::{Database, Transport};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::progress;
use crate::report::Report;
use crate::uncontended::Calls;

/// The cost of one iteration is the difference between two numbers of iterations, which leaves the
/// connection and the preparation of statements out.
const FEW: u64 = 10;
const MANY: u64 = 110;

/// This benchmark's name on the command line.
pub(crate) const BENCHMARK: &str = "counts";

/// The last part of the findings' names, after that of the benchmark whose rows they are about.
pub(crate) const SUFFIX: &str = "-counts";

pub(crate) fn run(database: &Database, report: &mut Report) -> Result<()> {
    let counter = match valgrind_is_installed() && !cfg!(debug_assertions) {
        true => Some(Counter::of_this_program()?),
        false => {
            println!("Instructions are left out: they need valgrind and a release build\n");
            None
        }
    };
    database.count_statements(true)?;
    for calls in [Calls::Blocking, Calls::Async] {
        report.add(count(database, calls, counter.as_ref())?)?;
    }
    database.count_statements(false)
}

fn count(database: &Database, calls: Calls, counter: Option<&Counter>) -> Result<Finding> {
    let title = match calls {
        Calls::Blocking => "What one uncontended lock costs",
        Calls::Async => "What one uncontended lock costs, async",
    };
    let mut competitors = calls.competitors(database.by(Transport::Delayed));
    let bar = progress(title, competitors.len());
    let mut rows = Vec::new();
    for (index, competitor) in competitors.iter_mut().enumerate() {
        let name = competitor.name();
        let [few, many] = [FEW, MANY]
            .map(|times| counted(database, &mut **competitor, times).with_context(|| name.clone()));
        let ([few_trips, few_statements], [many_trips, many_statements]) = (few?, many?);
        let each =
            |few: u64, many: u64| Some(Cell::Number((many - few) as f64 / (MANY - FEW) as f64));
        let instructions = counter.map(|counter| {
            let (port, index) = (database.port().to_string(), index.to_string());
            let work = [
                "--only",
                calls.id(),
                "--port",
                &port,
                "--competitor",
                &index,
            ];
            counter.per_run(&work)
        });
        rows.push(Row {
            name,
            ours: competitor.ours(),
            cells: vec![
                each(few_trips, many_trips),
                each(few_statements, many_statements),
                instructions
                    .transpose()?
                    .map(|count| Cell::Number(count as f64)),
            ],
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Finding {
        id: format!("{}{SUFFIX}", calls.id()),
        title: title.to_owned(),
        text: "Round trips by a proxy, statements by the server, and instructions of the client \
               process, without the kernel, by valgrind."
            .to_owned(),
        note: String::new(),
        columns: ["round trips", "statements", "instructions"]
            .map(|name| Column::new(name, "", 0))
            .to_vec(),
        rows,
        chart: Chart::None,
    })
}

/// Returns the round trips and statements of this many iterations, and of all that precedes them.
fn counted(database: &Database, competitor: &mut dyn Competitor, times: u64) -> Result<[u64; 2]> {
    let now = || anyhow::Ok([database.round_trips()?, database.statements()?]);
    let before = now()?;
    competitor.run(&Load::single(Until::Repeated(times)))?;
    let after = now()?;
    Ok([after[0] - before[0], after[1] - before[1]])
}

/// Runs a competitor on the server of another process, which counts the instructions of this one.
pub(crate) fn repeat(calls: Calls, port: u16, competitor: usize, times: u64) -> Result<()> {
    let database = Database::at_port(port);
    let mut competitors = calls.competitors(database.by(Transport::Tcp));
    let competitor = competitors.get_mut(competitor).context("no competitor")?;
    competitor.run(&Load::single(Until::Repeated(times)))?;
    Ok(())
}
