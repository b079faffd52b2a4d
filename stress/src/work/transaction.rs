//! `.transaction` and `.try_transaction`. Each reported commit increments the counter by one.

use crate::server::Conn;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource, Lockable};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::model::Counter;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Transaction;

impl Operation for Transaction {
    const NAME: &'static str = "transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 12;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction(conn, |counter, conn| increment(op, counter, conn))?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

impl PoolOperation for Transaction {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        locks.transaction(lock, |counter, conn| increment(op, counter, conn))?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

pub(super) struct TryTransaction;

impl Operation for TryTransaction {
    const NAME: &'static str = "try_transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Nothing;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock();
        let ran = lock.try_transaction(conn, |counter, conn| increment(op, counter, conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

impl PoolOperation for TryTransaction {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock();
        let ran = locks.try_transaction(lock, |counter, conn| increment(op, counter, conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

fn increment(op: &Op<'_>, counter: &mut Counter, conn: &mut Conn) -> Result<(), WorkError> {
    op.transaction_body(conn, |conn| Ok(vec![counter.increment(conn)?]))
}
