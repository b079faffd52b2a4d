//! `lock_all` of two rows and a scoped name, in random order. The library acquires all sets in one
//! order, so sets never deadlock. Each commit increments both rows.
//!
//! Some operations lock the same set in all workers, which a [`LockPool`] hands off. Others lock
//! sets that overlap, which it must not hand off.

use crate::server::Conn;
use diesel_advisory_lock::{Lock, LockDsl, LockName, LockPool, LockSource, lock_all};

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::model::{Counter, Target};
use crate::worker::{Done, Op, Reached, WorkError};

/// The locked set: a scoped name, and two rows as this thread saw them last.
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

fn increment(op: &Op<'_>, rows: &mut [Counter], conn: &mut Conn) -> Result<(), WorkError> {
    op.transaction_body(conn, |conn| {
        let written = rows.iter_mut().map(|row| row.increment(conn));
        Ok(written.collect::<Result<_, _>>()?)
    })
}

/// Runs a plain body with the default timeout.
fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
    let mut set = Set::of(op);
    set.lock().run(conn, |_, conn| op.plain_body(conn))?;
    Ok(Reached::End)
}

fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
    let mut set = Set::of(op);
    locks.run(set.lock(), |_, conn| op.plain_body(conn))?;
    Ok(Reached::End)
}

/// Runs a body that increments, with the timeout of the call.
fn transaction<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
    let mut set = Set::of(op);
    let lock = set.lock().timeout(op.wait);
    lock.transaction(conn, |(_, rows), conn| increment(op, rows, conn))?;
    Ok(Reached::End)
}

fn transaction_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
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
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        run(op, conn)
    }
}

impl PoolOperation for Run {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        run_in_pool(op, locks)
    }
}

pub(super) struct TryRun;

impl Operation for TryRun {
    const NAME: &'static str = "lock_all.try_run";
    const LOCKS: Locks = Locks::Set;
    const WAIT: WaitFor = WaitFor::Nothing;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut set = Set::of(op);
        let ran = set.lock().try_run(conn, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

impl PoolOperation for TryRun {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
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
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        transaction(op, conn)
    }
}

impl PoolOperation for Transaction {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        transaction_in_pool(op, locks)
    }
}

pub(super) struct SameSet;

impl Operation for SameSet {
    const NAME: &'static str = "same_set";
    const LOCKS: Locks = Locks::SameSet;
    const WAIT: WaitFor = WaitFor::Default;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        run(op, conn)
    }
}

impl PoolOperation for SameSet {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        run_in_pool(op, locks)
    }
}

pub(super) struct SameSetInTransaction;

impl Operation for SameSetInTransaction {
    const NAME: &'static str = "same_set.transaction";
    const LOCKS: Locks = Locks::SameSet;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 8;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        transaction(op, conn)
    }
}

impl PoolOperation for SameSetInTransaction {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        transaction_in_pool(op, locks)
    }
}

pub(super) struct OverlappingSet;

impl Operation for OverlappingSet {
    const NAME: &'static str = "overlapping_set";
    const LOCKS: Locks = Locks::OverlappingSet;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        transaction(op, conn)
    }
}

impl PoolOperation for OverlappingSet {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        transaction_in_pool(op, locks)
    }
}
