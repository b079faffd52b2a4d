//! A body that forgets to commit: what it wrote must be rolled back before the lock is free, and told.

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable};

use super::{Locks, WaitFor, Way};
use crate::worker::{Done, Op, Reached};

pub(super) struct LeftOpen;

impl Way for LeftOpen {
    const NAME: &'static str = "left_open";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.run(conn, |counter, conn| {
            op.body(conn, |conn| {
                AnsiTransactionManager::begin_transaction(conn)?;
                counter.increment(conn)?;
                // Never to be committed: if it is, the counter goes through a number that nobody wrote.
                Ok(None)
            })
        })?;
        Ok(Reached::End)
    }
}
