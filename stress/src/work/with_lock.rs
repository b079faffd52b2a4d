//! `with_lock` and `try_with_lock`, and their equivalents of a pool.

use crate::server::Conn;
use diesel_advisory_lock::{LockPool, LockSource, Lockable};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::worker::{Done, Op, Reached};

pub(super) struct WithLock;

impl Operation for WithLock {
    const NAME: &'static str = "with_lock";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Default;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        counter.with_lock(conn, |_, conn| op.plain_body(conn))?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

impl PoolOperation for WithLock {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let mut counter = op.counter();
        locks.run(counter.lock(), |_, conn| op.plain_body(conn))?;
        op.keep(counter);
        Ok(Reached::End)
    }
}

pub(super) struct TryWithLock;

impl Operation for TryWithLock {
    const NAME: &'static str = "try_with_lock";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Nothing;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let ran = counter.try_with_lock(conn, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

impl PoolOperation for TryWithLock {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let mut counter = op.counter();
        let ran = locks.try_run(counter.lock(), |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}
