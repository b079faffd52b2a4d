//! An uncontended lock over round trips of 0.5 ms and 5 ms.

use std::time::Duration;

use anyhow::Result;

use crate::competitors::{Load, Measures, Watch};
use crate::database::{Database, Transport};
use crate::finding::{Chart, Column, Finding, Row};
use crate::interleave::{Plan, median_of, under_loads};
use crate::report::Report;
use crate::uncontended;

const ROUND_TRIPS: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(5)];

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let finding = measure(database, plan);
    database.set_delay(Duration::ZERO);
    report.add(finding?)
}

fn measure(database: &Database, plan: Plan) -> Result<Finding> {
    let title = "One uncontended lock, with network delay";
    let mut competitors = uncontended::on_database_server(database.by(Transport::Delayed));
    let load = Load {
        threads: 1,
        names: 1,
        time: plan.time,
        watch: Watch::Nothing,
    };
    let mut rows: Vec<_> = competitors
        .iter()
        .map(|competitor| Row {
            name: competitor.name(),
            ours: competitor.ours(),
            cells: Vec::new(),
        })
        .collect();
    let mut columns = Vec::new();
    for round_trip in ROUND_TRIPS {
        database.set_delay(round_trip / 2);
        let ms = round_trip.as_secs_f64() * 1e3;
        let title = format!("{title}, {ms} ms");
        let table = under_loads(&title, plan.rounds, &mut competitors, &[load])?;
        columns.push(Column::new(format!("round trip {ms} ms: time"), "ms", 2));
        columns.push(Column::new("in round trips", "", 2));
        let time = |measured: &[Vec<Measures>]| {
            let per_second = median_of(&measured[0], |measures| measures.per_second);
            per_second.map(|per_second| 1e3 / per_second)
        };
        // The proxy adds time of its own, so a round trip is half the time of the C client.
        let measured_trip = time(&table[0]).map(|first| first / 2.0);
        for (row, measured) in rows.iter_mut().zip(&table) {
            let own = time(measured);
            let in_round_trips = own.zip(measured_trip).map(|(own, trip)| own / trip);
            row.cells.extend([own, in_round_trips]);
        }
    }
    Ok(Finding {
        id: "distance".to_owned(),
        title: title.to_owned(),
        text: "A proxy delays each direction by half the round trip. The unit is half the time of \
               the C client, which waits for two round trips. The fraction beyond a whole number \
               is work on both ends."
            .to_owned(),
        columns,
        rows,
        chart: Chart::Bars { column: 3 },
    })
}
