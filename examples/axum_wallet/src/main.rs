//! A web service with accounts. A transfer holds the locks of two accounts, and a withdrawal holds
//! the lock of one, so no update is lost. Each error has the HTTP status that tells the client
//! whether it may repeat the request.
//!
//! `cargo xtask demo-async` starts a private server and the service, sends transfers and withdrawals
//! at the same time, and checks that no money was made or lost. With `--without-lock` the check
//! fails. `--server postgres` runs it on PostgreSQL.

#![allow(
    clippy::duplicate_mod,
    reason = "each server's program has the same modules"
)]

mod cli;
mod load;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use test_server::is_postgres_url;

use cli::{Cli, Command};

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

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let options = match &cli.command {
        Command::Load {
            url: Some(url),
            demo,
        } => {
            return tokio::runtime::Runtime::new()?.block_on(demo.load.run(url));
        }
        Command::Load { demo, .. } => &demo.service,
        Command::Serve { options, .. } => options,
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
