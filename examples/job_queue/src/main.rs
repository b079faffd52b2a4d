//! A job queue in one table: whoever holds a job's lock works on it. There is no state "running", no heartbeat and no
//! time limit: when a worker dies, the server frees its locks, and another takes its jobs up at once.
//!
//! `cargo run --package job_queue` shows it with three processes of four threads. One job hangs its first worker, and
//! the program kills that worker: always at work, with the job's lock held.

#[path = "../../shared/causes.rs"]
mod causes;
mod job;
mod store;
mod worker;

use std::error::Error;
use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use test_server::ServerKind;

use causes::Causes;
use store::Store;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Worker processes share a queue of jobs, and one of them is killed at work. Every job is finished exactly once.
#[derive(Parser)]
#[command(
    name = "job_queue",
    after_help = "Environment:\n  DATABASE_URL  use this database, mysql://user:password@host/database, instead of a private server",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Role>,

    /// How many jobs there are to do
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,

    /// How many processes do them
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    workers: u32,

    /// The private server to start: mariadb or mysql
    #[arg(long, value_name = "KIND", default_value_t = ServerKind::Mariadb)]
    server: ServerKind,
}

#[derive(Subcommand)]
enum Role {
    /// One of the processes; the program starts them itself.
    #[command(hide = true)]
    Worker { name: String },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match &cli.command {
        Some(Role::Worker { name }) => worker::run(name).map(|()| true),
        None => supervise(&cli),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", Causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Ends with the program.
struct Worker {
    name: String,
    process: Child,
}

impl Worker {
    fn start(name: String, url: &str) -> Fallible<Self> {
        let process = Command::new(std::env::current_exe()?)
            .args(["worker", &name])
            .env(store::DATABASE_URL, url)
            .spawn()?;
        Ok(Worker { name, process })
    }

    /// As a crash would: the worker reports nothing, and cleans nothing up.
    fn kill(&mut self) -> Fallible<()> {
        self.process.kill()?;
        match self.process.wait()?.code() {
            None => Ok(()),
            Some(code) => Err(format!(
                "{} was not killed: it had exited with code {code}",
                self.name
            )
            .into()),
        }
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)) | Err(_))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What became of the worker that hung at its job.
struct Killed {
    worker: String,
    after: Duration,
}

/// Tells whether each job was finished exactly once.
fn supervise(cli: &Cli) -> Fallible<bool> {
    let mut store = Store::open(cli.server)?;
    store.fill(cli.jobs)?;
    let mut workers = (1..=cli.workers)
        .map(|number| Worker::start(format!("worker {number}"), store.url()))
        .collect::<Fallible<Vec<_>>>()?;

    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} jobs, {msg}")?;
    let progress = ProgressBar::new(cli.jobs.into()).with_style(style);
    progress.set_message("all workers alive");
    let start = Instant::now();
    let mut killed = None;
    loop {
        let finished = store.finished()?;
        progress.set_position(finished);
        if finished >= cli.jobs.into() {
            break;
        }
        if killed.is_none()
            && let Some(name) = store.hanging_worker()?
        {
            let mut named = workers.iter_mut().filter(|worker| worker.name == name);
            named.next().ok_or("an unknown worker")?.kill()?;
            progress.set_message(format!("{name} was killed at work"));
            killed = Some(Killed {
                worker: name,
                after: start.elapsed(),
            });
        }
        if workers.iter_mut().all(Worker::has_ended) {
            return Err("all workers have ended, and jobs are left".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    progress.finish();
    let killed = killed.ok_or("no worker was killed, though one hung at its job")?;
    report(&mut store, cli, start.elapsed(), &killed)
}

fn report(store: &mut Store, cli: &Cli, took: Duration, killed: &Killed) -> Fallible<bool> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["worker", "jobs finished"]);
    for (worker, finished) in store.by_worker()? {
        table.add_row([worker, finished.to_string()]);
    }
    if let Some(numbers) = table.column_mut(1) {
        numbers.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    let (once, again) = (store.finished_once()?, store.begun_again()?);
    println!(
        "Killed at work: {} after {:.1} s, with {again} of its jobs begun and not finished. The queue was empty after {:.1} s.",
        killed.worker,
        killed.after.as_secs_f64(),
        took.as_secs_f64()
    );
    println!("{once} of {} jobs were finished exactly once.", cli.jobs);
    Ok(once == u64::from(cli.jobs))
}
