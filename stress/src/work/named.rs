//! Locks by name, under which no model is reloaded.

use crate::server::Conn;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::model::Counter;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Run;

impl Operation for Run {
    const NAME: &'static str = "name.run";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        lock.run(conn, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Run {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        locks.run(lock, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

pub(super) struct TryRun;

impl Operation for TryRun {
    const NAME: &'static str = "name.try_run";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Nothing;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock();
        let ran = lock.try_run(conn, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

impl PoolOperation for TryRun {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let lock = op.lock_name().lock();
        let ran = locks.try_run(lock, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

/// The lock of a row by its name. The body loads the row.
pub(super) struct Transaction;

impl Operation for Transaction {
    const NAME: &'static str = "name.transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        lock.transaction(conn, |_, conn| load_and_increment(op, conn))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Transaction {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        locks.transaction(lock, |_, conn| load_and_increment(op, conn))?;
        Ok(Reached::End)
    }
}

fn load_and_increment(op: &Op<'_>, conn: &mut Conn) -> Result<(), WorkError> {
    op.transaction_body(conn, |conn| {
        let mut counter = Counter::load(op.target.id(), conn)?;
        Ok(vec![counter.increment(conn)?])
    })
}
