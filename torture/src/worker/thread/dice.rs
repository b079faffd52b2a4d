//! What is thrown by the dice, of one seed for each thread.

use std::time::Duration;

use torture_check::history::FaultKind;

use super::Thread;
use crate::cli::OwnFault;
use crate::model::{IMPATIENT_MS, JOBS, LABELS, ROWS, Target};
use crate::work::{Call, Locks, WaitFor};
use crate::worker::op::Mood;

impl Thread<'_> {
    pub(in crate::worker) fn die(&self, sides: u32) -> u32 {
        self.rng.borrow_mut().u32(0..sides)
    }

    pub(super) fn pick<T: Copy>(&self, among: &[T]) -> T {
        among[self.rng.borrow_mut().usize(0..among.len())]
    }

    pub(super) fn target(&self, locks: Locks) -> Target {
        let mut rng = self.rng.borrow_mut();
        // Half of all want the same two.
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
            Locks::Several => Target::Several {
                // In any order, and never the same one.
                rows: (row, (row - 1 + rng.i64(1..ROWS)) % ROWS + 1),
                scoped: rng.i64(1..=ROWS),
            },
        }
    }

    pub(super) fn wait(&self, wait: WaitFor) -> Duration {
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

    pub(super) fn mood(&self, call: &Call) -> Mood {
        let faults = &self.worker.options.faults;
        match self.die(200) {
            0..=3 => Mood::Fails,
            4..=7 if faults.has(OwnFault::Panic) => Mood::Panics,
            8..=9 if call.can_steal && faults.has(OwnFault::Theft) => Mood::Steals,
            10..=11 if call.can_steal && faults.has(OwnFault::Swap) => Mood::Swaps,
            _ => Mood::Calm,
        }
    }

    /// How long a body does nothing.
    pub(super) fn dwell(&self, target: Target) -> Duration {
        let idle_sessions_end = &self.worker.options.faults.kinds;
        let may_nap = idle_sessions_end.contains(&FaultKind::WaitTimeout)
            && matches!(target, Target::Row(ROWS) | Target::Job(JOBS));
        let mut rng = self.rng.borrow_mut();
        let us = match rng.u16(0..1_000) {
            // Longer than the shortest `wait_timeout`, where few others have to wait for it.
            0..=4 if may_nap => rng.u64(1_200_000..2_400_000),
            0..=6 => rng.u64(8_000..40_000),
            7..=29 => rng.u64(1_000..8_000),
            30..=129 => rng.u64(50..1_000),
            _ => 0,
        };
        Duration::from_micros(us)
    }
}
