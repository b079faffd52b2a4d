//! A body that acquires its lock once more and never releases that. The session must end with the lock, or the lock would
//! outlive it.

use diesel::RunQueryDsl;
use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, PoolSource};
use torture_check::history::OpFault;

use super::{FromPool, Locks, WaitFor, Way};
use crate::cli::OwnFault;
use crate::model::SCHEMA;
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Leak;

impl Way for Leak {
    const NAME: &'static str = "leak";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<OwnFault> = Some(OwnFault::Leak);
    const WEIGHT: usize = 1;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        lock.hold(conn, |conn| leak(op, conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for Leak {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait);
        lock.hold_from(pool, |conn| leak(op, conn))?;
        Ok(Reached::End)
    }
}

fn leak(op: &Op<'_>, conn: &mut MysqlConnection) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        op.strike(OpFault::Leak);
        if op.die(2) == 0 {
            let written = op.lock_name().written(SCHEMA);
            diesel::sql_query(format!("DO GET_LOCK('{written}', 0)")).execute(conn)?;
        } else {
            let nested = op.lock_name().lock().acquire(conn);
            std::mem::forget(nested.map_err(WorkError::inner)?);
        }
        Ok(Vec::new())
    })
}
