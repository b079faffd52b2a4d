//! The options. `cargo xtask demo-async` includes this file, to answer `--help` before it builds the
//! example.

use std::net::SocketAddr;
use std::num::ParseIntError;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use test_server::ServerKind;

pub(crate) const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL  use this database instead of a private server: mysql://user:password@host/database,
                or postgres://..
  RUST_LOG      what to log, such as `info` or `diesel_advisory_lock=trace`";

/// A web service moves money between accounts under their locks. Its load generator checks that no
/// money was made or lost.
#[derive(Parser)]
#[command(name = "axum_wallet", after_help = ENVIRONMENT)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the service until SIGTERM or Ctrl-C
    Serve {
        /// The address to listen at; with port 0 the system chooses a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
        listen: SocketAddr,

        #[command(flatten)]
        options: ServiceOptions,
    },
    /// Send transfers and withdrawals at the same time, and check the balances. The exit code is 1
    /// if they are wrong
    Load {
        #[command(flatten)]
        demo: Demo,

        /// Send them to this service, such as http://127.0.0.1:3000 [default: start one]
        #[arg(long, conflicts_with = "without_lock")]
        url: Option<String>,
    },
}

/// A service under load.
#[derive(Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) load: LoadOptions,

    #[command(flatten)]
    pub(crate) service: ServiceOptions,
}

#[derive(Args, Clone)]
pub(crate) struct ServiceOptions {
    /// How long a request waits for a lock and a connection, in milliseconds
    #[arg(long, value_name = "MS", default_value = "5000", value_parser = milliseconds)]
    pub(crate) lock_timeout: Duration,

    /// How long the cash machine needs for a withdrawal, in milliseconds
    #[arg(long, value_name = "MS", default_value = "2", value_parser = milliseconds)]
    pub(crate) cash_time: Duration,

    /// Number of connections to the database
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u16).range(1..))]
    pub(crate) connections: u16,

    /// Work without locks, so that updates are lost
    #[arg(long)]
    pub(crate) without_lock: bool,

    /// The private server to start: mariadb, mysql, postgres or postgres18
    #[arg(long, value_name = "KIND", default_value_t = ServerKind::Mariadb)]
    pub(crate) server: ServerKind,
}

#[derive(Args)]
pub(crate) struct LoadOptions {
    /// Number of requests; every tenth is a withdrawal, the others are transfers
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) requests: u32,

    /// Number of requests at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u32).range(1..=1000))]
    pub(crate) parallel: u32,

    /// Number of accounts: with few, the requests compete for their locks
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(2..))]
    pub(crate) accounts: u32,
}

fn milliseconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}
