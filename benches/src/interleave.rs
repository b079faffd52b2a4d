//! Runs competitors in rounds, in a different order in each: A B C, then A C B.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::competitors::{Competitor, Competitors, Load, Measures, Watch};

#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// The duration of one competitor's run in a round.
    pub(crate) time: Duration,
}

/// Calls `run` with the index of each competitor, round after round. An additional first round
/// warms up: the caller must drop its results.
pub(crate) fn interleaved(
    title: &str,
    rounds: usize,
    competitors: usize,
    mut run: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let bar = progress((rounds + 1) * competitors);
    bar.set_message(title.to_owned());
    for round in 0..=rounds {
        for competitor in order(round, competitors) {
            run(competitor)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the median of one measure, or `None` if it is not a finite number.
pub(crate) fn median_of(rounds: &[Measures], of: impl Fn(&Measures) -> f64) -> Option<f64> {
    let median = median(&mut rounds.iter().map(of).collect::<Vec<_>>());
    Some(median).filter(|median| median.is_finite())
}

/// The measures of each round, by competitor, then by load. Empty if the competitor failed.
pub(crate) type Table = Vec<Vec<Vec<Measures>>>;

/// Runs all competitors under all loads, interleaved. First [checks exclusion](check_exclusion),
/// which also warms up.
pub(crate) fn under_loads(
    title: &str,
    rounds: usize,
    competitors: &mut Competitors<'_>,
    loads: &[Load],
) -> Result<Table> {
    let bar = progress(competitors.len() * (rounds * loads.len() + 1));
    bar.set_message(title.to_owned());
    for competitor in competitors.iter_mut() {
        check_exclusion(&mut **competitor)?;
        bar.inc(1);
    }
    let mut table = vec![vec![Some(Vec::new()); loads.len()]; competitors.len()];
    for round in 0..rounds {
        for (number, load) in loads.iter().enumerate() {
            for index in order(round, competitors.len()) {
                let competitor = &mut competitors[index];
                let cell = &mut table[index][number];
                if let Some(values) = cell {
                    match competitor.run(load) {
                        Ok(outcome) => values.push(outcome.into()),
                        Err(error) => {
                            *cell = None;
                            bar.suspend(|| println!("{}", failure(&**competitor, load, &error)));
                        }
                    }
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    let rows = table.into_iter();
    Ok(rows
        .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
        .collect())
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
            time: Duration::from_millis(200),
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

pub(crate) fn progress(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
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
