//! [`Recorder`]: records the iterations of one thread or task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::load::{Load, Outcome, Until};

/// What is recorded besides the number of iterations.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Watch {
    Nothing,
    /// The time from the request to the acquisition.
    Waits,
    /// Whether two threads hold the lock at once.
    Exclusion,
}

/// Shared by all threads of a run.
#[derive(Default)]
pub(super) struct RunState {
    stop: AtomicBool,
    /// Incremented under the lock in two steps, so that increments are lost without exclusion.
    counter: AtomicU64,
}

impl RunState {
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn outcome(
        &self,
        start: Instant,
        connections: usize,
        recorders: Vec<Recorder>,
    ) -> Outcome {
        let entered: u64 = recorders.iter().map(|recorder| recorder.entered).sum();
        let waits = recorders.iter().flat_map(|recorder| &recorder.waits);
        let mut waits: Vec<_> = waits.copied().collect();
        waits.sort_by(f64::total_cmp);
        let last = recorders.iter().filter_map(|recorder| recorder.last).max();
        Outcome {
            seconds: last.map_or(0.0, |last| (last - start).as_secs_f64()),
            counts: recorders.iter().map(|recorder| recorder.count).collect(),
            waits,
            lost: entered - self.counter.load(Ordering::SeqCst),
            connections,
        }
    }
}

pub(super) struct Recorder {
    state: Arc<RunState>,
    watch: Watch,
    names: u64,
    random: u64,
    /// Iterations that ended before the end of the run. A single thread finishes its last.
    count: u64,
    /// The end of the last of them.
    last: Option<Instant>,
    is_alone: bool,
    /// The number of iterations after which the run is over.
    limit: u64,
    requested: Option<Instant>,
    /// In microseconds.
    waits: Vec<f64>,
    /// Acquisitions under [`Watch::Exclusion`].
    entered: u64,
}

impl Recorder {
    pub(super) fn new(state: &Arc<RunState>, load: &Load, number: usize) -> Self {
        Self {
            state: state.clone(),
            // The warm-up is not recorded.
            watch: Watch::Nothing,
            names: load.names as u64,
            // Any number but 0; consecutive threads must not start with similar seeds.
            random: (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            count: 0,
            last: None,
            is_alone: load.threads == 1,
            limit: match load.until {
                Until::Elapsed(_) => u64::MAX,
                Until::Repeated(times) => times,
            },
            requested: None,
            waits: Vec::new(),
            entered: 0,
        }
    }

    pub(super) fn begin(&mut self, load: &Load) {
        self.watch = load.watch;
    }

    /// Returns the index of the next name, or `None` at the end of the run.
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.count == self.limit || self.state.is_over() {
            return None;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // Scales the upper half, which needs no division.
        Some((((self.random >> 32) * self.names) >> 32) as usize)
    }

    /// Counts an iteration, unless it ended after the run while others waited.
    pub(super) fn done(&mut self) {
        if self.is_alone || !self.state.is_over() {
            self.count += 1;
            self.last = Some(Instant::now());
        }
    }

    /// Must be called before the lock is requested.
    pub(super) fn requested(&mut self) {
        if self.watch == Watch::Waits {
            self.requested = Some(Instant::now());
        }
    }

    /// Must be called while the lock is held.
    pub(super) fn acquired(&mut self) {
        match self.watch {
            Watch::Nothing => {}
            Watch::Waits => {
                if let Some(requested) = self.requested.take() {
                    self.waits.push(requested.elapsed().as_secs_f64() * 1e6);
                }
            }
            Watch::Exclusion => {
                let counter = &self.state.counter;
                let count = counter.load(Ordering::SeqCst);
                thread::sleep(Duration::from_micros(100));
                counter.store(count + 1, Ordering::SeqCst);
                self.entered += 1;
            }
        }
    }
}
