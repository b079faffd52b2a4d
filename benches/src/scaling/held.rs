//! One more lock in a session that already holds 1 to 10,000.

#[cfg(not(feature = "postgres"))]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;

use std::time::{Duration, Instant};

use anyhow::Result;
use diesel::connection::SimpleConnection;
use diesel_advisory_lock::prelude::*;

use crate::database::{Database, Transport, lock_name};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::{Plan, interleaved};
use crate::rounds::median;
#[cfg(not(feature = "postgres"))]
use mysql::{Client, RELEASE_ALL, acquire_other};
#[cfg(feature = "postgres")]
use postgres::{Client, RELEASE_ALL, acquire_other};

const COUNTS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

pub(crate) fn run(database: &Database, plan: Plan) -> Result<Finding> {
    let at = database.by(Transport::Tcp);
    let session = at.raw_session()?;
    let mut client = Client::new(&session, 2)?;
    let mut conn = at.connect()?;
    let mut set_conn = at.connect()?;
    let name = lock_name(1);
    let title = "One session that holds 1 to 10,000 locks";
    // The locks accumulate from count to count, so a round covers all counts of all competitors.
    let rounds = interleaved(title, database, plan.rounds, 1, |_| {
        let mut results = [[0.0; COUNTS.len()]; 3];
        let mut held = 0;
        for (column, &count) in COUNTS.iter().enumerate() {
            client.acquire_other(held..count)?;
            conn.batch_execute(&acquire_other("conn", held..count))?;
            held = count;
            results[0][column] = micros(plan.time, 1, || client.lock_and_unlock())?;
            results[1][column] = micros(plan.time, 1, || {
                Ok(name.lock().run(&mut conn, |_, _| Ok::<_, LockError>(()))?)
            })?;
            let ids = 10..10 + i64::try_from(count)?;
            results[2][column] = micros(plan.time, count, || {
                let names: Vec<_> = ids.clone().map(lock_name).collect();
                Ok(lock_all(names).run(&mut set_conn, |_, _| Ok::<_, LockError>(()))?)
            })?;
        }
        conn.batch_execute(RELEASE_ALL)?;
        client.release_all()?;
        Ok(results)
    })?;
    let names = [
        ("C client, prepared", false),
        ("name.lock().run", true),
        ("lock_all(set).run, per name of a set of this size", true),
    ];
    let rows = names.iter().enumerate().map(|(row, (name, ours))| {
        let cells = (0..COUNTS.len()).map(|column| {
            let results = rounds.results[0].iter();
            Cell::number(median(
                &mut results.map(|round| round[row][column]).collect::<Vec<_>>(),
            ))
        });
        Row {
            name: (*name).to_owned(),
            ours: *ours,
            cells: cells.collect(),
        }
    });
    Ok(Finding {
        id: "scaling-held".to_owned(),
        title: format!("{title}: time of one more lock, µs"),
        text: "The time to acquire and release one more lock, which is uncontended.".to_owned(),
        note: rounds.quality.sentence(),
        columns: COUNTS
            .map(|count| Column::new(format!("{count} held"), "", 1))
            .to_vec(),
        rows: rows.collect(),
        chart: Chart::Lines {
            x: "locks held",
            at: COUNTS.map(|count| count as f64).to_vec(),
            y: "µs".to_owned(),
        },
    })
}

/// Repeats `work` for about `time`. Returns the duration of one of its `parts`.
fn micros(time: Duration, parts: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut count = 0_u64;
    while count == 0 || start.elapsed() < time {
        work()?;
        count += 1;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / (count as f64 * parts as f64))
}
