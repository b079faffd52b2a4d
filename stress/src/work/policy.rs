//! Another struct for the same rows, with the same locks and a shorter timeout.

use crate::server::Conn;
use diesel_advisory_lock::{LockPool, LockSource};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::model::Impatient;
use crate::worker::{Done, Op, Reached};

pub(super) struct Policy;

impl Operation for Policy {
    const NAME: &'static str = "policy";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Impatient;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut row = Impatient { id: op.target.id() };
        row.with_lock(conn, |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Policy {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let mut row = Impatient { id: op.target.id() };
        locks.run(row.lock(), |_, conn| op.plain_body(conn))?;
        Ok(Reached::End)
    }
}
