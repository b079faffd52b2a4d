//! The options. `cargo xtask demo` includes this file, to answer `--help` before it builds the
//! example.

use std::path::PathBuf;

use clap::{Args, Parser, value_parser};
use test_server::ServerKind;

const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL  use this database instead of a private server: mysql://user:password@host/database,
                or postgres://..";

/// Processes race to send the same mails, and each mail is sent exactly once. Every thread of every
/// process loads all notifications, waits for the common start, and then tries to send each of them
/// under the lock of its row.
#[derive(Parser)]
#[command(name = "notification", after_help = ENVIRONMENT)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) race: Race,

    /// Run as one of the processes that the program starts: send the notifications from this id on
    #[arg(long, value_name = "ID", hide = true, requires = "outbox")]
    pub(crate) work_from: Option<i64>,
}

#[derive(Args)]
pub(crate) struct Race {
    /// Number of notifications to send
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) notifications: u32,

    /// Number of processes that try to send them
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(1..=100))]
    pub(crate) processes: u32,

    /// Number of threads of each process
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u32).range(1..=100))]
    pub(crate) threads: u32,

    /// Send without locks, so that mails are doubled
    #[arg(long)]
    pub(crate) without_lock: bool,

    /// An empty directory for the mails as .eml files [default: a new directory in `target`]
    #[arg(long, value_name = "DIR")]
    pub(crate) outbox: Option<PathBuf>,

    /// The private server to start: mariadb, mysql, postgres or postgres18
    #[arg(long, value_name = "KIND", default_value_t = ServerKind::Mariadb)]
    pub(crate) server: ServerKind,
}
