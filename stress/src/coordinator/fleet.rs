//! The worker processes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use stress_check::history::{Event, WorkerState};

use super::Environment;
use super::progress::Progress;
use crate::cli::{RunOptions, WorkerOptions};

/// How long workers may take to stop: longer than the longest wait that the checker allows.
const DRAIN: Duration = Duration::from_secs(60);

pub(super) struct Fleet<'s> {
    env: &'s Environment,
    program: PathBuf,
    /// The options of all workers, apart from their numbers and seeds.
    options: WorkerOptions,
    /// One worker for each slot. A killed worker is replaced by one with another number.
    workers: Vec<Worker>,
    /// The process ids of all workers that were ever started.
    pids: Vec<u32>,
    /// The cycles of the workers that have been replaced.
    cycles_before: u64,
}

struct Worker {
    number: u32,
    process: Child,
    /// The worker stops when it is closed.
    input: Option<ChildStdin>,
    cycles: Arc<AtomicU64>,
}

impl<'s> Fleet<'s> {
    pub(super) fn new(
        env: &'s Environment,
        options: &RunOptions,
        seed: u64,
        directory: &Path,
    ) -> Result<Self> {
        Ok(Self {
            env,
            program: std::env::current_exe()?,
            options: WorkerOptions {
                number: 0,
                threads: options.threads,
                is_async: options.is_async,
                seed,
                directory: directory.to_owned(),
                direct: env.direct_url(),
                proxied: env.proxied_url(),
                faults: options.faults.clone(),
            },
            workers: Vec::new(),
            pids: Vec::new(),
            cycles_before: 0,
        })
    }

    /// Starts a worker for a slot. Only the main thread may call it: workers are killed when the
    /// thread that started them ends.
    pub(super) fn start(&mut self, slot: u32) -> Result<()> {
        let number = u32::try_from(self.pids.len() + 1)?;
        let options = WorkerOptions {
            number,
            seed: self.options.seed.wrapping_add(u64::from(number) << 32),
            ..self.options.clone()
        };
        // Before the worker's own first line.
        self.record(number, WorkerState::Started);
        let mut process = Command::new(&self.program)
            .args(options.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        self.pids.push(process.id());
        let cycles = Arc::new(AtomicU64::new(0));
        if let Some(output) = process.stdout.take() {
            let cycles = Arc::clone(&cycles);
            thread::spawn(move || read_cycles(output, &cycles));
        }
        let worker = Worker {
            number,
            input: process.stdin.take(),
            process,
            cycles,
        };
        match self.workers.get_mut(slot as usize) {
            Some(replaced) => {
                self.cycles_before += replaced.cycles.load(Ordering::Relaxed);
                *replaced = worker;
            }
            None => self.workers.push(worker),
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn number(&self, slot: usize) -> u32 {
        self.workers[slot].number
    }

    pub(super) fn cycles(&self) -> u64 {
        let now = self.workers.iter();
        let now = now.map(|worker| worker.cycles.load(Ordering::Relaxed));
        self.cycles_before + now.sum::<u64>()
    }

    /// Kills a worker and starts another one in its slot.
    pub(super) fn replace(&mut self, slot: usize) -> Result<()> {
        let worker = &mut self.workers[slot];
        worker.process.kill()?;
        worker.process.wait()?;
        let number = worker.number;
        self.record(number, WorkerState::Killed);
        self.start(u32::try_from(slot)?)
    }

    /// Sends a signal to the worker with this number, if it has not been replaced.
    pub(super) fn signal(&self, number: u32, signal: Signal) -> Result<()> {
        let worker = self.workers.iter().find(|worker| worker.number == number);
        if let Some(worker) = worker {
            kill_process(Pid::from_child(&worker.process), signal)?;
        }
        Ok(())
    }

    /// Replaces workers that have ended without a request, which the checker reports.
    pub(super) fn replace_failed(&mut self) -> Result<()> {
        for slot in 0..self.workers.len() {
            let worker = &mut self.workers[slot];
            if worker.process.try_wait()?.is_some() {
                let number = worker.number;
                self.record(number, WorkerState::Failed);
                self.start(u32::try_from(slot)?)?;
            }
        }
        Ok(())
    }

    /// Stops all workers and waits until they have ended.
    pub(super) fn drain(&mut self, progress: &Progress) -> Result<()> {
        for worker in &mut self.workers {
            worker.input = None;
        }
        let since = Instant::now();
        let mut left: Vec<usize> = (0..self.workers.len()).collect();
        while !left.is_empty() && since.elapsed() < DRAIN {
            let mut still = Vec::new();
            for slot in left {
                let worker = &mut self.workers[slot];
                match worker.process.try_wait()? {
                    None => still.push(slot),
                    Some(status) => {
                        let number = worker.number;
                        let state = if status.success() {
                            WorkerState::Exited
                        } else {
                            WorkerState::Failed
                        };
                        self.record(number, state);
                    }
                }
            }
            left = still;
            progress.draining(left.len());
            thread::sleep(Duration::from_millis(10));
        }
        for slot in left {
            let worker = &mut self.workers[slot];
            worker.process.kill()?;
            worker.process.wait()?;
            let number = worker.number;
            self.record(number, WorkerState::Hung);
        }
        Ok(())
    }

    /// Records the worker processes that still run.
    pub(super) fn record_leftovers(&self) {
        // Its number may be another process's by now, and another run's directory may begin with
        // the same characters. An argument ends with a zero byte.
        let argument = format!("--directory={}\0", self.options.directory.display());
        for &pid in &self.pids {
            if is_running(pid, &argument) {
                self.env.record_left("process", &pid.to_string());
            }
        }
    }

    fn record(&self, number: u32, state: WorkerState) {
        self.env.history.write(&Event::Worker { number, state });
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether a process runs whose command line contains `word`.
pub(super) fn is_running(pid: u32, word: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(word)
}

/// Reads a worker's output, of which each line is its number of cycles.
fn read_cycles(output: ChildStdout, cycles: &AtomicU64) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Ok(count) = line.parse() {
            cycles.store(count, Ordering::Relaxed);
        }
    }
}
