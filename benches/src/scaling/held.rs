//! One more lock in a session that already holds 1 to 10,000.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use diesel::connection::SimpleConnection;
use diesel_advisory_lock::prelude::*;
use raw_client::Session;

use crate::database::{Conn, Database, SCHEMA, Transport, full_name, lock_name};
use crate::finding::{Chart, Column, Finding, Row};
use crate::interleave::{Plan, interleaved, median};

const COUNTS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

pub(crate) fn run(database: &Database, plan: Plan) -> Result<Finding> {
    let at = database.by(Transport::Tcp);
    let session = Session::connect(at.address()?, SCHEMA)?;
    let mut get = session.prepare("SELECT GET_LOCK(?, 45)")?;
    let mut release = session.prepare("SELECT RELEASE_LOCK(?)")?;
    let mut conn = at.connect()?;
    let mut set_conn = at.connect()?;
    let (name, raw_name) = (lock_name(1), full_name(2));
    let title = "One session that holds 1 to 10,000 locks";
    let mut results = vec![vec![Vec::new(); COUNTS.len()]; 3];
    // The locks accumulate from count to count, so a round covers all counts of all competitors.
    interleaved(title, plan.rounds, 1, |_| {
        let mut held = 0;
        for (column, &count) in COUNTS.iter().enumerate() {
            for id in held..count {
                ensure!(get.ask(&format!("client:{id}"))? == Some(1), "not locked");
            }
            acquire_more(&mut conn, held, count)?;
            held = count;
            results[0][column].push(micros(plan.time, 1, || {
                ensure!(get.ask(&raw_name)? == Some(1), "not locked");
                ensure!(release.ask(&raw_name)? == Some(1), "not released");
                Ok(())
            })?);
            results[1][column].push(micros(plan.time, 1, || {
                Ok(name.lock().run(&mut conn, |_, _| Ok::<_, LockError>(()))?)
            })?);
            let ids = 10..10 + i64::try_from(count)?;
            results[2][column].push(micros(plan.time, count, || {
                let names: Vec<_> = ids.clone().map(lock_name).collect();
                Ok(lock_all(names).run(&mut set_conn, |_, _| Ok::<_, LockError>(()))?)
            })?);
        }
        conn.batch_execute("DO RELEASE_ALL_LOCKS()")?;
        for id in 0..held {
            let released = release.ask(&format!("client:{id}"))?;
            ensure!(released == Some(1), "not released");
        }
        Ok(())
    })?;
    let names = [
        ("C client, prepared", false),
        ("name.lock().run", true),
        ("lock_all(set).run, per name of a set of this size", true),
    ];
    let rows = names
        .iter()
        .zip(&mut results)
        .map(|((name, ours), results)| Row {
            name: (*name).to_owned(),
            ours: *ours,
            cells: results
                .iter_mut()
                .map(|values| Some(median(&mut values[1..])))
                .collect(),
        });
    Ok(Finding {
        id: "scaling-held".to_owned(),
        title: format!("{title}: time of one more lock, µs"),
        text: "The time to acquire and release one more lock, which is uncontended.".to_owned(),
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

fn acquire_more(conn: &mut Conn, held: usize, count: usize) -> Result<()> {
    let ids: Vec<_> = (held..count).collect();
    for ids in ids.chunks(500) {
        let locks: Vec<_> = ids
            .iter()
            .map(|id| format!("GET_LOCK('conn:{id}', 0)"))
            .collect();
        conn.batch_execute(&format!("SELECT {}", locks.join(", ")))?;
    }
    Ok(())
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
