//! A lock inside of an open transaction must be refused: its snapshot is older than the lock, and
//! the lock would end before the COMMIT. Were it granted, increments would be lost.

use std::thread::sleep;
use std::time::Duration;

use diesel::mysql::MysqlConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_advisory_lock::{LockSource, Lockable};

use super::{Locks, WaitFor, Way};
use crate::model::Counter;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct InTransaction;

impl Way for InTransaction {
    const NAME: &'static str = "in_transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        conn.connection().transaction(|conn| {
            // Not by a statement that is kept: one that fails while it is read must not run again.
            let row = diesel::sql_query("SELECT id, value FROM counters WHERE id = ?");
            let mut counter: Counter = row.bind::<BigInt, _>(op.target.id()).get_result(conn)?;
            sleep(Duration::from_micros(300));
            let lock = counter.lock().timeout(op.wait);
            lock.run(conn, |counter, conn| {
                op.body(conn, |conn| Ok(vec![counter.increment(conn)?]))
            })?;
            Ok::<_, WorkError>(Reached::End)
        })
    }
}
