//! The same lock, free, with more and more way to the server: what counts then is how often a contender waits for it.

use std::time::Duration;

use anyhow::Result;

use crate::alone;
use crate::contenders::{Load, Measures, Others, Watch};
use crate::database::{Database, Transport};
use crate::finding::{Column, Finding, Picture, Row};
use crate::report::Report;
use crate::rounds::{Plan, median_of, under_loads};

/// There and back.
const ROUND_TRIPS: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(5)];

pub(crate) fn run(
    database: &Database,
    others: &mut Others,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    let finding = measure(database, others, plan);
    database.set_delay(Duration::ZERO);
    report.add(finding?)
}

fn measure(database: &Database, others: &mut Others, plan: Plan) -> Result<Finding> {
    let title = "Lock and release, uncontended, with a way to the server";
    let mut lockers = alone::on_the_server(database.by(Transport::Delayed));
    lockers.extend(others.python(Transport::Delayed));
    let load = Load {
        threads: 1,
        names: 1,
        time: plan.time,
        watch: Watch::Nothing,
    };
    let mut rows: Vec<_> = lockers
        .iter()
        .map(|locker| Row {
            name: locker.name(),
            ours: locker.ours(),
            cells: Vec::new(),
        })
        .collect();
    let mut columns = Vec::new();
    for round_trip in ROUND_TRIPS {
        database.set_delay(round_trip / 2);
        let ms = round_trip.as_secs_f64() * 1e3;
        let title = format!("{title}, {ms} ms");
        let table = under_loads(&title, plan.rounds, &mut lockers, &[load])?;
        columns.push(Column::new(format!("{ms} ms there and back"), "ms", 2));
        columns.push(Column::new("in round trips", "", 2));
        let time = |measured: &[Vec<Measures>]| {
            let per_second = median_of(&measured[0], |measures| measures.per_second);
            per_second.map(|per_second| 1e3 / per_second)
        };
        // The proxy takes longer than it is told, so the measure is the floor's, which are two.
        let measure = time(&table[0]).map(|floor| floor / 2.0);
        for (row, measured) in rows.iter_mut().zip(&table) {
            let own = time(measured);
            let in_round_trips = own.zip(measure).map(|(own, one)| own / one);
            row.cells.extend([own, in_round_trips]);
        }
    }
    Ok(Finding {
        id: "distance".to_owned(),
        title: title.to_owned(),
        text: "A proxy holds everything back for half the time in either direction. The C client's two round trips are the measure; what is more \
               than a whole number of them is work at both ends."
            .to_owned(),
        columns,
        rows,
        picture: Picture::Bars { column: 3 },
    })
}
