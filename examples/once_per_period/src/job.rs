//! The job, its lock, and the row that says when it last ran.

use std::time::Duration;

use anyhow::Result;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_advisory_lock::check_server;
use diesel_advisory_lock::prelude::*;

use super::{CURRENT_DAY, DbConnection, report};

const JOB: &str = "nightly-report";

diesel::table! {
    #[sql_name = "once_per_period_example_last_runs"]
    last_runs (job) {
        job -> Text,
        day -> Text,
    }
}

/// Runs the job, unless a replica has run it today.
pub(crate) fn run(url: &str) -> Result<()> {
    let conn = &mut DbConnection::establish(url)?;
    // On a server where locks have no effect, every replica would run the job.
    check_server(conn)?;
    report::create_tables(conn)?;
    // Longer than the job takes: if the replica at work dies, one that waits runs the job.
    let lock = LockName::named(JOB)
        .lock()
        .timeout(Duration::from_secs(3_600));
    let ran = lock.transaction(conn, |_, conn| {
        let today: String = diesel::select(sql::<Text>(CURRENT_DAY)).get_result(conn)?;
        let row = last_runs::table.find(JOB);
        let last_run: Option<String> = row.select(last_runs::day).first(conn).optional()?;
        // Also later than today, if the database's clock was set back.
        if last_run.as_ref().is_some_and(|day| *day >= today) {
            return Ok(false);
        }
        report::write(conn, &today)?;
        // Committed together with the report.
        diesel::delete(row).execute(conn)?;
        diesel::insert_into(last_runs::table)
            .values((last_runs::job.eq(JOB), last_runs::day.eq(&today)))
            .execute(conn)?;
        QueryResult::Ok(true)
    })?;
    println!("{}", if ran { "done" } else { "already done" });
    Ok(())
}
