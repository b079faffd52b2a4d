//! A web service with accounts. A transfer holds the locks of two accounts, and a withdrawal holds
//! the lock of one, so no update is lost. Each error has the HTTP status that tells the client
//! whether it may repeat the request.
//!
//! `cargo run --package axum_wallet -- load` starts a private server and the service, sends
//! transfers and withdrawals at the same time, and checks that no money was made or lost. With
//! `--without-lock` the check fails. On PostgreSQL: `cargo run --package axum_wallet --features
//! postgres -- load --server postgres`.

#![allow(
    clippy::duplicate_mod,
    reason = "each server's program has the same modules"
)]

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, value_parser};
use test_server::{ServerKind, is_postgres_url};

mod load;

/// The program for MariaDB and MySQL.
#[cfg(feature = "mysql")]
#[path = "."]
mod mysql {
    use diesel_async::AsyncMysqlConnection as Connection;
    use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

    /// A blocking connection, for what is done before the service starts.
    type DbConnection = AsyncConnectionWrapper<Connection>;

    #[path = "../../shared/database.rs"]
    mod database;
    mod errors;
    pub(crate) mod service;
    mod wallet;
    mod without_lock;
}

/// The program for PostgreSQL: the same files with another connection.
#[cfg(feature = "postgres")]
#[path = "."]
mod postgres {
    use diesel_async::AsyncPgConnection as Connection;
    use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

    /// A blocking connection, for what is done before the service starts.
    type DbConnection = AsyncConnectionWrapper<Connection>;

    #[path = "../../shared/database.rs"]
    mod database;
    mod errors;
    pub(crate) mod service;
    mod wallet;
    mod without_lock;
}

const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL  use this database instead of a private server: mysql://user:password@host/database,
                or postgres://..
  RUST_LOG      what to log, such as `info` or `diesel_advisory_lock=trace`";

/// A web service moves money between accounts under their locks. Its load generator checks that no
/// money was made or lost.
#[derive(Parser)]
#[command(name = "axum_wallet", after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
        load: load::LoadOptions,

        /// Send them to this service, such as http://127.0.0.1:3000 [default: start one]
        #[arg(long, conflicts_with = "without_lock")]
        url: Option<String>,

        #[command(flatten)]
        options: ServiceOptions,
    },
}

#[derive(Args, Clone)]
struct ServiceOptions {
    /// How long a request waits for a lock and a connection, in milliseconds
    #[arg(long, value_name = "MS", default_value = "5000", value_parser = milliseconds)]
    lock_timeout: Duration,

    /// How long the cash machine needs for a withdrawal, in milliseconds
    #[arg(long, value_name = "MS", default_value = "2", value_parser = milliseconds)]
    cash_time: Duration,

    /// Number of connections to the database
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u16).range(1..))]
    connections: u16,

    /// Work without locks, so that updates are lost
    #[arg(long)]
    without_lock: bool,

    /// The private server to start: mariadb, mysql, postgres or postgres18
    #[arg(long, value_name = "KIND", default_value_t = ServerKind::Mariadb)]
    server: ServerKind,
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let options = match &cli.command {
        Command::Load {
            url: Some(url),
            load,
            ..
        } => {
            return tokio::runtime::Runtime::new()?.block_on(load.run(url));
        }
        Command::Load { options, .. } | Command::Serve { options, .. } => options,
    };
    let is_postgres = match env::var("DATABASE_URL") {
        Ok(url) => is_postgres_url(&url),
        Err(_) => options.server.is_postgres(),
    };
    match is_postgres {
        #[cfg(feature = "mysql")]
        false => mysql::service::main(&cli.command, options),
        #[cfg(feature = "postgres")]
        true => postgres::service::main(&cli.command, options),
        #[allow(unreachable_patterns, reason = "reached with one of the features")]
        _ => bail!(
            "this program was compiled without that server; build it with \
             `--features mysql,postgres`"
        ),
    }
}
