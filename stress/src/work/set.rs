//! `lock_all`: two rows and a name at once, in any order. A set is acquired in one order, so sets
//! never deadlock. Each commit increments both rows.
//!
//! Most sets of a [`LockPool`] differ from those of other workers. Two kinds do not: all workers
//! lock the same set, which is handed off between them, or sets that overlap, which are not.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{Lock, LockDsl, LockName, LockPool, LockSource, lock_all};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::model::{Counter, Target};
use crate::worker::{Done, Op, Reached, WorkError};

/// What is locked: a row's scope, and two rows as this thread has seen them last.
pub(super) struct Set {
    name: LockName,
    rows: [Counter; 2],
}

impl Set {
    pub(super) fn of(op: &Op<'_>) -> Self {
        let Target::Set { rows, scoped } = op.target else {
            unreachable!("the target of a set is a set");
        };
        Self {
            name: Target::Scoped(scoped).name(),
            rows: [rows.0, rows.1].map(|id| op.copy(id)),
        }
    }

    pub(super) fn lock(&mut self) -> Lock<(&LockName, &mut [Counter])> {
        lock_all((&self.name, &mut self.rows))
    }
}

fn increment(
    op: &Op<'_>,
    rows: &mut [Counter],
    conn: &mut MysqlConnection,
) -> Result<(), WorkError> {
    op.transaction_body(conn, |conn| {
        let written = rows.iter_mut().map(|row| row.increment(conn));
        Ok(written.collect::<Result<_, _>>()?)
    })
}

/// With a plain body, and the default timeout.
fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
    let mut set = Set::of(op);
    set.lock().run(conn, |_, conn| op.plain_body(conn))?;
    Ok(Reached::End)
}

fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
    let mut set = Set::of(op);
    locks.run(set.lock(), |_, conn| op.plain_body(conn))?;
    Ok(Reached::End)
}

/// With a body that increments, and the timeout of the operation.
fn transaction<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
    let mut set = Set::of(op);
    let lock = set.lock().timeout(op.wait);
    lock.transaction(conn, |(_, rows), conn| increment(op, rows, conn))?;
    Ok(Reached::End)
}

fn transaction_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
    let mut set = Set::of(op);
    let lock = set.lock().timeout(op.wait);
    locks.transaction(lock, |(_, rows), conn| increment(op, rows, conn))?;
    Ok(Reached::End)
}

pub(super) struct Run;

impl Operation for Run {
    const NAME: &'static str = "lock_all";
    const LOCKS: Locks = Locks::Set;
    const WAIT: WaitFor = WaitFor::Default;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        run(op, conn)
    }
}

impl PoolOperation for Run {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
        run_in_pool(op, locks)
    }
}

pub(super) struct TryRun;

impl Operation for TryRun {
    const NAME: &'static str = "lock_all.try_run";
    const LOCKS: Locks = Locks::Set;
    const WAIT: WaitFor = WaitFor::Nothing;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut set = Set::of(op);
        let ran = set.lock().try_run(conn, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

impl PoolOperation for TryRun {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
        let mut set = Set::of(op);
        let ran = locks.try_run(set.lock(), |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

pub(super) struct Transaction;

impl Operation for Transaction {
    const NAME: &'static str = "lock_all.transaction";
    const LOCKS: Locks = Locks::Set;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        transaction(op, conn)
    }
}

impl PoolOperation for Transaction {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
        transaction_in_pool(op, locks)
    }
}

pub(super) struct SameSet;

impl Operation for SameSet {
    const NAME: &'static str = "same_set";
    const LOCKS: Locks = Locks::SameSet;
    const WAIT: WaitFor = WaitFor::Default;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        run(op, conn)
    }
}

impl PoolOperation for SameSet {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
        run_in_pool(op, locks)
    }
}

pub(super) struct SameSetInTransaction;

impl Operation for SameSetInTransaction {
    const NAME: &'static str = "same_set.transaction";
    const LOCKS: Locks = Locks::SameSet;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 8;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        transaction(op, conn)
    }
}

impl PoolOperation for SameSetInTransaction {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
        transaction_in_pool(op, locks)
    }
}

pub(super) struct OverlappingSet;

impl Operation for OverlappingSet {
    const NAME: &'static str = "overlapping_set";
    const LOCKS: Locks = Locks::OverlappingSet;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        transaction(op, conn)
    }
}

impl PoolOperation for OverlappingSet {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<MysqlConnection>) -> Done {
        transaction_in_pool(op, locks)
    }
}
