//! A replica: it waits until no other one leads, and then leads until it loses the lock.

use std::time::Duration;
use std::{process, thread};

use anyhow::Result;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::check_server;
use diesel_advisory_lock::prelude::*;

use super::{DbConnection, GENERATED_ID};

diesel::table! {
    /// What the leaders have done, in order.
    #[sql_name = "leader_example_steps"]
    steps (id) {
        id -> BigInt,
        process -> BigInt,
    }
}

pub(crate) fn run(url: &str) -> Result<()> {
    // On a server where locks have no effect, every replica would lead.
    check_server(&mut DbConnection::establish(url)?)?;
    loop {
        let Err(error) = lead(url);
        eprintln!("{} does not lead any more: {error}", process::id());
        thread::sleep(Duration::from_millis(500));
    }
}

/// Returns only with an error. The next attempt needs a new session, since this one may have ended.
fn lead(url: &str) -> Result<std::convert::Infallible> {
    let mut conn = DbConnection::establish(url)?;
    // Between two steps the session is idle, and the server must not end it.
    let lock = LockName::named("leader")
        .lock()
        .keep_alive(Duration::from_secs(60));
    let mut held = lock.wait_forever().acquire(&mut conn)?;
    held.batch_execute(&format!(
        "CREATE TABLE IF NOT EXISTS leader_example_steps (
             id {GENERATED_ID} PRIMARY KEY, process BIGINT NOT NULL
         )"
    ))?;
    println!("{} leads", process::id());
    loop {
        held.verify()?;
        step(&mut held)?;
        thread::sleep(Duration::from_millis(50));
    }
}

/// Stands for the work. What is done in the database is done on the connection that holds the lock:
/// if the session has ended since `verify`, it fails.
fn step(conn: &mut DbConnection) -> QueryResult<usize> {
    println!("{} works", process::id());
    diesel::insert_into(steps::table)
        .values(steps::process.eq(i64::from(process::id())))
        .execute(conn)
}
