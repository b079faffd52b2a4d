//! How many callers one hot lock carries: a queueing model, and a run to check it against.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use diesel_advisory_lock::prelude::*;

use crate::database::{Database, Transport};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::{Plan, interleaved};
use crate::report::Report;
use crate::rounds::median;

const CALLERS: [usize; 5] = [1, 4, 8, 16, 64];

/// How long a closure takes.
const WORK: Duration = Duration::from_millis(2);

/// How long a caller does other things between two calls, on average.
const PAUSE: Duration = Duration::from_millis(20);

/// The callers that show how long passing the lock on takes: each starts its next call at once.
const BUSY: usize = 16;

/// The calls of one run.
#[derive(Default)]
struct Calls {
    count: usize,
    /// From the request to the closure.
    waits: Duration,
    /// From the start of the closure to its end.
    work: Duration,
    elapsed: Duration,
}

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let title = "One hot lock, and callers with other work";
    // The first case is that of busy callers.
    let rounds = interleaved(
        title,
        database,
        plan.rounds,
        1 + CALLERS.len(),
        |case| match case.checked_sub(1) {
            None => calls(database, plan.time, BUSY, Duration::ZERO, Duration::ZERO),
            Some(index) => calls(database, plan.time, CALLERS[index], WORK, PAUSE),
        },
    )?;
    let of = |case: usize, of: fn(&Calls) -> f64| {
        median(&mut rounds.results[case].iter().map(of).collect::<Vec<_>>())
    };
    let handover = 1.0 / of(0, Calls::per_second);
    let rows = CALLERS.iter().enumerate().map(|(index, &callers)| {
        let case = index + 1;
        let work = of(case, |calls| calls.work.as_secs_f64() / calls.count as f64);
        let model = Model {
            service: work + handover,
            pause: PAUSE.as_secs_f64(),
        };
        let (rate, wait) = model.of(callers);
        Row {
            name: format!("{callers} callers"),
            ours: true,
            cells: vec![
                Cell::number(of(case, Calls::per_second)),
                Cell::number(rate),
                Cell::number(of(case, Calls::mean_wait) * 1e3),
                Cell::number(wait * 1e3),
            ],
        }
    });
    report.add(Finding {
        id: "capacity".to_owned(),
        title: title.to_owned(),
        text: format!(
            "A closure takes {WORK:?}, and a caller pauses for {PAUSE:?} between two calls, on \
             average. Passing the lock on takes {:.0} µs, measured with {BUSY} callers without \
             pauses. A wait is the time from the request to the closure.",
            handover * 1e6
        ),
        note: rounds.quality.sentence(),
        columns: vec![
            Column::new("calls/s", "", 0),
            Column::new("model: calls/s", "", 0),
            Column::new("mean wait, ms", "", 1),
            Column::new("model: mean wait, ms", "", 1),
        ],
        rows: rows.collect(),
        chart: Chart::Bars { column: 0 },
    })
}

/// A closed queueing network of one lock and callers that pause, by mean value analysis (M. Reiser
/// and S. S. Lavenberg, 1980): a caller that arrives finds the queue that one caller fewer would
/// leave.
struct Model {
    /// Seconds from the grant of the lock to the next grant, while there are waiters.
    service: f64,
    /// Seconds between two calls of a caller.
    pause: f64,
}

impl Model {
    /// Returns the calls per second, and the seconds from a request to its closure.
    fn of(&self, callers: usize) -> (f64, f64) {
        let (mut queue, mut rate, mut wait) = (0.0, 0.0, 0.0);
        for callers in 1..=callers {
            wait = self.service * queue;
            let response = wait + self.service;
            rate = callers as f64 / (self.pause + response);
            queue = rate * response;
        }
        (rate, wait)
    }
}

impl Calls {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    fn mean_wait(&self) -> f64 {
        self.waits.as_secs_f64() / self.count as f64
    }
}

/// Runs callers, each on a connection of its own.
fn calls(
    database: &Database,
    time: Duration,
    callers: usize,
    work: Duration,
    pause: Duration,
) -> Result<Calls> {
    let at = database.by(Transport::Tcp);
    let mut conns = (0..callers)
        .map(|_| at.connect())
        .collect::<Result<Vec<_>>>()?;
    let name = &LockName::named("capacity");
    let (stop, all) = (&AtomicBool::new(false), &Mutex::new(Calls::default()));
    let start = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = conns
            .iter_mut()
            .enumerate()
            .map(|(caller, conn)| {
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(caller as u64);
                    let mut own = Calls::default();
                    while !stop.load(Ordering::Relaxed) {
                        thread::sleep(exponential(&mut random, pause));
                        let requested = Instant::now();
                        let (granted, ended) = name.lock().run(conn, |_, _| {
                            let granted = Instant::now();
                            thread::sleep(work);
                            Ok::<_, LockError>((granted, Instant::now()))
                        })?;
                        own.count += 1;
                        own.waits += granted - requested;
                        own.work += ended - granted;
                    }
                    let mut all = all
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    all.count += own.count;
                    all.waits += own.waits;
                    all.work += own.work;
                    anyhow::Ok(())
                })
            })
            .collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        anyhow::Ok(())
    })?;
    let mut all = all
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    all.elapsed = start.elapsed();
    Ok(std::mem::take(&mut *all))
}

/// A pause of an exponential distribution, so that the callers do not keep in step.
fn exponential(random: &mut fastrand::Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - random.f64()).ln())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Model, exponential};

    const MODEL: Model = Model {
        service: 0.002,
        pause: 0.02,
    };

    #[test]
    fn one_caller_does_not_wait() {
        let (rate, wait) = MODEL.of(1);
        assert!((rate - 1.0 / 0.022).abs() < 1e-9);
        assert_eq!(wait, 0.0);
    }

    #[test]
    fn many_callers_keep_the_lock_busy() {
        let (rate, wait) = MODEL.of(64);
        assert!((rate - 500.0).abs() < 0.5, "{rate}");
        // All but those that pause are in the queue.
        assert!((wait - (64.0 / 500.0 - 0.022)).abs() < 0.001, "{wait}");
    }

    #[test]
    fn pauses_have_their_mean() {
        let mut random = fastrand::Rng::with_seed(0);
        let mean = Duration::from_millis(20);
        let sum: Duration = (0..10_000).map(|_| exponential(&mut random, mean)).sum();
        let ms = sum.as_secs_f64() * 1e3 / 1e4;
        assert!((19.0..21.0).contains(&ms), "{ms}");
    }
}
