//! The effect of a hot lock on other users of its pool: 4 connections, 4 readers that read a row
//! every 2 ms, and 64 lockers that contend for one lock.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_advisory_lock::prelude::*;

use crate::competitors::percentile;
use crate::database::{Account, Conn, Connections, Database, Transport, accounts};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::{Plan, interleaved};
use crate::report::Report;
use crate::rounds::{median, ratio};

const LOCKERS: usize = 64;
const READERS: usize = 4;

/// The pool's timeout. Shorter than r2d2's 30 seconds, to keep the rounds short.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The interval at which a reader reads a row.
const INTERVAL: Duration = Duration::from_millis(2);

/// How the lockers lock, with the time that they hold the lock.
#[derive(Clone, Copy)]
enum Lockers {
    None,
    OnConnections(Duration),
    ThroughLockPool(Duration),
}

/// The results of a round.
#[derive(Default)]
struct Round {
    /// The durations of the reads, in ascending order.
    micros: Vec<f64>,
    timeouts: usize,
    /// Closures that ran under the lock.
    closures: usize,
}

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let pool = Pool::builder()
        .max_size(4)
        .connection_timeout(TIMEOUT)
        .build(ConnectionManager::new(database.by(Transport::Tcp).url()?))?;
    let locks = LockPool::new(pool.clone());
    let (none, work) = (Duration::ZERO, Duration::from_millis(20));
    let cases = [
        ("no lockers", Lockers::None),
        ("LockPool, empty closures", Lockers::ThroughLockPool(none)),
        ("LockPool, 20 ms each", Lockers::ThroughLockPool(work)),
        ("plain pool, empty closures", Lockers::OnConnections(none)),
        ("plain pool, 20 ms each", Lockers::OnConnections(work)),
    ];
    let title = "Readers beside a hot lock";
    let rounds = interleaved(title, database, plan.rounds, cases.len(), |case| {
        round(plan.time, &pool, &locks, cases[case].1)
    })?;

    let p99 = |rounds: &[Round]| -> Vec<_> {
        let p99 = |round: &Round| percentile(&round.micros, 0.99);
        rounds.iter().map(p99).collect()
    };
    let undisturbed = p99(&rounds.results[0]);
    let rows = cases
        .iter()
        .zip(&rounds.results)
        .map(|((name, _), rounds)| {
            let of = |number: &dyn Fn(&Round) -> f64| {
                Cell::number(median(&mut rounds.iter().map(number).collect::<Vec<_>>()))
            };
            let seconds = plan.time.as_secs_f64();
            Row {
                name: (*name).to_owned(),
                ours: true,
                cells: vec![
                    of(&|round| percentile(&round.micros, 0.5)),
                    of(&|round| percentile(&round.micros, 0.99)),
                    ratio(&p99(rounds), &undisturbed),
                    of(&|round| round.micros.len() as f64 / seconds),
                    of(&|round| round.timeouts as f64),
                    of(&|round| round.closures as f64 / seconds),
                ],
            }
        });
    report.add(Finding {
        id: "starvation".to_owned(),
        title: "Readers in a pool of four beside a hot lock".to_owned(),
        text:
            "Four threads read a row every 2 ms, each on a connection that it checks out for the \
               read. 64 threads contend for one lock through the same pool."
                .to_owned(),
        note: rounds.quality.sentence(),
        rows: rows.collect(),
        columns: vec![
            Column::new("read: p50", "µs", 0),
            Column::new("p99", "µs", 0),
            Column::new("p99, x", "", 2),
            Column::new("reads/s", "", 0),
            Column::new("checkout timeouts (0.5 s)", "", 0),
            Column::new("closures/s", "", 0),
        ],
        chart: Chart::Bars { column: 1 },
    })
}

fn round(
    time: Duration,
    pool: &Connections,
    locks: &LockPool<Conn>,
    lockers: Lockers,
) -> Result<Round> {
    let stop = &AtomicBool::new(false);
    let closures = &AtomicUsize::new(0);
    let mut all = Round::default();
    let name = &LockName::named("hot");
    thread::scope(|scope| {
        let body = move |work: Duration| {
            closures.fetch_add(1, Ordering::Relaxed);
            thread::sleep(work);
            Ok::<_, LockError>(())
        };
        for _ in 0..LOCKERS {
            match lockers {
                Lockers::None => {}
                // A new `LockPool` for each call shares no queue with the others. Checkout timeouts
                // of lockers are not counted.
                Lockers::OnConnections(work) => {
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            _ = LockPool::new(pool.clone()).run(name.lock(), |_, _| body(work));
                        }
                    });
                }
                Lockers::ThroughLockPool(work) => {
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            _ = locks.run(name.lock(), |_, _| body(work));
                        }
                    });
                }
            }
        }
        let readers: Vec<_> = (0..READERS)
            .map(|_| scope.spawn(|| read(pool, stop)))
            .collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            let read = reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            all.micros.extend(read.micros);
            all.timeouts += read.timeouts;
        }
        all.micros.sort_by(f64::total_cmp);
        all.closures = closures.load(Ordering::Relaxed);
        anyhow::Ok(())
    })?;
    Ok(all)
}

/// The loop of a reader: check a connection out, read a row, return the connection.
fn read(pool: &Connections, stop: &AtomicBool) -> Result<Round> {
    let mut round = Round::default();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let Ok(mut conn) = pool.get() else {
            round.timeouts += 1;
            continue;
        };
        accounts::table
            .find(2)
            .select(Account::as_select())
            .first(&mut conn)?;
        drop(conn);
        round.micros.push(start.elapsed().as_secs_f64() * 1e6);
        thread::sleep(INTERVAL.saturating_sub(start.elapsed()));
    }
    Ok(round)
}
