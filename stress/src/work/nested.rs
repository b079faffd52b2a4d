//! A re-entrant call. The model in use must not be reloaded: its unsaved changes would be lost, and
//! its number would be written twice. A copy must be reloaded, since it may be stale.

use crate::server::Conn;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource, Lockable};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::model::{Counter, Written};
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Nested;

impl Operation for Nested {
    const NAME: &'static str = "nested";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.with_row(|lock| lock.transaction(conn, |counter, conn| save_inside(op, counter, conn)))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Nested {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        op.with_row(|lock| {
            locks.transaction(lock, |counter, conn| save_inside(op, counter, conn))
        })?;
        Ok(Reached::End)
    }
}

/// Changes the model, and saves it in a nested call.
fn save_inside(op: &Op<'_>, counter: &mut Counter, conn: &mut Conn) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        counter.value += 1;
        op.nested("nested/inner", op.target, WaitFor::Default, |inner| {
            counter.with_lock(conn, |counter, conn| {
                inner.body(conn, |conn| {
                    counter.save(conn)?;
                    Ok(Vec::new())
                })
            })?;
            Ok::<_, WorkError>(Reached::End)
        })?;
        let &mut Counter { id, value } = counter;
        Ok(vec![Written { id, value }])
    })
}

pub(super) struct NestedCopy;

impl Operation for NestedCopy {
    const NAME: &'static str = "nested_copy";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.with_row(|lock| lock.transaction(conn, |counter, conn| count_twice(op, counter, conn)))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for NestedCopy {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        op.with_row(|lock| {
            locks.transaction(lock, |counter, conn| count_twice(op, counter, conn))
        })?;
        Ok(Reached::End)
    }
}

/// Increments the row by the model, and then by a stale copy.
fn count_twice(op: &Op<'_>, counter: &mut Counter, conn: &mut Conn) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        let mut wrote = vec![counter.increment(conn)?];
        op.nested("nested_copy/inner", op.target, WaitFor::Default, |inner| {
            let mut copy = inner.counter();
            copy.with_lock(conn, |copy, conn| {
                inner.body(conn, |conn| {
                    wrote.push(copy.increment(conn)?);
                    Ok(Vec::new())
                })
            })?;
            Ok::<_, WorkError>(Reached::End)
        })?;
        Ok(wrote)
    })
}
