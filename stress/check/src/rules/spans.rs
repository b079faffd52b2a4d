//! Stretches of time, for many questions about which of them lie in another.

/// What an operation did, or a fault, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
    /// The place of whose it is in the list that it comes from.
    pub(super) of: usize,
}

#[derive(Debug, Default)]
pub(super) struct Spans {
    /// By their beginning.
    spans: Vec<Span>,
    /// For each, the latest end of all up to it.
    latest: Vec<u64>,
}

impl Spans {
    pub(super) fn new(mut spans: Vec<Span>) -> Self {
        spans.sort_unstable();
        let mut latest = 0;
        let latest = spans.iter().map(|span| {
            latest = span.to.max(latest);
            latest
        });
        let latest = latest.collect();
        Self { spans, latest }
    }

    /// Those that have a moment in common with this stretch.
    pub(super) fn overlapping(&self, from: u64, to: u64) -> impl Iterator<Item = Span> {
        let first = self.latest.partition_point(|&latest| latest < from);
        let spans = self.spans[first..].iter().copied();
        spans
            .take_while(move |span| span.from <= to)
            .filter(move |span| span.to >= from)
    }
}

#[cfg(test)]
mod tests {
    use super::{Span, Spans};

    #[test]
    fn all_that_overlap_are_found_and_no_others() {
        // One that lasts among some that do not, and all stretches of a time.
        let spans: Vec<Span> = [(2, 9), (1, 2), (3, 4), (4, 4), (6, 7), (8, 8)]
            .into_iter()
            .zip(0..)
            .map(|((from, to), of)| Span { from, to, of })
            .collect();
        let all = Spans::new(spans.clone());
        for from in 0..=10 {
            for to in from..=10 {
                let overlaps = |span: &Span| span.from <= to && span.to >= from;
                let mut expected: Vec<Span> = spans.iter().copied().filter(overlaps).collect();
                expected.sort_unstable();
                let found: Vec<Span> = all.overlapping(from, to).collect();
                assert_eq!(found, expected, "{from}..{to}");
            }
        }
    }
}
