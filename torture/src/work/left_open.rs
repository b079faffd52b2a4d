//! A body that forgets to commit: what it wrote must be rolled back before the lock is free, and told.

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::model::Counter;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct LeftOpen;

impl Way for LeftOpen {
    const NAME: &'static str = "left_open";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.run(conn, |counter, conn| leave_open(op, counter, conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for LeftOpen {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.run_from(pool, |counter, conn| leave_open(op, counter, conn))?;
        Ok(Reached::End)
    }
}

fn leave_open(
    op: &Op<'_>,
    counter: &mut Counter,
    conn: &mut MysqlConnection,
) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        AnsiTransactionManager::begin_transaction(conn)?;
        counter.increment(conn)?;
        // Never to be committed: if it is, the counter goes through a number that nobody wrote.
        Ok(Vec::new())
    })
}
