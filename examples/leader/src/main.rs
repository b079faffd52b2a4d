//! Leader election: one of several replicas leads while it holds a named lock. If its process is
//! killed, the server releases the lock, and another replica takes over at once.
//!
//! Start it in two terminals, and kill the one that leads:
//!
//! ```sh
//! DATABASE_URL=mysql://user:password@host/database cargo run --package leader
//! DATABASE_URL=postgres://.. cargo run --package leader --features postgres
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

    pub(crate) mod replica;

    const GENERATED_ID: &str = "BIGINT NOT NULL AUTO_INCREMENT";
}

/// The program for PostgreSQL: the same file with another connection.
#[cfg(feature = "postgres")]
#[path = "."]
mod postgres {
    use diesel::PgConnection as DbConnection;

    pub(crate) mod replica;

    const GENERATED_ID: &str = "BIGINT GENERATED ALWAYS AS IDENTITY";
}

fn main() -> Result<()> {
    let url = env::var("DATABASE_URL").context("set DATABASE_URL to the database's URL")?;
    match url.starts_with("postgres") {
        #[cfg(feature = "mysql")]
        false => mysql::replica::run(&url),
        #[cfg(feature = "postgres")]
        true => postgres::replica::run(&url),
        #[allow(unreachable_patterns, reason = "reached with one of the features")]
        _ => bail!(
            "this program was compiled without that server; build it with \
             `--features mysql,postgres`"
        ),
    }
}
