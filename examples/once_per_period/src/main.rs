//! A nightly job on several replicas, which runs once a day. Each replica starts it, as by cron.
//!
//! ```sh
//! DATABASE_URL=mysql://user:password@host/database cargo run --package once_per_period
//! DATABASE_URL=postgres://.. cargo run --package once_per_period --features postgres
//! ```

#![allow(
    clippy::duplicate_mod,
    reason = "each server's program has the same module"
)]

use std::env;

use anyhow::{Context, Result, bail};

/// The program for MariaDB and MySQL.
#[cfg(feature = "mysql")]
#[path = "."]
mod mysql {
    use diesel::MysqlConnection as DbConnection;

    pub(crate) mod job;
    mod report;

    /// The period by the clock of the database. For an hourly job, add the hour.
    const CURRENT_DAY: &str = "DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%d')";
}

/// The program for PostgreSQL: the same files with another connection.
#[cfg(feature = "postgres")]
#[path = "."]
mod postgres {
    use diesel::PgConnection as DbConnection;

    pub(crate) mod job;
    mod report;

    /// The period by the clock of the database. Not by `now()`, which is the time of BEGIN: a replica
    /// that waited for the lock over midnight would still see the day before.
    const CURRENT_DAY: &str = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD')";
}

fn main() -> Result<()> {
    let url = env::var("DATABASE_URL").context("set DATABASE_URL to the database's URL")?;
    match url.starts_with("postgres") {
        #[cfg(feature = "mysql")]
        false => mysql::job::run(&url),
        #[cfg(feature = "postgres")]
        true => postgres::job::run(&url),
        #[allow(unreachable_patterns, reason = "reached with one of the features")]
        _ => bail!(
            "this program was compiled without that server; build it with \
             `--features mysql,postgres`"
        ),
    }
}
