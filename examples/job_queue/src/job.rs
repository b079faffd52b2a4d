//! A job, and the work on it.

use std::thread;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use super::DbConnection;

diesel::table! {
    #[sql_name = "job_queue_example_jobs"]
    jobs (id) {
        id -> BigInt,
        payload -> Text,
        begun -> Integer,
        worker -> Nullable<Text>,
        finished -> Bool,
    }
}

diesel::table! {
    /// A row for each time that a worker finished a job. Two rows for one job are an error.
    #[sql_name = "job_queue_example_finishes"]
    finishes (id) {
        id -> BigInt,
        job_id -> BigInt,
        worker -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(jobs, finishes);

/// The payload of the job that hangs its first worker, which the supervisor then kills.
pub(crate) const HANGS: &str = "hangs its first worker";

// The connection is idle while the job is done, and the server must not close it.
#[derive(Debug, Queryable, Selectable, Identifiable, AsChangeset, Lockable)]
#[diesel(table_name = jobs)]
#[lock(keep_alive = "10m")]
pub(crate) struct Job {
    id: i64,
    payload: String,
    /// How often a worker has begun; more than once if a worker died at the job.
    begun: i32,
    /// The worker that has begun last.
    worker: Option<String>,
    finished: bool,
}

impl Job {
    /// Loads jobs that are not finished. Workers may be at them.
    pub(crate) fn open(conn: &mut DbConnection, limit: i64) -> QueryResult<Vec<Job>> {
        jobs::table
            .filter(jobs::finished.eq(false))
            .order(jobs::id)
            .limit(limit)
            .select(Job::as_select())
            .load(conn)
    }

    /// Does the job, unless it is finished. Returns whether this call has done it. The caller holds
    /// the job's lock, so `self` is reloaded and no other worker is at it.
    pub(crate) fn work(&mut self, conn: &mut DbConnection, worker: &str) -> QueryResult<bool> {
        if self.finished {
            return Ok(false);
        }
        // Saved first, so that a job that kills its workers can be found.
        self.begun += 1;
        self.worker = Some(worker.to_owned());
        self.save(conn)?;
        if self.payload == HANGS && self.begun == 1 {
            // The supervisor kills this process here. If it has died, the worker goes on.
            thread::sleep(Duration::from_secs(60));
        }
        deliver(&self.payload);
        self.finished = true;
        // The lock is held around the transaction: it must not be released before COMMIT.
        conn.transaction(|conn| {
            self.save(conn)?;
            diesel::insert_into(finishes::table)
                .values((finishes::job_id.eq(self.id), finishes::worker.eq(worker)))
                .execute(conn)
        })?;
        Ok(true)
    }

    fn save(&self, conn: &mut DbConnection) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn)
    }
}

/// Stands for the real work: a request, a file, a mail.
fn deliver(payload: &str) {
    thread::sleep(Duration::from_millis(40 + payload.len() as u64 % 7 * 10));
}
