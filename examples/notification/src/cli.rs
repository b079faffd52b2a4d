//! The options. `cargo xtask demo` includes this file, to answer `--help` before the example is built.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};
use test_server::ServerKind;

use super::Mailbox;

const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL  use this database, mysql://user:password@host/database, instead of a private server
  SMTP_URL      send mails there, smtp://.. or smtps://.., unless --outbox is given";

/// Many processes race to send the same notifications, and every mail goes out exactly once. Every
/// thread of every process loads all notifications, waits for the common start, and then tries to
/// send each of them under the lock of its row.
#[derive(Debug, Parser)]
#[command(
    name = "notification",
    after_help = ENVIRONMENT,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) race: RaceOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One of the processes; the program starts them itself.
    #[command(hide = true)]
    Worker(WorkerOptions),
}

#[derive(Debug, Args)]
pub(crate) struct RaceOptions {
    /// How many notifications there are to send
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) notifications: u32,

    /// How many processes try to send them
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(1..=100))]
    pub(crate) processes: u32,

    /// The private server to start: mariadb or mysql
    #[arg(long, value_name = "KIND", default_value_t = ServerKind::Mariadb)]
    pub(crate) server: ServerKind,

    #[command(flatten)]
    pub(crate) worker: WorkerOptions,
}

/// What the workers have to know too.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerOptions {
    /// How many threads each process has
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(1..=100))]
    pub(crate) threads: u32,

    /// Send without the lock, to see mails doubled
    #[arg(long)]
    pub(crate) without_lock: bool,

    /// Where mails are written to as .eml files [default: a new directory in target/outbox]
    #[arg(long, value_name = "DIR")]
    pub(crate) outbox: Option<PathBuf>,

    /// The sender of the mails
    #[arg(
        long,
        value_name = "MAILBOX",
        default_value = "Notifications <notifications@example.org>"
    )]
    pub(crate) from: Mailbox,

    /// Their recipient
    #[arg(
        long,
        value_name = "MAILBOX",
        default_value = "Admins <admins@example.org>"
    )]
    pub(crate) to: Mailbox,
}

impl WorkerOptions {
    /// The command line of a worker with these options.
    pub(crate) fn command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec![
            "worker".into(),
            format!("--threads={}", self.threads).into(),
            format!("--from={}", self.from).into(),
            format!("--to={}", self.to).into(),
        ];
        if self.without_lock {
            line.push("--without-lock".into());
        }
        if let Some(directory) = &self.outbox {
            line.extend(["--outbox".into(), directory.into()]);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_worker_gets_the_options_of_the_race() {
        let cli = Cli::parse_from([
            "notification",
            "--threads=7",
            "--without-lock",
            "--outbox=some where",
            "--to=Ann <ann@example.org>",
        ]);
        let line = cli.race.worker.command_line();
        let worker = Cli::parse_from([OsString::from("notification")].into_iter().chain(line));
        let Some(Command::Worker(options)) = worker.command else {
            panic!("not a worker: {worker:?}");
        };
        assert_eq!(format!("{options:?}"), format!("{:?}", cli.race.worker));
    }
}
