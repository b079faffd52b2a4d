//! A body that does not commit. Its work must be rolled back before the lock is released, and
//! reported as an error.

use crate::server::Conn;
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel_advisory_lock::{LockDsl, LockPool, LockSource};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::model::Counter;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct LeftOpen;

impl Operation for LeftOpen {
    const NAME: &'static str = "left_open";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.with_row(|lock| lock.run(conn, |counter, conn| leave_open(op, counter, conn)))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for LeftOpen {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        op.with_row(|lock| locks.run(lock, |counter, conn| leave_open(op, counter, conn)))?;
        Ok(Reached::End)
    }
}

fn leave_open(op: &Op<'_>, counter: &mut Counter, conn: &mut Conn) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        AnsiTransactionManager::begin_transaction(conn)?;
        counter.increment(conn)?;
        // A commit would give the counter a value that no call reports.
        Ok(Vec::new())
    })
}
