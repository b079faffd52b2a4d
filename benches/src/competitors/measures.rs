//! [`Measures`]: the numbers computed from an [`Outcome`].

use super::Outcome;

#[derive(Clone, Copy)]
pub(crate) struct Measures {
    pub(crate) per_second: f64,
    /// The 99th percentile of the time from request to acquisition, in microseconds.
    pub(crate) p99: f64,
    /// The largest share of a thread over the smallest. Infinite if a thread acquired nothing.
    pub(crate) unfairness: f64,
    pub(crate) connections: f64,
}

impl From<Outcome> for Measures {
    fn from(outcome: Outcome) -> Self {
        Self {
            per_second: outcome.counts.iter().sum::<u64>() as f64 / outcome.seconds,
            p99: percentile(&outcome.waits, 0.99),
            unfairness: unfairness(&outcome.counts),
            connections: outcome.connections as f64,
        }
    }
}

/// Returns the smallest value that at least this part of the values do not exceed. The values are
/// in ascending order.
pub(crate) fn percentile(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

fn unfairness(counts: &[u64]) -> f64 {
    let of = |count: Option<&u64>| count.copied().unwrap_or_default() as f64;
    of(counts.iter().max()) / of(counts.iter().min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let waits: Vec<_> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&waits, 0.5), 100.0);
        assert_eq!(percentile(&waits, 0.99), 198.0);
        assert_eq!(percentile(&waits, 1.0), 200.0);
        assert_eq!(percentile(&[7.0], 0.5), 7.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 0.99), 3.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn unfairness_is_infinite_if_a_thread_acquires_nothing() {
        assert_eq!(unfairness(&[10, 20, 15]), 2.0);
        assert_eq!(unfairness(&[5]), 1.0);
        assert_eq!(unfairness(&[5, 0]), f64::INFINITY);
        assert!(unfairness(&[0, 0]).is_nan());
    }
}
