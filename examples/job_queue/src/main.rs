//! A job queue in one table: the worker that holds a job's lock works on the job. There is no state
//! "running", no heartbeat and no time limit. If a worker dies, the server releases its locks, and
//! other workers start its jobs again at once.
//!
//! `cargo run --package job_queue` runs three processes of four threads. One job hangs its first
//! worker, and the program kills that worker while it holds the job's lock. On PostgreSQL:
//! `cargo run --package job_queue --features postgres -- --server postgres`.

#![allow(
    clippy::duplicate_mod,
    reason = "each server's program has the same modules"
)]

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, value_parser};
use test_server::{ServerKind, is_postgres_url};

/// The program for MariaDB and MySQL.
#[cfg(feature = "mysql")]
#[path = "."]
mod mysql {
    use diesel::MysqlConnection as DbConnection;

    #[path = "../../shared/database.rs"]
    mod database;
    mod job;
    mod queue;
    pub(crate) mod supervisor;
    mod worker;

    const GENERATED_ID: &str = "BIGINT NOT NULL AUTO_INCREMENT";
}

/// The program for PostgreSQL: the same files with another connection.
#[cfg(feature = "postgres")]
#[path = "."]
mod postgres {
    use diesel::PgConnection as DbConnection;

    #[path = "../../shared/database.rs"]
    mod database;
    mod job;
    mod queue;
    pub(crate) mod supervisor;
    mod worker;

    const GENERATED_ID: &str = "BIGINT GENERATED ALWAYS AS IDENTITY";
}

const ENVIRONMENT: &str = "\
Environment:
  DATABASE_URL  use this database instead of a private server: mysql://user:password@host/database,
                or postgres://..";

/// Worker processes share a queue of jobs, and one of them is killed at work. Each job is finished
/// exactly once.
#[derive(Parser)]
#[command(name = "job_queue", after_help = ENVIRONMENT)]
struct Cli {
    /// Number of jobs
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = value_parser!(u32).range(1..))]
    jobs: u32,

    /// Number of worker processes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(2..))]
    workers: u32,

    /// The private server to start: mariadb, mysql, postgres or postgres18
    #[arg(long, value_name = "KIND", default_value_t = ServerKind::Mariadb)]
    server: ServerKind,

    /// Run as one of the workers that the program starts
    #[arg(long, value_name = "NAME", hide = true)]
    work_as: Option<String>,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let is_postgres = match env::var("DATABASE_URL") {
        Ok(url) => is_postgres_url(&url),
        Err(_) => cli.server.is_postgres(),
    };
    match is_postgres {
        #[cfg(feature = "mysql")]
        false => mysql::supervisor::main(&cli),
        #[cfg(feature = "postgres")]
        true => postgres::supervisor::main(&cli),
        #[allow(unreachable_patterns, reason = "reached with one of the features")]
        _ => bail!(
            "this program was compiled without that server; build it with \
             `--features mysql,postgres`"
        ),
    }
}
