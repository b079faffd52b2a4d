//! A lock inside of itself. If the inner call is given the very model that the outer body works on, it must not reload it:
//! what the outer body has changed and not saved yet would be gone, and its number written twice. If it is given a copy, it
//! must reload that: the copy may be of any time.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::model::{Counter, Written};
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Nested;

impl Way for Nested {
    const NAME: &'static str = "nested";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction(conn, |counter, conn| count_inside(op, counter, conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for Nested {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction_from(pool, |counter, conn| count_inside(op, counter, conn))?;
        Ok(Reached::End)
    }
}

fn count_inside(
    op: &Op<'_>,
    counter: &mut Counter,
    conn: &mut MysqlConnection,
) -> Result<(), WorkError> {
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

impl Way for NestedCopy {
    const NAME: &'static str = "nested_copy";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction(conn, |counter, conn| count_twice(op, counter, conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for NestedCopy {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let lock = counter.lock().timeout(op.wait);
        lock.transaction_from(pool, |counter, conn| count_twice(op, counter, conn))?;
        Ok(Reached::End)
    }
}

/// Once by the model, and once by a copy from before.
fn count_twice(
    op: &Op<'_>,
    counter: &mut Counter,
    conn: &mut MysqlConnection,
) -> Result<(), WorkError> {
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
