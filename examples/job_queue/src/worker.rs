//! A process that does jobs until none is left.

use std::env;
use std::thread;
use std::time::Duration;

use diesel::mysql::MysqlConnection;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_advisory_lock::check_server;

use crate::Fallible;
use crate::causes::Causes;
use crate::job::Job;
use crate::store::DATABASE_URL;

const THREADS: u32 = 4;

pub(crate) fn run(name: &str) -> Fallible<()> {
    let manager = ConnectionManager::<MysqlConnection>::new(env::var(DATABASE_URL)?);
    let pool = Pool::builder().max_size(THREADS).build(manager)?;
    // On a server where locks do not hold, every job would be done by everybody.
    check_server(&mut pool.get()?)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let pool = &pool;
                scope.spawn(move || {
                    work(pool, name, number).map_err(|error| Causes(&*error).to_string())
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

fn work(pool: &Pool<ConnectionManager<MysqlConnection>>, name: &str, number: u32) -> Fallible<()> {
    loop {
        // More than one, since others are at the first ones. Beginning elsewhere than they do saves asking in vain.
        let conn = &mut pool.get()?;
        let mut open = Job::open(conn, 20)?;
        if open.is_empty() {
            return Ok(());
        }
        let first = (number as usize * 5 + std::process::id() as usize) % open.len();
        open.rotate_left(first);
        let mut done = false;
        for job in &mut open {
            // `None`: somebody is at it. `Some(false)`: somebody has finished it since we looked.
            if job.try_with_lock(conn, |job, conn| job.work(conn, name))? == Some(true) {
                done = true;
                break;
            }
        }
        if !done {
            // Others are at all of them. One may die.
            thread::sleep(Duration::from_millis(50));
        }
    }
}
