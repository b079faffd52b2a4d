//! [`Load`]: the threads, names and duration of a run; and its [`Outcome`].

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::recorder::{Recorder, RunState, Watch};

#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) threads: usize,
    /// Each iteration locks one of this many names, at random.
    pub(crate) names: usize,
    pub(crate) until: Until,
    pub(crate) watch: Watch,
}

/// When a run is over.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    /// After this many iterations of each thread.
    Repeated(u64),
}

pub(crate) struct Outcome {
    /// From the start to the end of the last iteration that counts.
    pub(crate) seconds: f64,
    /// The number of iterations of each thread.
    pub(crate) counts: Vec<u64>,
    /// The waits of all threads in microseconds, in ascending order.
    pub(crate) waits: Vec<f64>,
    /// The number of increments lost under the lock.
    pub(crate) lost: u64,
    pub(crate) connections: usize,
}

impl Load {
    /// One thread, which locks one name.
    pub(crate) fn single(until: Until) -> Self {
        Self {
            threads: 1,
            names: 1,
            until,
            watch: Watch::Nothing,
        }
    }

    /// Makes all names of a run, from the ids 1, 2, and so on: those of the load, and another for
    /// the warm-up of each thread.
    pub(super) fn names<N>(&self, name: impl Fn(i64) -> N) -> Vec<N> {
        (1..=self.names + self.threads)
            .map(|id| name(id as i64))
            .collect()
    }

    /// Runs `body` in each thread. The threads connect first, and start to
    /// [repeat](Thread::repeat) together.
    pub(super) fn in_threads(
        &self,
        connections: usize,
        body: impl Fn(&mut Thread<'_>) -> Result<()> + Sync,
    ) -> Result<Outcome> {
        let state = Arc::<RunState>::default();
        let barrier = Barrier::new(self.threads + 1);
        let run_thread = |number| {
            let mut thread = Thread {
                load: self,
                number,
                gate: Gate {
                    barrier: &barrier,
                    passed: false,
                },
                recorder: Recorder::new(&state, self, number),
            };
            let result = body(&mut thread);
            if result.is_err() {
                // The run has failed: the results of the other threads are not used.
                state.stop();
            }
            result.map(|()| thread.recorder)
        };
        let (start, recorders) = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|number| scope.spawn(move || run_thread(number)))
                .collect();
            barrier.wait();
            let start = Instant::now();
            if let Until::Elapsed(time) = self.until {
                if !state.is_over() {
                    thread::sleep(time);
                }
                state.stop();
            }
            let recorders: Vec<Result<Recorder>> = threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect();
            (start, recorders)
        });
        let recorders = recorders.into_iter().collect::<Result<_>>()?;
        Ok(state.outcome(start, connections, recorders))
    }
}

pub(super) struct Thread<'a> {
    load: &'a Load,
    pub(super) number: usize,
    gate: Gate<'a>,
    recorder: Recorder,
}

impl Thread<'_> {
    /// Repeats `iteration`, with the index of the name to lock, until the run is over. A first
    /// iteration before the start warms up: it prepares statements.
    pub(super) fn repeat(
        &mut self,
        mut iteration: impl FnMut(usize, &mut Recorder) -> Result<()>,
    ) -> Result<()> {
        iteration(self.load.names + self.number, &mut self.recorder)?;
        self.gate.pass();
        self.recorder.begin(self.load);
        while let Some(name) = self.recorder.next() {
            iteration(name, &mut self.recorder)?;
            self.recorder.done();
        }
        Ok(())
    }
}

/// Opens when all threads have arrived, including those that failed before.
struct Gate<'a> {
    barrier: &'a Barrier,
    passed: bool,
}

impl Gate<'_> {
    fn pass(&mut self) {
        if !self.passed {
            self.passed = true;
            self.barrier.wait();
        }
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.pass();
    }
}
