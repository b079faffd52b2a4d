//! Contenders in turn, several rounds: A B C, A C B, ..

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::contenders::{Load, Locker, Lockers, Measures, Watch};

#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of one contender in one round.
    pub(crate) time: Duration,
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
    for round in 0..=rounds {
        for contender in order(round, contenders) {
            run(contender)?;
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

/// Of one of the measures; `None` where there is no number.
pub(crate) fn median_of(rounds: &[Measures], of: impl Fn(&Measures) -> f64) -> Option<f64> {
    let median = median(&mut rounds.iter().map(of).collect::<Vec<_>>());
    Some(median).filter(|median| median.is_finite())
}

/// What each locker measured under each load, a value for each round: by locker, then by load. Empty where it failed.
pub(crate) type Table = Vec<Vec<Vec<Measures>>>;

/// Runs each locker under each load, in turn. Before that each shows that it excludes, which also warms it up.
pub(crate) fn under_loads(
    title: &str,
    rounds: usize,
    lockers: &mut Lockers<'_>,
    loads: &[Load],
) -> Result<Table> {
    let bar = progress(lockers.len() * (rounds * loads.len() + 1));
    bar.set_message(title.to_owned());
    for locker in lockers.iter_mut() {
        excludes(&mut **locker)?;
        bar.inc(1);
    }
    let mut table = vec![vec![Some(Vec::new()); loads.len()]; lockers.len()];
    for round in 0..rounds {
        for (number, load) in loads.iter().enumerate() {
            for contender in order(round, lockers.len()) {
                let locker = &mut lockers[contender];
                let cell = &mut table[contender][number];
                if let Some(values) = cell {
                    match locker.run(load) {
                        Ok(outcome) => values.push(outcome.into()),
                        Err(error) => {
                            *cell = None;
                            bar.suspend(|| println!("{}", failure(&**locker, load, &error)));
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

/// Everybody once, in another order each round: whoever comes after one that leaves the processors idle would have them slower
/// throughout.
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

/// Whoever excludes nobody would win every comparison.
pub(crate) fn excludes(locker: &mut dyn Locker) -> Result<()> {
    let outcome = locker
        .run(&Load {
            threads: 4,
            names: 1,
            time: Duration::from_millis(200),
            watch: Watch::Exclusion,
        })
        .with_context(|| locker.name())?;
    let lost = outcome.run.lost;
    ensure!(
        lost == 0,
        "{} does not exclude: {lost} counts were lost under its lock",
        locker.name()
    );
    Ok(())
}

fn failure(locker: &dyn Locker, load: &Load, error: &anyhow::Error) -> String {
    format!(
        "{} failed with {} threads on {} names: {error:#}",
        locker.name(),
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
    fn everybody_has_a_turn_in_each_round() {
        for count in 0..20 {
            for round in 0..30 {
                let mut seen: Vec<_> = order(round, count).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..count), "{round} of {count}");
            }
        }
    }

    #[test]
    fn nobody_comes_after_the_same_one_each_time() {
        let before_the_first: BTreeSet<_> = (0..6)
            .filter_map(|round| {
                let order: Vec<_> = order(round, 14).collect();
                let place = order.iter().position(|contender| *contender == 0)?;
                place.checked_sub(1).map(|place| order[place])
            })
            .collect();
        assert!(before_the_first.len() >= 4, "{before_the_first:?}");
    }
}
