//! The random choices of a thread or a task, which has its own seed.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use stress_check::history::FaultKind;

use crate::cli::{Faults, WorkerFault};
use crate::model::{IMPATIENT_MS, JOBS, LABELS, ROWS, SET_ROWS, Target};
use crate::work::{Call, Locks, WaitFor};
use crate::worker::op::Ending;

pub(crate) struct Choices {
    faults: Faults,
    rng: RefCell<Rng>,
}

impl Choices {
    pub(crate) fn new(faults: &Faults, rng: Rng) -> Self {
        Self {
            faults: faults.clone(),
            rng: RefCell::new(rng),
        }
    }

    pub(crate) fn random_below(&self, count: u32) -> u32 {
        self.rng.borrow_mut().u32(0..count)
    }

    pub(crate) fn pick<T: Copy>(&self, among: &[T]) -> T {
        among[self.rng.borrow_mut().usize(0..among.len())]
    }

    pub(crate) fn target(&self, locks: Locks) -> Target {
        let mut rng = self.rng.borrow_mut();
        // Half of all calls on rows contend for the same two rows.
        let row = if rng.bool() {
            rng.i64(1..=2)
        } else {
            rng.i64(1..=ROWS)
        };
        match locks {
            Locks::Row => Target::Row(row),
            Locks::Scoped => Target::Scoped(row),
            Locks::Job => Target::Job(rng.i64(1..=JOBS)),
            Locks::Misspelled => Target::Misspelled(rng.i64(1..=LABELS)),
            Locks::Set => Target::Set {
                rows: (row, other(&mut rng, row, 1..ROWS + 1)),
                scoped: rng.i64(1..=ROWS),
            },
            // These rows are locked less often alone, so that sets contend with sets.
            Locks::SameSet => Target::Set {
                rows: two(&mut rng, SET_ROWS..SET_ROWS + 2),
                scoped: SET_ROWS,
            },
            Locks::OverlappingSet => Target::Set {
                rows: two(&mut rng, SET_ROWS..SET_ROWS + 3),
                scoped: rng.i64(SET_ROWS..SET_ROWS + 2),
            },
        }
    }

    pub(crate) fn wait(&self, wait: WaitFor) -> Duration {
        let mut rng = self.rng.borrow_mut();
        let ms = match wait {
            WaitFor::Default => return diesel_advisory_lock::DEFAULT_TIMEOUT,
            WaitFor::Nothing => 0,
            WaitFor::Impatient => IMPATIENT_MS,
            WaitFor::Chosen => match rng.u8(0..10) {
                0..=1 => rng.u64(1..40),
                2..=4 => rng.u64(40..1_500),
                5..=6 => 1_000 * rng.u64(1..=4),
                _ => rng.u64(5_000..20_000),
            },
        };
        Duration::from_millis(ms)
    }

    pub(crate) fn ending(&self, call: &Call) -> Ending {
        let faults = &self.faults;
        match self.random_below(200) {
            0..=3 => Ending::Fails,
            4..=7 if faults.has(WorkerFault::Panic) => Ending::Panics,
            8..=9 if call.may_lose_lock && faults.has(WorkerFault::Theft) => Ending::Steals,
            10..=11 if call.may_lose_lock && faults.has(WorkerFault::Swap) => Ending::Swaps,
            _ => Ending::Normal,
        }
    }

    /// How long a body sleeps.
    pub(crate) fn dwell(&self, target: Target) -> Duration {
        let idle_sessions_end = &self.faults.kinds;
        let may_idle = idle_sessions_end.contains(&FaultKind::WaitTimeout)
            && matches!(target, Target::Row(ROWS) | Target::Job(JOBS));
        let mut rng = self.rng.borrow_mut();
        let us = match rng.u16(0..1_000) {
            // Longer than the shortest `wait_timeout`, under a lock for which few calls contend.
            0..=4 if may_idle => rng.u64(1_200_000..2_400_000),
            0..=6 => rng.u64(8_000..40_000),
            7..=29 => rng.u64(1_000..8_000),
            30..=129 => rng.u64(50..1_000),
            _ => 0,
        };
        Duration::from_micros(us)
    }
}

/// Two of these rows, in random order.
fn two(rng: &mut Rng, among: Range<i64>) -> (i64, i64) {
    let row = rng.i64(among.clone());
    (row, other(rng, row, among))
}

/// One of these rows other than `row`.
fn other(rng: &mut Rng, row: i64, among: Range<i64>) -> i64 {
    let count = among.end - among.start;
    among.start + (row - among.start + rng.i64(1..count)) % count
}
