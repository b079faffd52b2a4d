//! The coordinator: starts the workers, gives the signal, counts.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Instant;

use crate::cli::{RaceOptions, WorkerOptions};
use crate::database::{DATABASE_URL, Database};
use crate::error::Error;
use crate::mail::{self, Mailer};
use crate::outbox;
use crate::progress::Progress;
use crate::protocol::{Order, Report, UnknownLine};
use crate::report::{Summary, Tally};

pub(crate) fn run(options: &RaceOptions) -> Result<Summary, Error> {
    let mut worker = options.worker.clone();
    worker.outbox = match &worker.outbox {
        Some(directory) => Some(outbox::named(directory)?),
        None if mail::smtp_url().is_some() => None,
        None => Some(outbox::fresh()?),
    };
    let mailer = Mailer::new(&worker)?;
    mailer.check()?;
    println!("Mails go to {mailer}.");

    let mut database = Database::open(options.server)?;
    let ids = database.insert(options.notifications)?;
    println!(
        "{} processes of {} threads try to send {} notifications, {}.",
        options.processes,
        worker.threads,
        ids.len(),
        if worker.without_lock {
            "WITHOUT the lock"
        } else {
            "each under its row's lock"
        }
    );

    let tally = compete(options.processes, &worker, database.url(), &ids)?;
    let in_outbox = worker.outbox.as_deref().map(outbox::count).transpose()?;
    Ok(Summary::new(
        options.processes,
        worker,
        &ids,
        tally,
        in_outbox,
    ))
}

fn compete(
    processes: u32,
    options: &WorkerOptions,
    url: &str,
    ids: &[i64],
) -> Result<Tally, Error> {
    let (sender, events) = mpsc::channel();
    let mut workers = (1..=processes)
        .map(|number| Worker::start(number, options, url, sender.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    // Only the workers keep the channel open.
    drop(sender);
    tell_all(&mut workers, &Order::Load(ids.to_vec()))?;

    let tasks = options.threads as usize * ids.len();
    let progress = Progress::new(ids.len(), workers.len() * tasks);
    let mut tally = Tally::default();
    let mut ready = 0;
    let mut begun = Instant::now();
    for (number, event) in events {
        let worker = &mut workers[number as usize - 1];
        match event {
            Event::Line(Report::Ready) => {
                ready += 1;
                if ready == processes {
                    begun = Instant::now();
                    tell_all(&mut workers, &Order::Go)?;
                }
            }
            Event::Line(Report::Attempt(attempt)) => {
                worker.attempts += 1;
                progress.show(&attempt);
                tally.add(&attempt);
            }
            Event::Line(Report::Failed(why)) => return Err(Error::WorkerFailed { number, why }),
            Event::Unknown(source) => return Err(Error::Line { number, source }),
            Event::Broken(source) => return Err(Error::Pipe { number, source }),
            Event::End => worker.ended(tasks)?,
        }
    }
    tally.took = begun.elapsed();
    Ok(tally)
}

fn tell_all(workers: &mut [Worker], order: &Order) -> Result<(), Error> {
    workers.iter_mut().try_for_each(|worker| worker.tell(order))
}

/// What is heard from a worker.
enum Event {
    Line(Report),
    Unknown(UnknownLine),
    Broken(io::Error),
    End,
}

/// A worker process. Killed on drop, if it is still there.
struct Worker {
    number: u32,
    process: Child,
    orders: ChildStdin,
    attempts: usize,
}

impl Worker {
    /// Runs this program again. The database's URL may hold a password: it goes by the environment,
    /// which other users cannot see.
    fn start(
        number: u32,
        options: &WorkerOptions,
        url: &str,
        events: Sender<(u32, Event)>,
    ) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::Spawn)?;
        let mut process = Command::new(program)
            .args(options.command_line())
            .env(DATABASE_URL, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::Spawn)?;
        let (Some(orders), Some(reports)) = (process.stdin.take(), process.stdout.take()) else {
            unreachable!("both are piped");
        };
        thread::spawn(move || listen(number, reports, &events));
        Ok(Self {
            number,
            process,
            orders,
            attempts: 0,
        })
    }

    fn tell(&mut self, order: &Order) -> Result<(), Error> {
        match writeln!(self.orders, "{order}") {
            // It has died. Its last words are still to be read, and say more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            told => told.map_err(|source| Error::Pipe {
                number: self.number,
                source,
            }),
        }
    }

    /// To be called at the end of its reports: an error unless all `tasks` are done.
    fn ended(&mut self, tasks: usize) -> Result<(), Error> {
        let status = self.process.wait().map_err(|source| Error::Pipe {
            number: self.number,
            source,
        })?;
        if status.success() && self.attempts == tasks {
            Ok(())
        } else {
            Err(Error::WorkerDied {
                number: self.number,
                status,
                attempts: self.attempts,
            })
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes on all that a worker reports. Ends early when the race is called off.
fn listen(number: u32, reports: ChildStdout, events: &Sender<(u32, Event)>) {
    let lines = BufReader::new(reports).lines();
    let heard = lines.map(|line| match line.map(|line| line.parse()) {
        Ok(Ok(report)) => Event::Line(report),
        Ok(Err(unknown)) => Event::Unknown(unknown),
        Err(error) => Event::Broken(error),
    });
    for event in heard.chain([Event::End]) {
        if events.send((number, event)).is_err() {
            return;
        }
    }
}
