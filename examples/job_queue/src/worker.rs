//! A process that works on jobs until none is left.

use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Result, anyhow};
use diesel::prelude::*;
use diesel_advisory_lock::check_server;

use super::DbConnection;
use super::job::Job;

const THREADS: usize = 4;

pub(crate) fn run(name: &str) -> Result<()> {
    let url = &env::var("DATABASE_URL")?;
    // On a server where locks have no effect, every worker would do every job.
    check_server(&mut DbConnection::establish(url)?)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(move || work(url, name, number)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })
}

fn work(url: &str, name: &str, number: usize) -> Result<()> {
    let conn = &mut DbConnection::establish(url)?;
    loop {
        let mut open = Job::open(conn, 20)?;
        if open.is_empty() {
            return Ok(());
        }
        // Threads start at different jobs, so that few of them try a lock that is held.
        let first = (number * 5 + process::id() as usize) % open.len();
        open.rotate_left(first);
        let mut done = false;
        for job in &mut open {
            // `None`: another worker is at it. `Some(false)`: another worker has just finished it.
            if job.try_with_lock(conn, |job, conn| job.work(conn, name))? == Some(true) {
                done = true;
                break;
            }
        }
        if !done {
            // Other workers are at all jobs. If one dies, its jobs become free.
            thread::sleep(Duration::from_millis(50));
        }
    }
}
