//! Prints which session holds which lock on the server of `DATABASE_URL`, and which sessions wait:
//! `cargo run --package locks -- --watch`, for PostgreSQL
//! `cargo run --package locks --features postgres -- --watch`.

#![allow(
    clippy::duplicate_mod,
    reason = "each server's program has the same modules"
)]

mod table;

use anyhow::{Result, bail};
use clap::{Parser, value_parser};

#[cfg(feature = "mysql")]
#[path = "."]
mod mysql {
    use diesel::MysqlConnection as DbConnection;

    pub(crate) mod watch;
}

#[cfg(feature = "postgres")]
#[path = "."]
mod postgres {
    use diesel::PgConnection as DbConnection;

    pub(crate) mod watch;
}

/// Prints which session holds which lock on a server, and which sessions wait.
#[derive(Parser)]
#[command(name = "locks")]
struct Cli {
    /// The server: mysql://user:password@host/database, or postgres://..
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: String,

    /// Repeat every so many seconds until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.database_url.starts_with("postgres") {
        #[cfg(feature = "mysql")]
        false => mysql::watch::main(&cli),
        #[cfg(feature = "postgres")]
        true => postgres::watch::main(&cli),
        #[allow(unreachable_patterns, reason = "reached with one of the features")]
        _ => bail!(
            "this program was compiled without that server; build it with \
             `--features mysql,postgres`"
        ),
    }
}
