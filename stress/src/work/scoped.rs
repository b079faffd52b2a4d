//! `.scope(..)` on the lock of a model.

use crate::server::Conn;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::model::SCOPE;
use crate::worker::{Done, Op, Reached};

pub(super) struct Scoped;

impl Operation for Scoped {
    const NAME: &'static str = "scope";
    const LOCKS: Locks = Locks::Scoped;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.with_row(|lock| lock.scope(SCOPE).run(conn, |_, conn| op.plain_body(conn)))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Scoped {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        op.with_row(|lock| locks.run(lock.scope(SCOPE), |_, conn| op.plain_body(conn)))?;
        Ok(Reached::End)
    }
}
