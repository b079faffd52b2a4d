//! Processes race to send the same mails, and each mail is sent exactly once.
//!
//! ```sh
//! cargo run --package notification                       # each mail once
//! cargo run --package notification -- --without-lock     # the same race without locks
//! cargo run --package notification --features postgres -- --server postgres
//! ```
//!
//! Start with `notification.rs`: it has the model and its `send`. `race.rs` runs the processes and
//! counts the mails. `cli.rs` has the options.

#![allow(
    clippy::duplicate_mod,
    reason = "each server's program has the same modules"
)]

mod cli;
mod schema;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use test_server::is_postgres_url;

/// The program for MariaDB and MySQL.
#[cfg(feature = "mysql")]
#[path = "."]
mod mysql {
    use diesel::MysqlConnection as DbConnection;

    #[path = "../../shared/database.rs"]
    mod database;
    mod notification;
    pub(crate) mod race;
}

/// The program for PostgreSQL: the same files with another connection.
#[cfg(feature = "postgres")]
#[path = "."]
mod postgres {
    use diesel::PgConnection as DbConnection;

    #[path = "../../shared/database.rs"]
    mod database;
    mod notification;
    pub(crate) mod race;
}

fn main() -> Result<ExitCode> {
    let cli = cli::Cli::parse();
    let is_postgres = match env::var("DATABASE_URL") {
        Ok(url) => is_postgres_url(&url),
        Err(_) => cli.race.server.is_postgres(),
    };
    match is_postgres {
        #[cfg(feature = "mysql")]
        false => mysql::race::main(&cli),
        #[cfg(feature = "postgres")]
        true => postgres::race::main(&cli),
        #[allow(unreachable_patterns, reason = "reached with one of the features")]
        _ => bail!(
            "this program was compiled without that server; build it with \
             `--features mysql,postgres`"
        ),
    }
}
