//! The program that a user starts: it creates the queue, starts the workers and kills one of them.

use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::database::Database;
use super::{DbConnection, queue, worker};
use crate::Cli;

pub(crate) fn main(cli: &Cli) -> Result<ExitCode> {
    if let Some(name) = &cli.work_as {
        worker::run(name)?;
        return Ok(ExitCode::SUCCESS);
    }
    supervise(cli)
}

/// A worker process. Killed on drop.
struct Worker {
    name: String,
    process: Child,
}

impl Worker {
    fn start(name: String, url: &str) -> Result<Self> {
        let process = Command::new(env::current_exe()?)
            .args(["--work-as", &name])
            .env("DATABASE_URL", url)
            .spawn()?;
        Ok(Self { name, process })
    }

    /// Kills the process with SIGKILL, as in a crash: it neither reports nor cleans up anything.
    fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        let status = self.process.wait()?;
        let name = &self.name;
        ensure!(
            status.code().is_none(),
            "{name} ended before the kill ({status})"
        );
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)) | Err(_))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the workers and prints the result. The exit code is 0 if each job was finished once.
fn supervise(cli: &Cli) -> Result<ExitCode> {
    let mut database = Database::open(cli.server)?;
    let conn = &mut database.conn;
    queue::create(conn, cli.jobs)?;
    let mut workers = (1..=cli.workers)
        .map(|number| Worker::start(format!("worker {number}"), &database.url))
        .collect::<Result<Vec<_>>>()?;

    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} jobs, {msg}")?;
    let progress = ProgressBar::new(cli.jobs.into()).with_style(style);
    let start = Instant::now();
    let mut killed = None;
    loop {
        let finished = queue::finished(conn)?;
        progress.set_position(finished.try_into()?);
        if finished >= cli.jobs.into() {
            break;
        }
        if killed.is_none()
            && let Some(name) = queue::hanging_worker(conn)?
        {
            let mut worker = workers.iter_mut().filter(|worker| worker.name == name);
            worker.next().context("an unknown worker")?.kill()?;
            progress.set_message(format!("{name} was killed at work"));
            killed = Some((name, start.elapsed()));
        }
        if workers.iter_mut().all(Worker::has_ended) {
            bail!("all workers have ended before the last job");
        }
        thread::sleep(Duration::from_millis(20));
    }
    progress.finish();
    let time = start.elapsed();

    print_finished_by_worker(conn)?;
    let (killed, after) = killed.context("no worker was killed, though one hung at its job")?;
    println!(
        "Killed at work: {killed} after {after:.1?}, with {} of its jobs begun and not finished. \
         The queue was empty after {time:.1?}.",
        queue::begun_again(conn)?
    );
    let once = queue::finished_once(conn)?;
    println!("{once} of {} jobs were finished exactly once.", cli.jobs);
    if once == i64::from(cli.jobs) {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

fn print_finished_by_worker(conn: &mut DbConnection) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["worker", "jobs finished"]);
    for (worker, finished) in queue::finished_by_worker(conn)? {
        table.add_row([worker, finished.to_string()]);
    }
    if let Some(numbers) = table.column_mut(1) {
        numbers.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    Ok(())
}
