//! One task, an uncontended lock: the async crate, beside the async clients.

use std::time::Duration;

use anyhow::Result;

use crate::competitors::{Load, Measures, Watch, in_tasks};
use crate::database::{Database, Transport};
use crate::finding::{Chart, Column, Finding, Row};
use crate::interleave::{Plan, median_of, under_loads};
use crate::report::Report;

/// Round trips that the proxy adds. Without any, the server is reached directly.
const ROUND_TRIPS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_micros(500),
    Duration::from_millis(5),
];

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let finding = measure(database, plan);
    database.set_delay(Duration::ZERO);
    report.add(finding?)
}

fn measure(database: &Database, plan: Plan) -> Result<Finding> {
    let title = "One uncontended lock from a task";
    let mut rows: Vec<Row> = Vec::new();
    let mut columns = Vec::new();
    // Many short runs, as in `uncontended`.
    let parts = 5;
    let load = Load {
        threads: 1,
        names: 1,
        time: plan.time / parts,
        watch: Watch::Nothing,
    };
    for round_trip in ROUND_TRIPS {
        database.set_delay(round_trip / 2);
        let transport = match round_trip {
            Duration::ZERO => Transport::Tcp,
            _ => Transport::Delayed,
        };
        let mut competitors = in_tasks(database.by(transport));
        let ms = round_trip.as_secs_f64() * 1e3;
        columns.push(Column::new(format!("{ms} ms: time"), "µs", 1));
        columns.push(Column::new("x client", "", 2));
        let rounds = plan.rounds * parts as usize;
        let title = format!("{title}, {ms} ms");
        let table = under_loads(&title, rounds, &mut competitors, &[load])?;
        let time = |measured: &[Vec<Measures>]| {
            let per_second = median_of(&measured[0], |measures| measures.per_second);
            per_second.map(|per_second| 1e6 / per_second)
        };
        let first = time(&table[0]);
        if rows.is_empty() {
            rows.extend(competitors.iter().map(|competitor| Row {
                name: competitor.name(),
                ours: competitor.ours(),
                cells: Vec::new(),
            }));
        }
        for (row, measured) in rows.iter_mut().zip(&table) {
            let own = time(measured);
            let ratio = own.zip(first).map(|(own, first)| own / first);
            row.cells.extend([own, ratio]);
        }
    }
    Ok(Finding {
        id: "async".to_owned(),
        title: title.to_owned(),
        text: format!(
            "The time to acquire and release in one task, by the round trip that a proxy adds; {} \
             runs of {:?} each.",
            plan.rounds * parts as usize,
            load.time
        ),
        columns,
        rows,
        chart: Chart::Bars { column: 1 },
    })
}
