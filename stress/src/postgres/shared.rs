//! `.shared()`: readers, which exclude writers and not each other.

use std::thread::sleep;
use std::time::Duration;

use diesel_advisory_lock::{LockDsl, LockSource, Lockable, lock_all};

use super::Conn;
use super::until_commit::transaction;
use crate::model::{Counter, Target};
use crate::work::{Locks, Operation, WaitFor};
use crate::worker::{Done, Op, Reached, WorkError};

/// Reads the row once more, which no writer can have changed since it was reloaded.
fn read_again(op: &Op<'_>, counter: &Counter, conn: &mut Conn) -> Result<(), WorkError> {
    op.body(conn, |conn| {
        sleep(Duration::from_micros(200));
        let again = Counter::load(counter.id, conn)?;
        match again.value == counter.value {
            true => Ok(Vec::new()),
            false => Err(WorkError::Changed),
        }
    })
}

pub(super) struct Run;

impl Operation for Run {
    const NAME: &'static str = "shared.run";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 8;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.with_row(|lock| {
            let lock = lock.shared();
            lock.run(conn, |counter, conn| read_again(op, counter, conn))
        })?;
        Ok(Reached::End)
    }
}

pub(super) struct TryRun;

impl Operation for TryRun {
    const NAME: &'static str = "shared.try_run";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Nothing;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().shared();
        let ran = lock.try_run(conn, |_, conn| op.plain_body(conn))?;
        Ok(ran.map_or(Reached::Contended, |()| Reached::End))
    }
}

pub(super) struct Transaction;

impl Operation for Transaction {
    const NAME: &'static str = "shared.transaction";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;
    const WEIGHT: usize = 8;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        op.with_row(|lock| {
            let lock = lock.shared();
            lock.transaction(conn, |counter, conn| read_again(op, counter, conn))
        })?;
        Ok(Reached::End)
    }
}

pub(super) struct Acquire;

impl Operation for Acquire {
    const NAME: &'static str = "shared.acquire";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait).shared();
        let mut guard = lock.acquire(conn)?;
        op.plain_body(&mut guard)?;
        guard.release()?;
        Ok(Reached::End)
    }
}

pub(super) struct Set;

impl Operation for Set {
    const NAME: &'static str = "shared.lock_all";
    const LOCKS: Locks = Locks::Set;
    const WAIT: WaitFor = WaitFor::Chosen;
    const MAY_LOSE_LOCK: bool = true;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let Target::Set { rows, scoped } = op.target else {
            unreachable!("the target of a set is a set");
        };
        let name = Target::Scoped(scoped).name();
        let mut rows = [rows.0, rows.1].map(|id| op.copy(id));
        let lock = lock_all((&name, &mut rows[..])).timeout(op.wait).shared();
        match op.random_below(2) {
            0 => lock.run(conn, |_, conn| op.plain_body(conn))?,
            _ => lock.transaction(conn, |_, conn| op.plain_body(conn))?,
        }
        Ok(Reached::End)
    }
}

pub(super) struct UntilCommit;

impl Operation for UntilCommit {
    const NAME: &'static str = "shared.until_commit";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        transaction(conn.connection(), |conn| {
            let lock = counter.lock().timeout(op.wait).shared();
            lock.until_commit(conn)?;
            read_again(op, &counter, conn)?;
            Ok(Reached::End)
        })
    }
}

/// A shared lock under the session's own exclusive one, which is re-entrant.
pub(super) struct InExclusive;

impl Operation for InExclusive {
    const NAME: &'static str = "reader_in_writer";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let outer = |counter: &mut Counter, conn: &mut Conn| {
            op.body(conn, |conn| {
                let wrote = vec![counter.increment(conn)?];
                op.nested("shared/inner", op.target, WaitFor::Default, |inner| {
                    let lock = inner.lock_name().lock().shared();
                    lock.run(conn, |_, conn| inner.plain_body(conn))?;
                    Ok::<_, WorkError>(Reached::End)
                })?;
                Ok(wrote)
            })
        };
        op.with_row(|lock| lock.transaction(conn, outer))?;
        Ok(Reached::End)
    }
}

/// An exclusive lock under the session's own shared one, which must be refused.
pub(super) struct Upgrade;

impl Operation for Upgrade {
    const NAME: &'static str = "shared.upgrade";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let lock = op.lock_name().lock().timeout(op.wait).shared();
        lock.run(conn, |_, conn| {
            op.body(conn, |conn| {
                let _refused = op.nested("upgrade", op.target, WaitFor::Chosen, |inner| {
                    let lock = inner.lock_name().lock().timeout(inner.wait);
                    lock.run(conn, |_, conn| inner.plain_body(conn))?;
                    Ok::<_, WorkError>(Reached::End)
                });
                Ok(Vec::new())
            })
        })?;
        Ok(Reached::End)
    }
}
