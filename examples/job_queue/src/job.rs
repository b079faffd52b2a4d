//! A job, and what it is to do it.

use std::thread;
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

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
    /// What was finished, by whom: once a job, or the queue is broken.
    #[sql_name = "job_queue_example_finishes"]
    finishes (id) {
        id -> BigInt,
        job_id -> BigInt,
        worker -> Text,
    }
}

/// The payload of the job that hangs its first worker, which the example then kills.
pub(crate) const HANGS: &str = "hangs its first worker";

/// A job may take a while, in which its connection has nothing to say.
#[derive(Debug, Queryable, Selectable, Identifiable, AsChangeset, Lockable)]
#[diesel(table_name = jobs)]
#[lock(keep_alive = "10m")]
pub(crate) struct Job {
    id: i64,
    payload: String,
    /// How often somebody has begun; more than once if a worker died at it.
    begun: i32,
    /// The worker that has begun last.
    worker: Option<String>,
    finished: bool,
}

impl Job {
    /// Those that look as if nobody had finished them. Somebody may be at them.
    pub(crate) fn open(conn: &mut MysqlConnection, many: i64) -> QueryResult<Vec<Job>> {
        jobs::table
            .filter(jobs::finished.eq(false))
            .order(jobs::id)
            .limit(many)
            .select(Job::as_select())
            .load(conn)
    }

    /// To be called under the job's lock: then nobody else is at it, and it has been read again. Tells whether there was
    /// anything left to do.
    pub(crate) fn work(&mut self, conn: &mut MysqlConnection, worker: &str) -> QueryResult<bool> {
        if self.finished {
            return Ok(false);
        }
        // Saved at once, so that a job that kills its workers can be found.
        self.begun += 1;
        self.worker = Some(worker.to_owned());
        self.save(conn)?;
        if self.payload == HANGS && self.begun == 1 {
            // Long enough to be killed. Not for ever: nothing kills it if the supervisor has died.
            thread::sleep(Duration::from_secs(60));
        }
        deliver(&self.payload);
        self.finished = true;
        // Both or none. The lock is held around it, as it must be.
        conn.transaction(|conn| {
            self.save(conn)?;
            diesel::insert_into(finishes::table)
                .values((finishes::job_id.eq(self.id), finishes::worker.eq(worker)))
                .execute(conn)
        })?;
        Ok(true)
    }

    fn save(&self, conn: &mut MysqlConnection) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn)
    }
}

/// Whatever the job is: a request, a file, a mail.
fn deliver(payload: &str) {
    let length = u64::try_from(payload.len()).unwrap_or(0);
    thread::sleep(Duration::from_millis(40 + length % 7 * 10));
}
