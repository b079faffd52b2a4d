//! Stretches of time, and a search for those that overlap another one.

/// A stretch of time of a call or a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
    /// The index of the call or the fault in its list.
    pub(super) of: usize,
}

#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Sorted by their beginning.
    spans: Vec<Span>,
    /// For each span, the latest end of all spans up to it.
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

    /// The spans that have a moment in common with this stretch.
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
    fn overlapping_finds_all_overlapping_spans_and_no_others() {
        // A long span among short ones, and all stretches of a time.
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
