//! Contenders in turn, several rounds: A B C, A B C, ..

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of one contender in one round.
    pub(crate) time: Duration,
}

/// Somebody to be measured: for how long it ran, it gives one number for a round.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    /// This library, and not one of those it is compared to.
    pub(crate) ours: bool,
    pub(crate) run: Box<dyn FnMut(Duration) -> Result<f64> + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &'static str, run: impl FnMut(Duration) -> Result<f64> + 'a) -> Self {
        Contender {
            name,
            ours: false,
            run: Box::new(run),
        }
    }

    pub(crate) fn ours(name: &'static str, run: impl FnMut(Duration) -> Result<f64> + 'a) -> Self {
        Contender {
            ours: true,
            ..Contender::new(name, run)
        }
    }
}

/// Calls each contender by its index, round after round. A first round is for warming up; what it gives is to be
/// dropped by the caller.
pub(crate) fn in_turn(
    title: &str,
    rounds: usize,
    contenders: usize,
    mut run: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let bar = progress((rounds + 1) * contenders);
    bar.set_message(title.to_owned());
    for _ in 0..=rounds {
        for contender in 0..contenders {
            run(contender)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The medians of all rounds but the first, in the contenders' order.
pub(crate) fn medians(
    title: &str,
    plan: Plan,
    contenders: &mut [Contender<'_>],
) -> Result<Vec<f64>> {
    let mut results = vec![Vec::new(); contenders.len()];
    in_turn(title, plan.rounds, contenders.len(), |contender| {
        let result = (contenders[contender].run)(plan.time)?;
        results[contender].push(result);
        Ok(())
    })?;
    Ok(results
        .iter_mut()
        .map(|results| median(&mut results[1..]))
        .collect())
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many times a second all threads together got through `work`, each with a thing of its own.
pub(crate) fn throughput<T: Send>(
    time: Duration,
    things: &mut [T],
    work: impl Fn(&mut T) -> Result<()> + Sync,
) -> Result<f64> {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let counts: Vec<Result<usize>> = thread::scope(|scope| {
        let threads: Vec<_> = things
            .iter_mut()
            .map(|thing| {
                let (stop, work) = (&stop, &work);
                scope.spawn(move || {
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        work(thing)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let elapsed = start.elapsed().as_secs_f64();
    let total: usize = counts.into_iter().sum::<Result<usize>>()?;
    Ok(total as f64 / elapsed)
}

/// How many times a second `work` gets done by one thread.
pub(crate) fn in_loop(time: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut count = 0_u64;
    while start.elapsed() < time {
        work()?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn progress(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
}
