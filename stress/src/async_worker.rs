//! A worker process with tasks in place of threads, on diesel-async.
//!
//! Each process has two runtimes, one with several threads and one with a single one. They are shut
//! down in the middle of calls and started again, their tasks are aborted, and the futures of calls
//! are dropped.

pub(crate) mod op;
mod operations;
mod pools;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use rustix::process::{Signal, set_parent_process_death_signal};
use stress_check::history::{self, Event, OpFault, Writer};
use tokio::task::JoinHandle;

pub(crate) use operations::Operation;
use pools::Pools;
use task::Task;

use crate::cli::{WorkerFault, WorkerOptions};
use crate::server;
use crate::worker::quiet_deliberate_panics;

/// The runtimes of a process.
const RUNTIMES: u16 = 2;

/// What the tasks of a worker share.
pub(crate) struct Worker {
    options: WorkerOptions,
    history: Writer,
    direct: String,
    proxied: String,
    /// What the names of all sources start with.
    prefix: &'static str,
    next_op: AtomicU32,
    cycles: AtomicU64,
    stop: AtomicBool,
    calls: Mutex<Calls>,
}

/// The calls that have no outcome yet.
#[derive(Default)]
struct Calls {
    /// The tasks of the calls, by their numbers.
    tasks: BTreeMap<u32, u16>,
    /// The runtimes that are shut down.
    shut_down: BTreeSet<u16>,
}

/// The runtime of a task.
fn runtime_of(task: u16) -> u16 {
    (task - 1) % RUNTIMES
}

impl Worker {
    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn cuts(&self) -> bool {
        self.options.faults.has(WorkerFault::Cut)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().expect("no holder panics")
    }

    fn call_begins(&self, op: u32, task: u16) {
        let mut calls = self.calls();
        calls.tasks.insert(op, task);
        if calls.shut_down.contains(&runtime_of(task)) {
            self.inject_shutdown(op);
        }
    }

    fn call_ends(&self, op: u32) {
        self.calls().tasks.remove(&op);
    }

    /// Records the fault in each call of the runtime, also in those that begin before it has ended.
    fn begin_shutdown(&self, runtime: u16) {
        let mut calls = self.calls();
        calls.shut_down.insert(runtime);
        for (&op, &task) in &calls.tasks {
            if runtime_of(task) == runtime {
                self.inject_shutdown(op);
            }
        }
    }

    fn end_shutdown(&self, runtime: u16) {
        self.calls().shut_down.remove(&runtime);
    }

    fn inject_shutdown(&self, op: u32) {
        let fault = OpFault::RuntimeShutdown;
        self.history.write(&Event::Injected { op, fault });
    }
}

pub(crate) fn run(options: &WorkerOptions) -> Result<()> {
    // A worker must not outlive the coordinator, even if it is stopped by SIGSTOP.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    quiet_deliberate_panics();
    let file = options.directory.join(history::worker_file(options.number));
    let history = Writer::create(&file).with_context(|| file.display().to_string())?;
    let (direct, prefix) = server::sessions_of_worker(&options.direct, options.number);
    let (proxied, _) = server::sessions_of_worker(&options.proxied, options.number);
    let worker = Arc::new(Worker {
        options: options.clone(),
        history,
        direct: server::asynchronous::url(&direct),
        proxied: server::asynchronous::url(&proxied),
        prefix,
        next_op: AtomicU32::new(1),
        cycles: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        calls: Mutex::default(),
    });
    std::thread::scope(|scope| {
        for number in 0..RUNTIMES {
            let worker = &worker;
            scope.spawn(move || run_runtimes(worker, number));
        }
        scope.spawn(|| {
            while !worker.is_stopping() {
                println!("{}", worker.cycles.load(Ordering::Relaxed));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        // The coordinator writes nothing, so this returns when it closes the pipe.
        let closed = io::copy(&mut io::stdin(), &mut io::sink());
        worker.stop.store(true, Ordering::Relaxed);
        closed
    })?;
    worker.history.write(&Event::Finished);
    Ok(())
}

/// Runs one runtime after another.
fn run_runtimes(worker: &Arc<Worker>, number: u16) {
    let mut rng = Rng::with_seed(worker.options.seed ^ (u64::from(number) << 40));
    while !worker.is_stopping() {
        let mut builder = match number {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        runtime.block_on(supervise(worker, number, &mut rng));
        // In the middle of calls, unless the worker stops.
        worker.begin_shutdown(number);
        drop(runtime);
        worker.end_shutdown(number);
    }
}

/// Runs tasks for some seconds, and aborts some of them.
async fn supervise(worker: &Arc<Worker>, runtime: u16, rng: &mut Rng) {
    let pools = Arc::new(Pools::new(worker));
    let numbers = (0..worker.options.threads).filter(|number| runtime_of(number + 1) == runtime);
    let start = |number: u16, seed: u64| -> JoinHandle<()> {
        let task = Task::new(Arc::clone(worker), Arc::clone(&pools), number + 1, seed);
        tokio::spawn(task.run())
    };
    let mut tasks: Vec<(u16, JoinHandle<()>)> = numbers
        .map(|number| (number, start(number, rng.u64(..))))
        .collect();
    let until = Instant::now() + Duration::from_millis(rng.u64(3_000..12_000));
    while !worker.is_stopping() {
        tokio::time::sleep(Duration::from_millis(rng.u64(100..1_000))).await;
        if !worker.cuts() {
            continue;
        }
        if Instant::now() > until {
            return;
        }
        let index = rng.usize(0..tasks.len());
        let (number, task) = tasks.swap_remove(index);
        task.abort();
        report(task.await);
        tasks.push((number, start(number, rng.u64(..))));
    }
    for (_, task) in tasks {
        report(task.await);
    }
    pools.drain(worker).await;
}

/// A panic of a task is a fault of this program.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
