//! `.until_commit` and `.try_until_commit`, in transactions of the caller's.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::sleep;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel_advisory_lock::{LockDsl, LockSource, Lockable, lock_all};
use stress_check::history::Outcome;

use super::Conn;
use crate::cli::WorkerFault;
use crate::model::{JOBS, Target};
use crate::work::{Locks, Operation, WaitFor};
use crate::worker::{Done, Op, Reached, WorkError};

/// Runs a body in a transaction, which ends in any case: a lock lasts until then.
pub(super) fn transaction(
    conn: &mut Conn,
    body: impl FnOnce(&mut Conn) -> Result<Reached, WorkError>,
) -> Done {
    AnsiTransactionManager::begin_transaction(conn)?;
    let done = catch_unwind(AssertUnwindSafe(|| body(conn)));
    if let Ok(Ok(reached)) = done {
        let committed = AnsiTransactionManager::commit_transaction(conn);
        if committed.is_err() {
            roll_back(conn);
        }
        return match committed {
            Ok(()) => Ok(reached),
            Err(error) if reached == Reached::End => Err(WorkError::Commit(error)),
            Err(error) => Err(error.into()),
        };
    }
    roll_back(conn);
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Rolls back, or marks the connection as broken.
fn roll_back(conn: &mut Conn) {
    let is_open = |conn: &mut Conn| {
        let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
        !matches!(status.transaction_depth(), Ok(None))
    };
    // Faults may interrupt more than one statement.
    for _ in 0..10 {
        if !is_open(conn) {
            return;
        }
        let _ = AnsiTransactionManager::rollback_transaction(conn);
    }
    if is_open(conn) {
        AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
    }
}

pub(super) struct UntilCommit;

impl Operation for UntilCommit {
    const NAME: &'static str = "until_commit";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 12;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        transaction(conn.connection(), |conn| {
            counter.lock().timeout(op.wait).until_commit(conn)?;
            op.increment(&mut counter, conn)?;
            Ok(Reached::End)
        })
    }
}

pub(super) struct TryUntilCommit;

impl Operation for TryUntilCommit {
    const NAME: &'static str = "try_until_commit";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Nothing;
    const WEIGHT: usize = 6;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        transaction(conn.connection(), |conn| {
            if counter.lock().try_until_commit(conn)?.is_none() {
                return Ok(Reached::Contended);
            }
            op.increment(&mut counter, conn)?;
            Ok(Reached::End)
        })
    }
}

pub(super) struct UntilCommitSet;

impl Operation for UntilCommitSet {
    const NAME: &'static str = "until_commit.set";
    const LOCKS: Locks = Locks::Set;
    const WAIT: WaitFor = WaitFor::Chosen;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let Target::Set { rows, scoped } = op.target else {
            unreachable!("the target of a set is a set");
        };
        let name = Target::Scoped(scoped).name();
        let mut rows = [rows.0, rows.1].map(|id| op.copy(id));
        transaction(conn.connection(), |conn| {
            let set = lock_all((&name, &mut rows[..]));
            set.timeout(op.wait).until_commit(conn)?;
            op.body(conn, |conn| {
                let written = rows.iter_mut().map(|row| row.increment(conn));
                Ok(written.collect::<Result<_, _>>()?)
            })?;
            Ok(Reached::End)
        })
    }
}

/// One lock after another, in either order, both until COMMIT. A deadlock aborts the transaction.
pub(super) struct Crossing;

impl Operation for Crossing {
    const NAME: &'static str = "until_commit.crossing";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Deadlock);

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let steps = 1 + i64::from(op.random_below(u32::try_from(JOBS - 1).unwrap_or(1)));
        let other = Target::Job((op.target.id() - 1 + steps) % JOBS + 1);
        transaction(conn.connection(), |conn| {
            let lock = op.lock_name().lock().timeout(op.wait);
            lock.until_commit(conn)?;
            op.body(conn, |conn| {
                sleep(Duration::from_micros(500));
                let name = "until_commit.crossing/inner";
                let inner = op.nested(name, other, WaitFor::Chosen, |inner| {
                    let lock = inner.lock_name().lock().timeout(inner.wait);
                    lock.until_commit(conn)?;
                    inner.plain_body(conn)?;
                    Ok(Reached::End)
                });
                match inner {
                    // The transaction goes on.
                    Err(WorkError::Inner(Outcome::Timeout)) => Ok(Vec::new()),
                    other => other.map(|_| Vec::new()),
                }
            })?;
            Ok(Reached::End)
        })
    }
}
