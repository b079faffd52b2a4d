//! A body that acquires its lock once more and does not release it. The library must end the
//! session, or the lock would outlive the call.

use crate::server::Conn;
use diesel::RunQueryDsl;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource};
use stress_check::history::OpFault;

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::cli::WorkerFault;
use crate::server;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Leak;

impl Operation for Leak {
    const NAME: &'static str = "leak";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Leak);
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        lock.run(conn, |_, conn| leak(op, conn))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Leak {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        locks.run(lock, |_, conn| leak(op, conn))?;
        Ok(Reached::End)
    }
}

fn leak(op: &Op<'_>, conn: &mut Conn) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        op.inject(OpFault::Leak);
        match server::ACQUIRE_BY_SQL {
            Some(sql) if op.random_below(2) == 0 => {
                diesel::sql_query(sql(&op.lock_name())).execute(conn)?;
            }
            _ => {
                let nested = op.lock_name().lock().acquire(conn);
                std::mem::forget(nested.map_err(WorkError::inner)?);
            }
        }
        Ok(Vec::new())
    })
}
