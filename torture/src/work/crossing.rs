//! Two locks, the second inside of the first, in either order: sessions deadlock, and one must be told.

use std::thread::sleep;
use std::time::Duration;

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, PoolSource};
use torture_check::history::Outcome;

use super::{FromPool, Locks, WaitFor, Way};
use crate::cli::OwnFault;
use crate::model::{JOBS, Target};
use crate::worker::{Done, Op, Reached, WorkError};

pub(super) struct Crossing;

impl Way for Crossing {
    const NAME: &'static str = "crossing";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<OwnFault> = Some(OwnFault::Deadlock);
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let outer = op.lock_name().lock().timeout(op.wait);
        outer.hold(conn, |conn| cross(op, conn))?;
        Ok(Reached::End)
    }
}

impl FromPool for Crossing {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let outer = op.lock_name().lock().timeout(op.wait);
        outer.hold_from(pool, |conn| cross(op, conn))?;
        Ok(Reached::End)
    }
}

fn cross(op: &Op<'_>, conn: &mut MysqlConnection) -> Result<(), WorkError> {
    let steps = 1 + i64::from(op.die(u32::try_from(JOBS - 1).unwrap_or(1)));
    let other = Target::Job((op.target.id() - 1 + steps) % JOBS + 1);
    op.body(conn, |conn| {
        sleep(Duration::from_micros(500));
        let inner = op.nested("crossing/inner", other, WaitFor::Chosen, |inner| {
            let lock = inner.lock_name().lock().timeout(inner.wait);
            lock.hold(conn, |conn| inner.plain_body(conn))?;
            Ok::<_, WorkError>(Reached::End)
        });
        match inner {
            // The outer lock is untouched, and its body goes on without the inner one.
            Err(WorkError::Inner(Outcome::Deadlock | Outcome::Timeout)) => Ok(Vec::new()),
            other => other.map(|_| Vec::new()),
        }
    })
}
