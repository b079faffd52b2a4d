//! How many want how many locks for how long, and what came of it.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;

use super::turns::{Course, Turns, Watch};

#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) threads: usize,
    /// Each turn takes one of so many at random.
    pub(crate) names: usize,
    pub(crate) time: Duration,
    pub(crate) watch: Watch,
}

pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) connections: usize,
}

/// What a process in any language can tell.
#[derive(Deserialize)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// Turns of each thread.
    pub(crate) counts: Vec<u64>,
    /// In microseconds, in ascending order; of all threads.
    pub(crate) waits: Vec<f64>,
    /// Of what was counted under the lock.
    pub(crate) lost: u64,
}

impl Load {
    /// All names that are used: those in question, made of the ids 1, 2, .., and one more for each thread, whose first
    /// turn is with a name of its own.
    pub(super) fn names<N>(&self, name: impl Fn(i64) -> N) -> Vec<N> {
        (1..=self.names + self.threads)
            .map(|id| name(id as i64))
            .collect()
    }

    /// Has each thread connect and [repeat](Thread::repeat) its turn, all from the same moment on. The connections are
    /// so many.
    pub(super) fn in_threads(
        &self,
        connections: usize,
        body: impl Fn(&mut Thread<'_>) -> Result<()> + Sync,
    ) -> Result<Outcome> {
        let course = Arc::<Course>::default();
        let barrier = Barrier::new(self.threads + 1);
        let run_thread = |number| {
            let mut thread = Thread {
                load: self,
                number,
                gate: Gate {
                    barrier: &barrier,
                    passed: false,
                },
                turns: Turns::new(&course, self, number),
            };
            let result = body(&mut thread);
            if result.is_err() {
                // What the others would measure is of no use any more.
                course.stop();
            }
            result.map(|()| thread.turns)
        };
        let (seconds, all) = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|number| scope.spawn(move || run_thread(number)))
                .collect();
            barrier.wait();
            let start = Instant::now();
            if !course.is_over() {
                thread::sleep(self.time);
            }
            course.stop();
            let seconds = start.elapsed().as_secs_f64();
            let all: Vec<Result<Turns>> = threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect();
            (seconds, all)
        });
        let all = all.into_iter().collect::<Result<_>>()?;
        Ok(course.outcome(seconds, connections, all))
    }
}

/// One of the threads.
pub(super) struct Thread<'a> {
    load: &'a Load,
    pub(super) number: usize,
    gate: Gate<'a>,
    turns: Turns,
}

impl Thread<'_> {
    /// Takes turn after turn, with the index of the name to lock. The first turn is before time: it prepares what is
    /// prepared once.
    pub(super) fn repeat(
        &mut self,
        mut turn: impl FnMut(usize, &mut Turns) -> Result<()>,
    ) -> Result<()> {
        turn(self.load.names + self.number, &mut self.turns)?;
        self.gate.pass();
        self.turns.begin(self.load);
        while let Some(name) = self.turns.next() {
            turn(name, &mut self.turns)?;
            self.turns.done();
        }
        Ok(())
    }
}

/// Opens when all have come, those included who failed on their way.
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
