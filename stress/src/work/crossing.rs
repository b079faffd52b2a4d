//! One lock inside another one, in either order. Two sessions deadlock, and the server refuses one
//! of them.

use std::thread::sleep;
use std::time::Duration;

use crate::server::Conn;
use diesel_advisory_lock::{LockDsl, LockPool, LockSource};
use stress_check::history::Outcome;

use super::{Locks, Operation, PoolOperation, WaitFor};
use crate::cli::WorkerFault;
use crate::model::{JOBS, Target};
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Crossing;

impl Operation for Crossing {
    const NAME: &'static str = "crossing";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Deadlock);
    /// Two calls must meet within a millisecond for a deadlock.
    const WEIGHT: usize = 8;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        let outer = op.lock_name().lock().timeout(op.wait);
        outer.run(conn, |_, conn| cross(op, conn))?;
        Ok(Reached::End)
    }
}

impl PoolOperation for Crossing {
    fn run_in_pool(op: &Op<'_>, locks: &LockPool<Conn>) -> Done {
        let outer = op.lock_name().lock().timeout(op.wait);
        locks.run(outer, |_, conn| cross(op, conn))?;
        Ok(Reached::End)
    }
}

fn cross(op: &Op<'_>, conn: &mut Conn) -> Result<(), WorkError> {
    let steps = 1 + i64::from(op.random_below(u32::try_from(JOBS - 1).unwrap_or(1)));
    let other = Target::Job((op.target.id() - 1 + steps) % JOBS + 1);
    op.body(conn, |conn| {
        sleep(Duration::from_micros(500));
        let inner = op.nested("crossing/inner", other, WaitFor::Chosen, |inner| {
            let lock = inner.lock_name().lock().timeout(inner.wait);
            lock.run(conn, |_, conn| inner.plain_body(conn))?;
            Ok::<_, WorkError>(Reached::End)
        });
        match inner {
            // The outer lock is still held, and its body goes on without the inner one.
            Err(WorkError::Inner(Outcome::Deadlock | Outcome::Timeout)) => Ok(Vec::new()),
            other => other.map(|_| Vec::new()),
        }
    })
}
