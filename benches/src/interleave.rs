//! Runs competitors in rounds, in a different order in each: A B C, then A C B.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::competitors::{Competitor, Competitors, Load, Measures, Until, Watch};
use crate::control::Control;
use crate::database::Database;
use crate::finding::Cell;
use crate::rounds::{Quality, Round, Rounds, median, ratio};

#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// The duration of one competitor's run in a round.
    pub(crate) time: Duration,
}

/// Calls `run` with the index of each competitor, round after round. A first call of each warms up,
/// and its result is dropped.
pub(crate) fn interleaved<T>(
    title: &str,
    database: &Database,
    rounds: usize,
    competitors: usize,
    mut run: impl FnMut(usize) -> Result<T>,
) -> Result<Rounds<T>> {
    let bar = progress(title, (rounds + 1) * competitors);
    for competitor in 0..competitors {
        run(competitor)?;
        bar.inc(1);
    }
    let rounds = in_rounds(&bar, database, rounds, competitors, run)?;
    bar.finish_and_clear();
    Ok(rounds)
}

/// Runs the control before each competitor: what disturbs the machine in a round also shows there.
fn in_rounds<T>(
    bar: &ProgressBar,
    database: &Database,
    rounds: usize,
    competitors: usize,
    mut run: impl FnMut(usize) -> Result<T>,
) -> Result<Rounds<T>> {
    let control = Control::connect(database)?;
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut controls = 0.0;
        let mut results: Vec<_> = (0..competitors).map(|_| None).collect();
        for competitor in order(round, competitors) {
            controls += control.micros()?;
            results[competitor] = Some(run(competitor)?);
            bar.inc(1);
        }
        all.push(Round {
            control: controls / competitors as f64,
            results: results.into_iter().flatten().collect(),
        });
    }
    Ok(Rounds::new(competitors, all))
}

/// Returns the median of one measure, or `None` if it is not a finite number.
pub(crate) fn median_of(rounds: &[Measures], of: impl Fn(&Measures) -> f64) -> Option<f64> {
    let median = median(&mut rounds.iter().map(of).collect::<Vec<_>>());
    Some(median).filter(|median| median.is_finite())
}

/// Returns how much longer than the reference a competitor takes, from each round.
pub(crate) fn times_ratio(own: &[Measures], reference: &[Measures]) -> Option<Cell> {
    let rates = |rounds: &[Measures]| -> Vec<_> {
        rounds.iter().map(|measures| measures.per_second).collect()
    };
    ratio(&rates(reference), &rates(own))
}

/// The measures of all competitors under all loads.
pub(crate) struct Table {
    /// By competitor, then by load, then by round. Empty if the competitor failed.
    pub(crate) cells: Vec<Vec<Vec<Measures>>>,
    pub(crate) quality: Quality,
}

/// Runs all competitors under each load, interleaved. First [checks exclusion](check_exclusion),
/// which also warms up.
pub(crate) fn under_loads(
    title: &str,
    database: &Database,
    rounds: usize,
    competitors: &mut Competitors<'_>,
    loads: &[Load],
) -> Result<Table> {
    let count = competitors.len();
    let bar = progress(title, count * (rounds * loads.len() + 1));
    for competitor in competitors.iter_mut() {
        check_exclusion(&mut **competitor)?;
        bar.inc(1);
    }
    let mut table = Table {
        cells: vec![Vec::new(); count],
        quality: Quality::default(),
    };
    for load in loads {
        let mut failed = vec![false; count];
        let measured = in_rounds(&bar, database, rounds, count, |index| {
            let competitor = &mut competitors[index];
            if failed[index] {
                return Ok(None);
            }
            let outcome = competitor.run(load);
            if let Err(error) = &outcome {
                failed[index] = true;
                bar.suspend(|| println!("{}", failure(&**competitor, load, error)));
            }
            Ok(outcome.ok().map(Measures::from))
        })?;
        table.quality += measured.quality;
        for (row, results) in table.cells.iter_mut().zip(measured.results) {
            let results: Option<Vec<_>> = results.into_iter().collect();
            row.push(results.unwrap_or_default());
        }
    }
    bar.finish_and_clear();
    Ok(table)
}

/// Returns a permutation that differs from round to round. After a competitor that leaves the
/// processors idle, they are slower: no competitor may always run after the same one.
fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    let steps: Vec<_> = (1..count.max(2))
        .filter(|step| greatest_divisor(*step, count) == 1)
        .collect();
    let step = steps.get(round % steps.len().max(1)).copied().unwrap_or(1);
    (0..count).map(move |place| (round + place * step) % count)
}

fn greatest_divisor(a: usize, b: usize) -> usize {
    match b {
        0 => a,
        _ => greatest_divisor(b, a % b),
    }
}

/// Fails if increments under the competitor's lock are lost.
pub(crate) fn check_exclusion(competitor: &mut dyn Competitor) -> Result<()> {
    let outcome = competitor
        .run(&Load {
            threads: 4,
            names: 1,
            until: Until::Elapsed(Duration::from_millis(200)),
            watch: Watch::Exclusion,
        })
        .with_context(|| competitor.name())?;
    let lost = outcome.lost;
    ensure!(
        lost == 0,
        "{} does not exclude: {lost} increments were lost under its lock",
        competitor.name()
    );
    Ok(())
}

fn failure(competitor: &dyn Competitor, load: &Load, error: &anyhow::Error) -> String {
    format!(
        "{} failed with {} threads on {} names: {error:#}",
        competitor.name(),
        load.threads,
        load.names
    )
}

pub(crate) fn progress(title: &str, steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(steps as u64).with_style(style);
    bar.set_message(title.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::order;

    #[test]
    fn each_competitor_runs_once_in_each_round() {
        for count in 0..20 {
            for round in 0..30 {
                let mut seen: Vec<_> = order(round, count).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..count), "{round} of {count}");
            }
        }
    }

    #[test]
    fn no_competitor_always_runs_after_the_same_one() {
        let before_the_first: BTreeSet<_> = (0..6)
            .filter_map(|round| {
                let order: Vec<_> = order(round, 14).collect();
                let place = order.iter().position(|competitor| *competitor == 0)?;
                place.checked_sub(1).map(|place| order[place])
            })
            .collect();
        assert!(before_the_first.len() >= 4, "{before_the_first:?}");
    }
}
