//! [`Rounds`]: what is computed from rounds in which all competitors ran, and a control beside
//! them. Nothing here depends on the clock.

use std::ops::AddAssign;

use crate::finding::Cell;

/// A round is discarded if its control differs by more than this part from the median of all.
pub(crate) const TOLERANCE: f64 = 0.15;

/// There is no ratio of fewer rounds: their spread would say nothing.
const LEAST_ROUNDS: usize = 3;

/// The results of the rounds that are not discarded.
pub(crate) struct Rounds<T> {
    /// By competitor, then by round.
    pub(crate) results: Vec<Vec<T>>,
    pub(crate) quality: Quality,
}

/// How many rounds were run, and how many of them are discarded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Quality {
    pub(crate) rounds: usize,
    pub(crate) discarded: usize,
}

/// A round: the time of the control, and a result for each competitor.
pub(crate) struct Round<T> {
    pub(crate) control: f64,
    pub(crate) results: Vec<T>,
}

impl<T> Rounds<T> {
    /// Discards the rounds that the control shows to be disturbed.
    pub(crate) fn new(competitors: usize, rounds: Vec<Round<T>>) -> Self {
        let mut controls: Vec<_> = rounds.iter().map(|round| round.control).collect();
        let usual = median(&mut controls);
        let mut quality = Quality {
            rounds: rounds.len(),
            discarded: 0,
        };
        let mut results: Vec<_> = (0..competitors).map(|_| Vec::new()).collect();
        for round in rounds {
            if (round.control / usual - 1.0).abs() <= TOLERANCE {
                for (results, result) in results.iter_mut().zip(round.results) {
                    results.push(result);
                }
            } else {
                quality.discarded += 1;
            }
        }
        Self { results, quality }
    }
}

impl Quality {
    pub(crate) fn sentence(self) -> String {
        let Self { rounds, discarded } = self;
        format!("{discarded} of {rounds} rounds were disturbed, and are left out.")
    }
}

impl AddAssign for Quality {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.discarded += other.discarded;
    }
}

/// Returns the ratio of two competitors from their ratios in each round, with the limits between
/// which their middle half is. `None` if there are fewer than three rounds, or not of both.
pub(crate) fn ratio(own: &[f64], reference: &[f64]) -> Option<Cell> {
    if own.len() != reference.len() || own.len() < LEAST_ROUNDS {
        return None;
    }
    let ratios = own.iter().zip(reference).map(|(own, other)| own / other);
    let mut ratios: Vec<_> = ratios.collect();
    let median = median(&mut ratios);
    // A quarter of the rounds is below the lower limit, and as many above the upper one.
    let quarter = ratios.len().saturating_sub(1) / 4;
    let (low, high) = (ratios[quarter], ratios[ratios.len() - 1 - quarter]);
    let is_finite = [low, median, high].iter().all(|value| value.is_finite());
    is_finite.then_some(Cell::Ratio { median, low, high })
}

/// Sorts the values. The median of none is not a number.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => f64::NAN,
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rounds: &[(f64, [f64; 2])]) -> Rounds<f64> {
        let rounds = rounds.iter().map(|(control, results)| Round {
            control: *control,
            results: results.to_vec(),
        });
        Rounds::new(2, rounds.collect())
    }

    fn ratio_of(rounds: &Rounds<f64>) -> Option<Cell> {
        ratio(&rounds.results[1], &rounds.results[0])
    }

    #[test]
    fn disturbed_round_is_discarded_and_counted() {
        // In the third round a neighbour slows the first competitor down, and the control.
        let rounds = rounds(&[
            (40.0, [100.0, 120.0]),
            (41.0, [110.0, 132.0]),
            (65.0, [400.0, 100.0]),
            (39.0, [90.0, 108.0]),
        ]);
        let expected = Quality {
            rounds: 4,
            discarded: 1,
        };
        assert_eq!(rounds.quality, expected);
        assert_eq!(rounds.results[0], [100.0, 110.0, 90.0]);
        let Some(Cell::Ratio { median, low, high }) = ratio_of(&rounds) else {
            panic!("no ratio")
        };
        assert!((low - 1.2).abs() < 1e-9 && (high - 1.2).abs() < 1e-9);
        assert!((median - 1.2).abs() < 1e-9);
    }

    #[test]
    fn round_with_a_faster_control_is_discarded_too() {
        let rounds = rounds(&[
            (40.0, [1.0, 1.0]),
            (40.0, [1.0, 1.0]),
            (33.0, [1.0, 1.0]),
            (45.9, [2.0, 2.0]),
        ]);
        assert_eq!(rounds.quality.discarded, 1);
        assert_eq!(rounds.results[1], [1.0, 1.0, 2.0]);
    }

    #[test]
    fn ratio_is_paired_by_round() {
        // The machine gets slower by the round. The medians of both would give 1.5.
        let rounds = rounds(&[
            (40.0, [100.0, 200.0]),
            (40.0, [200.0, 400.0]),
            (40.0, [300.0, 300.0]),
        ]);
        let expected = Cell::Ratio {
            median: 2.0,
            low: 1.0,
            high: 2.0,
        };
        assert_eq!(ratio_of(&rounds), Some(expected));
    }

    #[test]
    fn limits_of_a_ratio_leave_out_a_quarter_on_both_sides() {
        let own: Vec<_> = (1..=9).map(f64::from).collect();
        let expected = Cell::Ratio {
            median: 5.0,
            low: 3.0,
            high: 7.0,
        };
        assert_eq!(ratio(&own, &[1.0; 9]), Some(expected));
    }

    #[test]
    fn ratio_of_too_few_rounds_or_of_a_failed_competitor_is_none() {
        assert!(ratio(&[1.0; 3], &[1.0; 3]).is_some());
        assert_eq!(ratio(&[1.0; 2], &[1.0; 2]), None);
        assert_eq!(ratio(&[], &[1.0; 3]), None);
        assert_eq!(ratio(&[1.0; 3], &[0.0; 3]), None);
    }

    #[test]
    fn median_is_between_the_two_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }
}
