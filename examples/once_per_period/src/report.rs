//! The work, which stands for a real one, and the tables.

use std::time::Duration;
use std::{env, process, thread};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use super::DbConnection;

diesel::table! {
    #[sql_name = "once_per_period_example_reports"]
    reports (day, process) {
        day -> Text,
        process -> BigInt,
    }
}

/// Takes `WORK_SECONDS`, or one second.
pub(crate) fn write(conn: &mut DbConnection, day: &str) -> QueryResult<usize> {
    println!("working");
    let seconds = env::var("WORK_SECONDS").ok();
    let seconds = seconds
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(1);
    thread::sleep(Duration::from_secs(seconds));
    let process = i64::from(process::id());
    diesel::insert_into(reports::table)
        .values((reports::day.eq(day), reports::process.eq(process)))
        .execute(conn)
}

/// A program would have migrations for them. Two sessions cannot create one table at the same time.
pub(crate) fn create_tables(conn: &mut DbConnection) -> QueryResult<()> {
    LockName::named("tables").lock().run(conn, |_, conn| {
        conn.batch_execute(
            "CREATE TABLE IF NOT EXISTS once_per_period_example_last_runs (
                 job VARCHAR(100) PRIMARY KEY, day VARCHAR(10) NOT NULL
             );
             CREATE TABLE IF NOT EXISTS once_per_period_example_reports (
                 day VARCHAR(10) NOT NULL, process BIGINT NOT NULL
             );",
        )
    })
}
