//! One lock with 1 to 500 waiters: throughput, and memory per waiter.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::competitors::{Call, Competitors, Load, Ours, Size, Until, Watch};
use crate::database::{Database, IS_POSTGRES, Transport, lock_name};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::Plan;
use crate::memory::{self, Memory};
use crate::report::Report;
use crate::sweep::{Axis, Sweep, THROUGHPUT};

const WAITERS: Axis = Axis {
    name: "waiters",
    at: &[1, 10, 100, 500],
};

/// The size of the pool behind the `LockPool`.
const CONNECTIONS: usize = 4;

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let title = "One lock with 1 to 500 waiters";
    let at = database.by(Transport::Tcp);
    let competitors: Competitors<'_> = vec![
        Box::new(Ours::plain(at, Call::Run)),
        Box::new(Ours::lock_pool(at, Call::Run, Size::Fixed(CONNECTIONS))),
    ];
    let sweep = Sweep {
        id: "scaling-waiters",
        title,
        axis: &WAITERS,
        load: &|waiters| Load {
            // One thread holds the lock.
            threads: waiters + 1,
            names: 1,
            until: Until::Elapsed(plan.time),
            watch: Watch::Nothing,
        },
        measures: &[THROUGHPUT],
    };
    sweep.run(database, competitors, plan.rounds, report)?;
    report.add(memory_of_waiters(database, title)?)
}

/// Measures once: memory does not depend on the load of the machine.
fn memory_of_waiters(database: &Database, title: &str) -> Result<Finding> {
    let mut rows = [
        ("name.lock().run: the process", true),
        ("name.lock().run: the server", true),
        ("locks.run(name.lock()): the process", true),
        ("locks.run(name.lock()): the server", true),
    ]
    .map(|(name, ours)| Row {
        name: name.to_owned(),
        ours,
        cells: Vec::new(),
    });
    // The allocator keeps freed memory. So the smaller case runs first, and all are compared with
    // the start.
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
        id: "scaling-waiters-memory".to_owned(),
        title: format!("{title}: memory per waiter"),
        text: "The growth of the resident memory, with the connections and threads of the waiters."
            .to_owned(),
        note: String::new(),
        columns: WAITERS
            .at
            .iter()
            .map(|at| Column::new(format!("{at} waiters"), "KiB", 0))
            .collect(),
        rows: rows.to_vec(),
        chart: Chart::Lines {
            x: "waiters",
            at: WAITERS.at.iter().map(|&at| at as f64).collect(),
            y: "KiB per waiter".to_owned(),
        },
    })
}

/// Returns the memory while this many threads wait.
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
        || Ok(waiting_sessions(database)? == i64::try_from(count)?),
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
            ensure!(Instant::now() < deadline, "fewer than {count} threads wait");
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

/// Returns KiB per waiter.
fn per_waiter(before: Option<u64>, now: Option<u64>, count: usize) -> Option<Cell> {
    let (before, now) = before.zip(now)?;
    Some(Cell::Number(
        (now as f64 - before as f64) / 1024.0 / count as f64,
    ))
}

fn waiting_sessions(database: &Database) -> Result<i64> {
    let mut conn = database.by(Transport::Tcp).connect()?;
    let waiting = diesel::dsl::sql::<diesel::sql_types::BigInt>(match IS_POSTGRES {
        true => "(SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)",
        false => "(SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock')",
    });
    Ok(diesel::select(waiting).get_result(&mut conn)?)
}
