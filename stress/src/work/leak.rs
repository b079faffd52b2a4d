//! A body that acquires its lock once more and does not release it. The library must end the
//! session, or the lock would outlive the call.

use diesel::RunQueryDsl;
use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource};
use stress_check::history::OpFault;

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::cli::WorkerFault;
use crate::model::SCHEMA;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Leak;

impl Operation for Leak {
    const NAME: &'static str = "leak";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Leak);
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        lock.run(conn, |_, conn| leak(op, conn))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Leak {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        locks.run(lock, |_, conn| leak(op, conn))?;
        Ok(Reached::End)
    }
}

fn leak(op: &Op<'_>, conn: &mut MysqlConnection) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        op.inject(OpFault::Leak);
        if op.random_below(2) == 0 {
            let name = op.lock_name().full_name(SCHEMA);
            diesel::sql_query(format!("DO GET_LOCK('{name}', 0)")).execute(conn)?;
        } else {
            let nested = op.lock_name().lock().acquire(conn);
            std::mem::forget(nested.map_err(WorkError::inner)?);
        }
        Ok(Vec::new())
    })
}
