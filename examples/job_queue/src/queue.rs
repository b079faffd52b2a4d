//! The queue as the supervisor sees it: its tables, its jobs, and which of them were finished.

use diesel::connection::SimpleConnection;
use diesel::dsl::count_star;
use diesel::prelude::*;

use super::job::{HANGS, finishes, jobs};
use super::{DbConnection, GENERATED_ID};

/// Creates the tables anew, with `count` jobs. One of them, after a third, hangs its first worker.
pub(crate) fn create(conn: &mut DbConnection, count: u32) -> QueryResult<()> {
    conn.batch_execute(&format!(
        "DROP TABLE IF EXISTS job_queue_example_jobs, job_queue_example_finishes;
         CREATE TABLE job_queue_example_jobs (
             id {GENERATED_ID} PRIMARY KEY,
             payload TEXT NOT NULL,
             begun INTEGER NOT NULL DEFAULT 0,
             worker TEXT,
             finished BOOLEAN NOT NULL DEFAULT FALSE
         );
         CREATE TABLE job_queue_example_finishes (
             id {GENERATED_ID} PRIMARY KEY,
             job_id BIGINT NOT NULL,
             worker TEXT NOT NULL
         );"
    ))?;
    let payloads: Vec<_> = (1..=count)
        .map(|number| {
            jobs::payload.eq(if number == count.div_ceil(3) {
                HANGS.to_owned()
            } else {
                format!("job {number}")
            })
        })
        .collect();
    diesel::insert_into(jobs::table)
        .values(payloads)
        .execute(conn)?;
    Ok(())
}

pub(crate) fn finished(conn: &mut DbConnection) -> QueryResult<i64> {
    let finished = jobs::table.filter(jobs::finished.eq(true));
    finished.count().get_result(conn)
}

/// The worker that hangs at its job and holds the job's lock, once there is one.
pub(crate) fn hanging_worker(conn: &mut DbConnection) -> QueryResult<Option<String>> {
    jobs::table
        .filter(jobs::payload.eq(HANGS).and(jobs::finished.eq(false)))
        .select(jobs::worker)
        .first(conn)
        .optional()
        .map(Option::flatten)
}

pub(crate) fn finished_by_worker(conn: &mut DbConnection) -> QueryResult<Vec<(String, i64)>> {
    finishes::table
        .group_by(finishes::worker)
        .select((finishes::worker, count_star()))
        .order(finishes::worker)
        .load(conn)
}

/// The number of jobs that were finished once, and no more than once.
pub(crate) fn finished_once(conn: &mut DbConnection) -> QueryResult<i64> {
    let once = finishes::table
        .group_by(finishes::job_id)
        .having(count_star().eq(1))
        .select(finishes::job_id);
    let jobs = jobs::table.filter(jobs::id.eq_any(once));
    jobs.count().get_result(conn)
}

/// The number of jobs that a worker began and did not finish.
pub(crate) fn begun_again(conn: &mut DbConnection) -> QueryResult<i64> {
    let again = jobs::table.filter(jobs::begun.gt(1));
    again.count().get_result(conn)
}
