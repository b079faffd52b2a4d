//! What one thread, or one task, does turn by turn, and what is noted of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Load;
use super::load::{Outcome, Run};

/// What is noted of a turn besides that it was.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Watch {
    Nothing,
    /// How long each waits, from asking to having.
    Waits,
    /// Whether no two have it at once.
    Exclusion,
}

/// What all threads of a run share.
#[derive(Default)]
pub(super) struct Course {
    stop: AtomicBool,
    /// Counted under the lock, in two steps: whoever is not alone loses counts.
    counter: AtomicU64,
}

impl Course {
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What came of it, for those who took this long.
    pub(super) fn outcome(&self, seconds: f64, connections: usize, all: Vec<Turns>) -> Outcome {
        let entered: u64 = all.iter().map(|turns| turns.entered).sum();
        let mut waits: Vec<_> = all.iter().flat_map(|turns| &turns.waits).copied().collect();
        waits.sort_by(f64::total_cmp);
        Outcome {
            run: Run {
                seconds,
                counts: all.iter().map(|turns| turns.count).collect(),
                waits,
                lost: entered - self.counter.load(Ordering::SeqCst),
            },
            connections,
        }
    }
}

pub(super) struct Turns {
    course: Arc<Course>,
    watch: Watch,
    names: u64,
    random: u64,
    /// Those that were over when time was.
    count: u64,
    asked: Option<Instant>,
    /// In microseconds.
    waits: Vec<f64>,
    /// How often the lock was had while exclusion was watched.
    entered: u64,
}

impl Turns {
    pub(super) fn new(course: &Arc<Course>, load: &Load, number: usize) -> Self {
        Self {
            course: course.clone(),
            // Whoever only connects is not watched yet.
            watch: Watch::Nothing,
            names: load.names as u64,
            // Any number but 0; neighbours must not begin alike.
            random: (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            count: 0,
            asked: None,
            waits: Vec::new(),
            entered: 0,
        }
    }

    pub(super) fn begin(&mut self, load: &Load) {
        self.watch = load.watch;
    }

    /// The name of the next turn; `None` when time is over.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.course.is_over() {
            return None;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // The upper half, scaled: no division.
        Some((((self.random >> 32) * self.names) >> 32) as usize)
    }

    /// To be called when a turn is over. One that ended too late, as that of those who were still waiting, does not count.
    pub(super) fn done(&mut self) {
        if !self.course.is_over() {
            self.count += 1;
        }
    }

    /// To be called before the lock is asked for.
    pub(super) fn asks(&mut self) {
        if self.watch == Watch::Waits {
            self.asked = Some(Instant::now());
        }
    }

    /// To be called when it is held.
    pub(super) fn holds(&mut self) {
        match self.watch {
            Watch::Nothing => {}
            Watch::Waits => {
                if let Some(asked) = self.asked.take() {
                    self.waits.push(asked.elapsed().as_secs_f64() * 1e6);
                }
            }
            Watch::Exclusion => {
                let counter = &self.course.counter;
                let count = counter.load(Ordering::SeqCst);
                thread::sleep(Duration::from_micros(100));
                counter.store(count + 1, Ordering::SeqCst);
                self.entered += 1;
            }
        }
    }
}
