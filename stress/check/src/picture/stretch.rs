//! Which stretch of a run to draw.

use std::cmp::Reverse;

use crate::history::FaultKind;
use crate::run::Run;

/// The start of the one with the most faults of the most kinds.
pub(super) fn liveliest(run: &Run, length: u64) -> u64 {
    let lead = length / 12;
    let starts = run
        .faults
        .iter()
        .map(|fault| fault.begun.saturating_sub(lead).max(run.from));
    starts
        .max_by_key(|&start| (score(run, start, length), Reverse(start)))
        .unwrap_or_else(|| run.from.midpoint(run.to))
}

fn score(run: &Run, from: u64, length: u64) -> i64 {
    let to = from + length;
    let first = run.faults.partition_point(|fault| fault.begun < from);
    let begun = run.faults[first..].iter();
    let begun = begun.take_while(|fault| fault.begun < to);
    let mut kinds: Vec<FaultKind> = begun
        .filter(|fault| fault.struck && fault.kind.is_counted())
        .map(|fault| fault.kind)
        .collect();
    let all = kinds.len();
    kinds.sort();
    kinds.dedup();
    // Long outages are true, and dull.
    let dull: u64 = run
        .faults
        .iter()
        .filter(|fault| fault.kind.is_outage() && fault.kind != FaultKind::Delay)
        .map(|fault| fault.overlap(from, to))
        .sum();
    (kinds.len() * 6 + all) as i64 * 10 - (dull * 120 / length) as i64
}
