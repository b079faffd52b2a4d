//! What a replica does when it starts: it runs the migrations that have not been run, under a lock.

use std::time::Duration;

use anyhow::{Result, anyhow};
use diesel::prelude::*;
use diesel_advisory_lock::check_server;
use diesel_advisory_lock::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::DbConnection;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

pub(crate) fn run(url: &str) -> Result<()> {
    let conn = &mut DbConnection::establish(url)?;
    // On a server where locks have no effect, replicas would run the migrations at the same time.
    check_server(conn)?;
    // Longer than all migrations take, since the last replica waits for all others.
    let lock = LockName::named("migrations")
        .lock()
        .timeout(Duration::from_secs(600));
    // Not in a transaction: each migration has its own, and DDL commits by itself on MySQL. The
    // harness must use the connection that holds the lock.
    let applied = lock.run(conn, |_, conn| -> Result<usize> {
        let versions = conn.run_pending_migrations(MIGRATIONS);
        Ok(versions.map_err(|error| anyhow!(error))?.len())
    })?;
    match applied {
        0 => println!("nothing to do"),
        _ => println!("{applied} migrations were run"),
    }
    Ok(())
}
