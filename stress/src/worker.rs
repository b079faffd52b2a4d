//! A worker process: its threads acquire locks until the coordinator closes its standard input.

mod connections;
mod error;
mod op;
mod thread;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};
use stress_check::history::{self, Event, Writer};

use crate::cli::WorkerOptions;
pub(crate) use connections::Pooled;
use connections::{Endpoint, Pools};
pub(crate) use error::{Done, Reached, WorkError};
#[cfg(feature = "async")]
pub(crate) use error::{claim, outcome};
pub(crate) use op::Op;
#[cfg(feature = "async")]
pub(crate) use op::{Ending, WITHOUT_LOCK};
use thread::Thread;
#[cfg(feature = "async")]
pub(crate) use thread::rng;

/// How often a worker reports its number of cycles.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// What the threads of a worker share.
pub(crate) struct Worker {
    options: WorkerOptions,
    history: Writer,
    direct: Endpoint,
    proxied: Endpoint,
    pools: Pools,
    effects: PathBuf,
    next_op: AtomicU32,
    cycles: AtomicU64,
    stop: AtomicBool,
}

impl Worker {
    fn endpoint(&self, is_direct: bool) -> &Endpoint {
        if is_direct {
            &self.direct
        } else {
            &self.proxied
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

pub(crate) fn run(options: &WorkerOptions) -> Result<()> {
    // A worker must not outlive the coordinator, even if it is stopped by SIGSTOP.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    quiet_deliberate_panics();
    let file = options.directory.join(history::worker_file(options.number));
    let history = Writer::create(&file).with_context(|| file.display().to_string())?;
    let direct = Endpoint::new(&options.direct, options.number);
    let proxied = Endpoint::new(&options.proxied, options.number + 1);
    let worker = Worker {
        options: options.clone(),
        history,
        pools: Pools::new(options, &direct, &proxied),
        direct,
        proxied,
        effects: options.directory.clone(),
        next_op: AtomicU32::new(1),
        cycles: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for number in 1..=options.threads {
            let worker = &worker;
            scope.spawn(move || Thread::new(worker, number).run());
        }
        scope.spawn(|| report_cycles(&worker));
        // The coordinator writes nothing, so this returns when it closes the pipe.
        let closed = io::copy(&mut io::stdin(), &mut io::sink());
        worker.stop.store(true, Ordering::Relaxed);
        closed
    })?;
    worker.pools.drain(&worker.history);
    worker.history.write(&Event::Finished);
    Ok(())
}

/// Prints the number of cycles for the coordinator's progress bar.
fn report_cycles(worker: &Worker) {
    while !worker.is_stopping() {
        println!("{}", worker.cycles.load(Ordering::Relaxed));
        std::thread::sleep(REPORT_EVERY);
    }
}

/// The payload of a panic on purpose.
pub(crate) struct Deliberate;

/// Prints only those panics that are not on purpose.
pub(crate) fn quiet_deliberate_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<Deliberate>() {
            print(panic);
        }
    }));
}
