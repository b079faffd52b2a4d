//! More and more locks that a session holds already, and one that it takes and releases.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use raw_client::Session;

use crate::database::{Database, SCHEMA, Transport, lock_name, written};
use crate::finding::{Column, Finding, Picture, Row};
use crate::rounds::{Plan, in_turn, median};

const COUNTS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

pub(crate) fn run(database: &Database, plan: Plan) -> Result<Finding> {
    let at = database.by(Transport::Tcp);
    let session = Session::connect(at.address()?, SCHEMA)?;
    let mut get = session.prepare("SELECT GET_LOCK(?, 45)")?;
    let mut release = session.prepare("SELECT RELEASE_LOCK(?)")?;
    let mut conn = at.connect()?;
    let mut all_at_once = at.connect()?;
    let (name, raw_name) = (lock_name(1), written(2));
    let held = RefCell::new((0, 0));
    let title = "One session that holds more and more locks";
    let mut results = vec![vec![Vec::new(); COUNTS.len()]; 3];
    // Locks add up from count to count: a round is all counts of all contenders.
    in_turn(title, plan.rounds, 1, |_| {
        for (column, &count) in COUNTS.iter().enumerate() {
            let (by_client, by_conn) = &mut *held.borrow_mut();
            while *by_client < count {
                *by_client += 1;
                let lock = format!("client:{by_client}");
                ensure!(get.ask(&lock)? == Some(1), "not locked");
            }
            hold_more(&mut conn, by_conn, count)?;
            results[0][column].push(micros(plan.time, 1, || {
                ensure!(get.ask(&raw_name)? == Some(1), "not locked");
                ensure!(release.ask(&raw_name)? == Some(1), "not released");
                Ok(())
            })?);
            results[1][column].push(micros(plan.time, 1, || {
                let body = |_: &mut MysqlConnection| Ok::<_, LockError>(());
                Ok(name.lock().run(&mut conn, |_, conn| body(conn))?)
            })?);
            let ids = 10..10 + i64::try_from(count)?;
            results[2][column].push(micros(plan.time, count, || {
                let names: Vec<_> = ids.clone().map(lock_name).collect();
                Ok(lock_all(names).run(&mut all_at_once, |_, _| Ok::<_, LockError>(()))?)
            })?);
        }
        drop_all(&mut conn)?;
        let (by_client, by_conn) = &mut *held.borrow_mut();
        while *by_client > 0 {
            ensure!(
                release.ask(&format!("client:{by_client}"))? == Some(1),
                "not released"
            );
            *by_client -= 1;
        }
        *by_conn = 0;
        Ok(())
    })?;
    let names = [
        ("C client, prepared", false),
        ("hold", true),
        ("lock_all of so many, for each", true),
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
        id: "growth-held".to_owned(),
        title: format!("{title}: one more lock, taken and released, µs"),
        text: "Both servers keep a session's locks in a table of its own; nobody else wants them."
            .to_owned(),
        columns: COUNTS
            .map(|count| Column::new(format!("{count} held"), "", 1))
            .to_vec(),
        rows: rows.collect(),
        picture: Picture::Lines {
            x: "locks held",
            at: COUNTS.map(|count| count as f64).to_vec(),
            y: "µs".to_owned(),
            logarithmic: false,
        },
    })
}

fn hold_more(conn: &mut MysqlConnection, held: &mut usize, count: usize) -> Result<()> {
    while *held < count {
        let until = count.min(*held + 500);
        let locks: Vec<_> = (*held..until)
            .map(|id| format!("GET_LOCK('conn:{id}', 0)"))
            .collect();
        conn.batch_execute(&format!("SELECT {}", locks.join(", ")))?;
        *held = until;
    }
    Ok(())
}

fn drop_all(conn: &mut MysqlConnection) -> Result<()> {
    Ok(conn.batch_execute("DO RELEASE_ALL_LOCKS()")?)
}

/// Of `work`, repeated for about that long, for each of the `parts` that it does.
fn micros(time: Duration, parts: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut count = 0_u64;
    while count == 0 || start.elapsed() < time {
        work()?;
        count += 1;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / (count as f64 * parts as f64))
}
