//! The race: a coordinator starts workers, which are processes of this program, and counts mails.
//!
//! A worker prints `ready` when all its threads have loaded all rows, and starts when it reads a
//! line. After each call of `send` it prints `sent`, or `refused` if the mail had been sent before.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use anyhow::{Context, Result, anyhow, ensure};
use comfy_table::{CellAlignment, Table, presets};
use diesel::dsl::max;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use indicatif::{ProgressBar, ProgressStyle};
use lettre::FileTransport;

use super::DbConnection;
use super::database::Database;
use super::notification::Notification;
use crate::cli::{Cli, Race};
use crate::schema::notifications;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

pub(crate) fn main(cli: &Cli) -> Result<ExitCode> {
    match cli.work_from {
        Some(first_id) => work(&cli.race, first_id),
        None => run(&cli.race),
    }
}

/// Runs the race and prints its result. The exit code is 0 if each mail was sent exactly once.
fn run(race: &Race) -> Result<ExitCode> {
    let outbox = open_outbox(race.outbox.as_deref())?;
    println!("Mails are written to {}.", outbox.display());
    let mut database = Database::open(race.server)?;
    let first_id = insert_notifications(&mut database.conn, race.notifications)?;
    println!(
        "{} processes of {} threads try to send {} notifications, {}.",
        race.processes,
        race.threads,
        race.notifications,
        if race.without_lock {
            "WITHOUT locks"
        } else {
            "each under the lock of its row"
        }
    );

    let mut workers = (0..race.processes)
        .map(|_| start_worker(race, &outbox, &database.url, first_id))
        .collect::<Result<Vec<_>>>()?;
    let mut outputs = Vec::new();
    for worker in &mut workers {
        outputs.push(wait_until_ready(worker)?);
    }
    let start = Instant::now();
    for worker in &workers {
        let mut stdin = worker.stdin.as_ref().context("stdin is piped")?;
        stdin.write_all(b"start\n")?;
    }
    let refused = count_refused(race, outputs)?;
    let time = start.elapsed();
    for worker in &mut workers {
        let status = worker.wait()?;
        ensure!(status.success(), "a worker has failed ({status})");
    }
    report(race, &count_mails(&outbox)?, refused, time)
}

fn open_outbox(directory: Option<&Path>) -> Result<PathBuf> {
    let Some(directory) = directory else {
        let parent = env::current_exe()?.with_file_name("outbox");
        fs::create_dir_all(&parent)?;
        let outbox = tempfile::Builder::new().prefix("race-").tempdir_in(parent);
        return Ok(outbox?.keep());
    };
    fs::create_dir_all(directory)?;
    // Other mails would be counted.
    ensure!(
        fs::read_dir(directory)?.next().is_none(),
        "{} is not empty; name another directory with --outbox",
        directory.display()
    );
    Ok(directory.to_owned())
}

/// Inserts unsent notifications, with ids that follow each other. Returns the first id.
fn insert_notifications(conn: &mut DbConnection, count: u32) -> Result<i64> {
    conn.run_pending_migrations(MIGRATIONS)
        .map_err(|error| anyhow!(error).context("cannot create the table `notifications`"))?;
    // The table's lock: another race in this database must not take the same ids.
    let table = LockName::table(notifications::table);
    table.lock().transaction(conn, |_, conn| {
        let last_id: Option<i64> = notifications::table
            .select(max(notifications::id))
            .first(conn)?;
        let first_id = last_id.unwrap_or(0) + 1;
        let rows: Vec<_> = (1..=count)
            .zip(first_id..)
            .map(|(number, id)| {
                let message = format!("Hello world, this is notification {number}.");
                (notifications::id.eq(id), notifications::message.eq(message))
            })
            .collect();
        diesel::insert_into(notifications::table)
            .values(rows)
            .execute(conn)?;
        Ok(first_id)
    })
}

/// Runs this program again. The URL may contain a password, so the environment passes it.
fn start_worker(race: &Race, outbox: &Path, url: &str, first_id: i64) -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(["--work-from", &first_id.to_string()])
        .args(["--notifications", &race.notifications.to_string()])
        .args(["--threads", &race.threads.to_string()])
        .args(race.without_lock.then_some("--without-lock"))
        .arg("--outbox")
        .arg(outbox)
        .env("DATABASE_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")
}

fn wait_until_ready(worker: &mut Child) -> Result<Lines<BufReader<ChildStdout>>> {
    let output = worker.stdout.take().context("stdout is piped")?;
    let mut lines = BufReader::new(output).lines();
    let ready = lines.next().transpose()?;
    ensure!(ready.as_deref() == Some("ready"), "a worker has failed");
    Ok(lines)
}

/// Shows the progress until all workers have ended. Returns how often a mail had been sent before.
fn count_refused(race: &Race, outputs: Vec<Lines<BufReader<ChildStdout>>>) -> Result<u32> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} attempts, {msg} mails sent")?;
    let progress = ProgressBar::new(attempts(race).into()).with_style(style);
    let (sender, reports) = mpsc::channel();
    for mut lines in outputs {
        let sender = sender.clone();
        thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
    }
    // Without this sender, the channel ends with the last of these threads.
    drop(sender);
    let (mut sent, mut refused) = (0, 0);
    for report in reports {
        match report?.as_str() {
            "sent" => sent += 1,
            _ => refused += 1,
        }
        progress.inc(1);
        progress.set_message(u32::to_string(&sent));
    }
    progress.finish_and_clear();
    Ok(refused)
}

fn attempts(race: &Race) -> u32 {
    race.processes * race.threads * race.notifications
}

/// Counts the mails in the outbox by their subjects, which contain the notifications' ids.
fn count_mails(outbox: &Path) -> Result<HashMap<String, u32>> {
    let mut mails = HashMap::new();
    for file in fs::read_dir(outbox)? {
        let mail = fs::read_to_string(file?.path())?;
        let subject = mail.lines().find(|line| line.starts_with("Subject: "));
        let subject = subject.context("a mail has no subject")?.to_owned();
        *mails.entry(subject).or_default() += 1;
    }
    Ok(mails)
}

fn report(
    race: &Race,
    mails: &HashMap<String, u32>,
    refused: u32,
    time: Duration,
) -> Result<ExitCode> {
    let all = race.notifications as usize;
    let sent: u32 = mails.values().sum();
    let doubled = mails.values().filter(|&&count| count > 1).count();
    let duplicates = sent as usize - mails.len();
    let missing = all - mails.len();
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let mut row = |name: &str, value: &dyn ToString, meaning: &str| {
        table.add_row([name, &value.to_string(), meaning]);
    };
    row("notifications", &all, "each to be mailed once");
    row("mails", &sent, ".eml files in the outbox");
    row(
        "duplicates",
        &duplicates,
        "mails after a notification's first",
    );
    row("missing", &missing, "notifications without a mail");
    row(
        "attempts",
        &attempts(race),
        "calls of `send` by all threads",
    );
    row("refused", &refused, "attempts that found the mail sent");
    row("time", &format!("{time:.1?}"), "for the whole race");
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    if duplicates == 0 && missing == 0 {
        println!("Each notification was mailed exactly once.");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "FAILED: of {all} notifications, {doubled} were mailed twice or more, {missing} not at all."
    );
    Ok(ExitCode::FAILURE)
}

/// Runs one worker, until its threads have tried to send every notification from `first_id` on.
fn work(race: &Race, first_id: i64) -> Result<ExitCode> {
    let url = env::var("DATABASE_URL")?;
    let outbox = race.outbox.as_deref().context("a worker needs --outbox")?;
    let mut threads = Vec::new();
    for _ in 0..race.threads {
        let mut conn = DbConnection::establish(&url)
            .context("no connection for each thread; does max_connections allow that many?")?;
        let rows = notifications::table
            .filter(notifications::id.ge(first_id))
            .order(notifications::id)
            .limit(race.notifications.into())
            .select(Notification::as_select())
            .load(&mut conn)?;
        threads.push((conn, rows));
    }
    writeln!(io::stdout(), "ready")?;
    if io::stdin().read_line(&mut String::new())? == 0 {
        // The coordinator has ended.
        return Ok(ExitCode::FAILURE);
    }
    thread::scope(|scope| {
        let threads: Vec<_> = threads
            .into_iter()
            .map(|(conn, rows)| {
                let outbox = FileTransport::new(outbox);
                scope.spawn(move || send_all(rows, conn, &outbox, race.without_lock))
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn send_all(
    notifications: Vec<Notification>,
    mut conn: DbConnection,
    outbox: &FileTransport,
    without_lock: bool,
) -> Result<()> {
    for mut notification in notifications {
        let sent = if without_lock {
            // `#[locked]` reloads, too. So the race alone doubles mails, and no stale row does.
            notification = notifications::table
                .find(notification.id)
                .select(Notification::as_select())
                .first(&mut conn)?;
            notification.send_without_lock(&mut conn, outbox)?
        } else {
            notification.send(&mut conn, outbox)?
        };
        // Fails if the coordinator has ended, and so ends this worker.
        writeln!(io::stdout(), "{}", if sent { "sent" } else { "refused" })?;
    }
    Ok(())
}
