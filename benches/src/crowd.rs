//! What a hot lock does to others who use the same pool: four connections, four threads that read a row each time,
//! and 64 that want one lock.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_advisory_lock::prelude::*;

use crate::contenders::percentile;
use crate::database::{Account, Connections, Database, Transport, accounts};
use crate::finding::{Column, Finding, Picture, Row};
use crate::report::Report;
use crate::rounds::{Plan, in_turn, median};

const CROWD: usize = 64;
const OTHERS: usize = 4;

/// Less than r2d2's 30 seconds, so that a round need not be longer.
const TIMEOUT: Duration = Duration::from_millis(500);

/// One of the others reads a row that often.
const PACE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy)]
enum Crowd {
    None,
    /// Each waits on a connection.
    Plain(Duration),
    /// Each waits in line.
    Queued(Duration),
}

/// What the others saw in a round.
#[derive(Default)]
struct Seen {
    /// In ascending order.
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
    let work = Duration::from_millis(20);
    let crowds = [
        ("nobody", Crowd::None),
        (
            "64 through LockPool, nothing to do",
            Crowd::Queued(Duration::ZERO),
        ),
        ("64 through LockPool, 20 ms each", Crowd::Queued(work)),
        (
            "64 on pooled connections, nothing to do",
            Crowd::Plain(Duration::ZERO),
        ),
        ("64 on pooled connections, 20 ms each", Crowd::Plain(work)),
    ];
    let mut rounds: Vec<Vec<Seen>> = crowds.iter().map(|_| Vec::new()).collect();
    in_turn(
        "others beside a hot lock",
        plan.rounds,
        crowds.len(),
        |contender| {
            let seen = round(plan.time, &pool, &locks, crowds[contender].1)?;
            rounds[contender].push(seen);
            Ok(())
        },
    )?;

    let mut quiet = None;
    let rows = crowds.iter().zip(&mut rounds).map(|((name, _), rounds)| {
        rounds.remove(0);
        let of = |per_round: &dyn Fn(&Seen) -> f64| {
            median(&mut rounds.iter().map(per_round).collect::<Vec<_>>())
        };
        let seconds = plan.time.as_secs_f64();
        let p99 = of(&|seen| percentile(&seen.micros, 0.99));
        let quiet = *quiet.get_or_insert(p99);
        let cells = [
            of(&|seen| percentile(&seen.micros, 0.5)),
            p99,
            p99 / quiet,
            of(&|seen| seen.micros.len() as f64 / seconds),
            of(&|seen| seen.timeouts as f64),
            of(&|seen| seen.closures as f64 / seconds),
        ];
        Row {
            name: (*name).to_owned(),
            ours: true,
            cells: cells
                .map(|cell| Some(cell).filter(|cell| cell.is_finite()))
                .to_vec(),
        }
    });
    report.add(Finding {
        id: "crowd".to_owned(),
        title: "What a hot lock does to others who use the same pool of four".to_owned(),
        text: "Four threads read a row every 2 ms, each on a connection that it takes from the pool and gives back. \
               A crowd of 64 wants one lock."
            .to_owned(),
        rows: rows.collect(),
        columns: vec![
            Column::new("others: p50", "µs", 0),
            Column::new("p99", "µs", 0),
            Column::new("p99, x", "", 2),
            Column::new("queries/s", "", 0),
            Column::new("no connection in 0.5 s", "", 0),
            Column::new("closures/s", "", 0),
        ],
        picture: Picture::Bars { column: 1 },
    })?;
    Ok(())
}

fn round(
    time: Duration,
    pool: &Connections,
    locks: &LockPool<MysqlConnection>,
    crowd: Crowd,
) -> Result<Seen> {
    let stop = &AtomicBool::new(false);
    let closures = &AtomicUsize::new(0);
    let mut all = Seen::default();
    let name = &LockName::named("hot");
    thread::scope(|scope| {
        let body = move |work: Duration| {
            closures.fetch_add(1, Ordering::Relaxed);
            thread::sleep(work);
            Ok::<_, LockError>(())
        };
        for _ in 0..CROWD {
            match crowd {
                Crowd::None => {}
                // Those on plain connections may find none either; that is theirs to count elsewhere.
                Crowd::Plain(work) => {
                    _ = scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            _ = LockPool::new(pool.clone()).run(name.lock(), |_, _| body(work));
                        }
                    })
                }
                Crowd::Queued(work) => {
                    _ = scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            _ = locks.run(name.lock(), |_, _| body(work));
                        }
                    })
                }
            }
        }
        let others: Vec<_> = (0..OTHERS)
            .map(|_| scope.spawn(|| read(pool, stop)))
            .collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        for other in others {
            let seen = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            all.micros.extend(seen.micros);
            all.timeouts += seen.timeouts;
        }
        all.micros.sort_by(f64::total_cmp);
        all.closures = closures.load(Ordering::Relaxed);
        anyhow::Ok(())
    })?;
    Ok(all)
}

/// One of the others: check out, read a row, give back.
fn read(pool: &Connections, stop: &AtomicBool) -> Result<Seen> {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let Ok(mut conn) = pool.get() else {
            seen.timeouts += 1;
            continue;
        };
        accounts::table
            .find(2)
            .select(Account::as_select())
            .first(&mut conn)?;
        drop(conn);
        seen.micros.push(start.elapsed().as_secs_f64() * 1e6);
        thread::sleep(PACE.saturating_sub(start.elapsed()));
    }
    Ok(seen)
}
