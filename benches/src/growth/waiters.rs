//! More and more who wait for one lock: how quickly it goes round, and what each waiter takes.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::contenders::{Call, Load, Lockers, Ours, Size, Watch};
use crate::database::{Database, Transport, lock_name};
use crate::finding::{Column, Finding, Picture, Row};
use crate::lines::{Axis, Growing, THROUGHPUT};
use crate::memory::{self, Memory};
use crate::report::Report;
use crate::rounds::Plan;

const WAITERS: Axis = Axis {
    name: "waiters",
    at: &[1, 10, 100, 500],
};

/// Of the pool behind the `LockPool`.
const CONNECTIONS: usize = 4;

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let title = "More and more who wait for one lock";
    let at = database.by(Transport::Tcp);
    let lockers: Lockers<'_> = vec![
        Box::new(Ours::plain(at, Call::Hold)),
        Box::new(Ours::pooled(at, Call::Hold, Size::Always(CONNECTIONS))),
    ];
    let growing = Growing {
        id: "growth-waiters",
        title,
        axis: &WAITERS,
        load: &|waiters| Load {
            // One has it.
            threads: waiters + 1,
            names: 1,
            time: plan.time,
            watch: Watch::Nothing,
        },
        measures: &[THROUGHPUT],
    };
    growing.run(lockers, plan.rounds, report)?;
    report.add(memory_of_waiters(database, title)?)
}

/// Measured once: memory does not depend on how busy the machine is.
fn memory_of_waiters(database: &Database, title: &str) -> Result<Finding> {
    let mut rows = [
        ("hold: the process", true),
        ("hold: the server", true),
        ("hold_from: the process", true),
        ("hold_from: the server", true),
    ]
    .map(|(name, ours)| Row {
        name: name.to_owned(),
        ours,
        cells: Vec::new(),
    });
    // What is freed is not given back at once, so the smaller goes first, and all are compared to the very beginning.
    let before = memory::of_both(database);
    for (first_row, run) in [(2, pooled as Run), (0, plain)] {
        for &count in WAITERS.at {
            let now = run(database, count)?;
            let cells = [
                per_waiter(before.process, now.process, count),
                per_waiter(before.server, now.server, count),
            ];
            for (row, cell) in rows[first_row..].iter_mut().zip(cells) {
                row.cells.push(cell);
            }
        }
    }
    Ok(Finding {
        id: "growth-waiters-memory".to_owned(),
        title: format!("{title}: memory for each"),
        text:
            "Of what the operating system counts, connections and threads of the waiters included."
                .to_owned(),
        columns: WAITERS
            .at
            .iter()
            .map(|at| Column::new(format!("{at} waiters"), "KiB", 0))
            .collect(),
        rows: rows.to_vec(),
        picture: Picture::Lines {
            x: "waiters",
            at: WAITERS.at.iter().map(|&at| at as f64).collect(),
            y: "KiB for each".to_owned(),
            logarithmic: true,
        },
    })
}

/// What is taken while so many wait.
type Run = fn(&Database, usize) -> Result<Memory>;

fn plain(database: &Database, count: usize) -> Result<Memory> {
    let name = lock_name(1);
    let at = database.by(Transport::Tcp);
    let mut conn = at.connect()?;
    let held = name.lock().acquire(&mut conn)?;
    while_waiting(
        database,
        count,
        || {
            let mut conn = at.connect()?;
            name.lock().run(&mut conn, |_, _| Ok::<_, LockError>(()))?;
            Ok(())
        },
        || Ok(sessions_that_wait(database)? == i64::try_from(count)?),
        || Ok(held.release()?),
    )
}

fn pooled(database: &Database, count: usize) -> Result<Memory> {
    let name = lock_name(1);
    let locks = LockPool::new(database.by(Transport::Tcp).pool(CONNECTIONS)?);
    let held = locks.acquire(name.lock())?;
    while_waiting(
        database,
        count,
        || {
            locks.run(name.lock(), |_, _| Ok::<_, LockError>(()))?;
            Ok(())
        },
        || Ok(locks.state().waiting == count),
        || Ok(held.release()?),
    )
}

fn while_waiting(
    database: &Database,
    count: usize,
    wait: impl Fn() -> Result<()> + Sync,
    all_wait: impl Fn() -> Result<bool>,
    release: impl FnOnce() -> Result<()>,
) -> Result<Memory> {
    thread::scope(|scope| {
        let (failed, failures) = mpsc::channel();
        for _ in 0..count {
            let (wait, failed) = (&wait, failed.clone());
            scope.spawn(move || {
                if let Err(error) = wait() {
                    drop(failed.send(error));
                }
            });
        }
        drop(failed);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !all_wait()? {
            ensure!(Instant::now() < deadline, "not all of {count} wait");
            thread::sleep(Duration::from_millis(20));
        }
        let now = memory::of_both(database);
        release()?;
        match failures.recv() {
            Ok(error) => Err(error),
            Err(mpsc::RecvError) => Ok(now),
        }
    })
}

/// In KiB.
fn per_waiter(before: Option<u64>, now: Option<u64>, count: usize) -> Option<f64> {
    let (before, now) = before.zip(now)?;
    Some((now as f64 - before as f64) / 1024.0 / count as f64)
}

fn sessions_that_wait(database: &Database) -> Result<i64> {
    let mut conn = database.by(Transport::Tcp).connect()?;
    let waiting = diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "(SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock')",
    );
    Ok(diesel::select(waiting).get_result(&mut conn)?)
}
