//! Guards: acquired and released, of one lock and of a set, and dropped.

use crate::server::Conn;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource};

use super::set::Set;
use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::worker::{Done, Op, Reached};

pub(super) struct Acquire;

impl Operation for Acquire {
    const NAME: &'static str = "acquire";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut guard = op.with_row(|lock| lock.acquire(conn))?;
        op.plain_body(&mut guard)?;
        guard.release()?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Acquire {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let mut guard = op.with_row(|lock| locks.acquire(lock))?;
        op.plain_body(&mut guard)?;
        guard.release()?;
        Ok(Reached::End)
    }
}

pub(super) struct TryAcquire;

impl Operation for TryAcquire {
    const NAME: &'static str = "try_acquire";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Nothing;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let Some(mut guard) = op.lock_name().lock().try_acquire(conn)? else {
            return Ok(Reached::Contended);
        };
        op.plain_body(&mut guard)?;
        guard.release()?;
        Ok(Reached::End)
    }
}

impl PoolOperation for TryAcquire {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let Some(mut guard) = locks.try_acquire(op.lock_name().lock())? else {
            return Ok(Reached::Contended);
        };
        op.plain_body(&mut guard)?;
        guard.release()?;
        Ok(Reached::End)
    }
}

/// A guard of the one set that many workers lock.
pub(super) struct AcquireSet;

impl Operation for AcquireSet {
    const NAME: &'static str = "lock_all.acquire";
    const LOCKS: Locks = Locks::SameSet;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut set = Set::of(op);
        let mut guard = set.lock().timeout(op.wait).acquire(conn)?;
        op.plain_body(&mut guard)?;
        guard.release()?;
        Ok(Reached::End)
    }
}

impl PoolOperation for AcquireSet {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let mut set = Set::of(op);
        let mut guard = locks.acquire(set.lock().timeout(op.wait))?;
        op.plain_body(&mut guard)?;
        guard.release()?;
        Ok(Reached::End)
    }
}

/// A guard that is dropped, which returns no error. The lock must be free all the same.
pub(super) struct Dropped;

impl Operation for Dropped {
    const NAME: &'static str = "dropped";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut guard = op.lock_name().lock().timeout(op.wait).acquire(conn)?;
        op.plain_body(&mut guard)?;
        drop(guard);
        Ok(Reached::Dropped)
    }
}

impl PoolOperation for Dropped {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let mut guard = locks.acquire(op.lock_name().lock().timeout(op.wait))?;
        op.plain_body(&mut guard)?;
        drop(guard);
        Ok(Reached::Dropped)
    }
}
