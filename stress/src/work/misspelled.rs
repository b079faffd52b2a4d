//! A key that is spelled differently from the row's but finds the row. The lock is not the row's,
//! so the body must not run.

use crate::server::Conn;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource, Lockable, lock_all};
use stress_check::history::OpFault;

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::cli::WorkerFault;
use crate::model::Label;
use crate::worker::{Done, Op, Reached};

pub(super) struct Misspelled;

impl Operation for Misspelled {
    const NAME: &'static str = "misspelled";
    const LOCKS: Locks = Locks::Misspelled;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Misspelled);
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.inject(OpFault::Misspelled);
        let mut label = Label::misspelled(op.target.id());
        match op.random_below(3) {
            0 => {
                let lock = label.lock().timeout(op.wait);
                lock.run(conn, |_, conn| op.plain_body(conn))?;
            }
            1 => {
                let lock = label.lock().timeout(op.wait);
                lock.transaction(conn, |_, conn| op.plain_body(conn))?;
            }
            _ => {
                let lock = lock_all([&mut label]).timeout(op.wait);
                lock.run(conn, |_, conn| op.plain_body(conn))?;
            }
        }
        Ok(Reached::End)
    }
}

impl PoolOperation for Misspelled {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        op.inject(OpFault::Misspelled);
        let mut label = Label::misspelled(op.target.id());
        match op.random_below(2) {
            0 => {
                let lock = label.lock().timeout(op.wait);
                locks.transaction(lock, |_, conn| op.plain_body(conn))?;
            }
            _ => {
                let lock = lock_all([&mut label]).timeout(op.wait);
                locks.run(lock, |_, conn| op.plain_body(conn))?;
            }
        }
        Ok(Reached::End)
    }
}
