//! The database: the tables, the jobs to do, and what became of them.

use std::env;

use diesel::connection::SimpleConnection;
use diesel::dsl::count_star;
use diesel::prelude::*;
use test_server::{Server, ServerKind};

use crate::Fallible;
use crate::job::{HANGS, finishes, jobs};

/// The environment variable with the database, also for the workers.
pub(crate) const DATABASE_URL: &str = "DATABASE_URL";

const NAME: &str = "job_queue_example";

pub(crate) struct Store {
    url: String,
    conn: MysqlConnection,
    /// Ends on drop.
    _server: Option<Server>,
}

impl Store {
    /// The database of `DATABASE_URL`, or one on a private server.
    pub(crate) fn open(kind: ServerKind) -> Fallible<Self> {
        let (url, server) = match env::var(DATABASE_URL) {
            Ok(url) => (url, None),
            Err(_) => {
                println!("Starting a private {kind} server ..");
                let server = Server::start(kind)?;
                MysqlConnection::establish(&server.url(""))?
                    .batch_execute(&format!("CREATE DATABASE {NAME}"))?;
                (server.url(NAME), Some(server))
            }
        };
        let mut conn = MysqlConnection::establish(&url)?;
        conn.batch_execute(
            "DROP TABLE IF EXISTS job_queue_example_jobs, job_queue_example_finishes;
             CREATE TABLE job_queue_example_jobs (
                 id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, payload TEXT NOT NULL,
                 begun INTEGER NOT NULL DEFAULT 0, worker TEXT, finished BOOLEAN NOT NULL DEFAULT FALSE
             );
             CREATE TABLE job_queue_example_finishes (
                 id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, job_id BIGINT NOT NULL, worker TEXT NOT NULL
             );",
        )?;
        Ok(Store {
            url,
            conn,
            _server: server,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// One job, after a third of them, hangs its first worker.
    pub(crate) fn fill(&mut self, many: u32) -> QueryResult<usize> {
        let payloads: Vec<_> = (1..=many)
            .map(|number| {
                jobs::payload.eq(match number == many.div_ceil(3) {
                    true => HANGS.to_owned(),
                    false => format!("job {number}"),
                })
            })
            .collect();
        diesel::insert_into(jobs::table)
            .values(payloads)
            .execute(&mut self.conn)
    }

    pub(crate) fn finished(&mut self) -> Fallible<u64> {
        let finished: i64 = jobs::table
            .filter(jobs::finished.eq(true))
            .count()
            .get_result(&mut self.conn)?;
        Ok(finished.try_into()?)
    }

    /// The worker that hangs at its job and holds the job's lock, once there is one.
    pub(crate) fn hanging_worker(&mut self) -> QueryResult<Option<String>> {
        jobs::table
            .filter(jobs::payload.eq(HANGS).and(jobs::finished.eq(false)))
            .select(jobs::worker)
            .first(&mut self.conn)
            .optional()
            .map(Option::flatten)
    }

    pub(crate) fn by_worker(&mut self) -> QueryResult<Vec<(String, i64)>> {
        finishes::table
            .group_by(finishes::worker)
            .select((finishes::worker, count_star()))
            .order(finishes::worker)
            .load(&mut self.conn)
    }

    /// Jobs that have been finished, and by nobody else again.
    pub(crate) fn finished_once(&mut self) -> Fallible<u64> {
        let finishes: Vec<i64> = finishes::table
            .group_by(finishes::job_id)
            .select(count_star())
            .load(&mut self.conn)?;
        let once = finishes.iter().filter(|&&times| times == 1).count();
        Ok(once.try_into()?)
    }

    /// Jobs that a worker had begun and not finished.
    pub(crate) fn begun_again(&mut self) -> QueryResult<i64> {
        jobs::table
            .filter(jobs::begun.gt(1))
            .count()
            .get_result(&mut self.conn)
    }
}
