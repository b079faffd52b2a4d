//! Guards: released, tried, and forgotten.

use diesel::mysql::MysqlConnection;
use diesel_advisory_lock::{LockSource, Lockable, PoolSource};

use super::{FromPool, Locks, WaitFor, Way};
use crate::worker::{Done, Op, Reached};

pub(super) struct Acquire;

impl Way for Acquire {
    const NAME: &'static str = "acquire";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut counter = op.counter();
        let mut held = counter.lock().timeout(op.wait).acquire(conn)?;
        op.plain_body(&mut held)?;
        held.release()?;
        Ok(Reached::End)
    }
}

impl FromPool for Acquire {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut counter = op.counter();
        let mut held = counter.lock().timeout(op.wait).acquire_from(pool)?;
        op.plain_body(&mut held)?;
        held.release()?;
        Ok(Reached::End)
    }
}

pub(super) struct TryAcquire;

impl Way for TryAcquire {
    const NAME: &'static str = "try_acquire";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Nothing;
    const CAN_STEAL: bool = true;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let Some(mut held) = op.lock_name().lock().try_acquire(conn)? else {
            return Ok(Reached::Busy);
        };
        op.plain_body(&mut held)?;
        held.release()?;
        Ok(Reached::End)
    }
}

impl FromPool for TryAcquire {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let Some(mut held) = op.lock_name().lock().try_acquire_from(pool)? else {
            return Ok(Reached::Busy);
        };
        op.plain_body(&mut held)?;
        held.release()?;
        Ok(Reached::End)
    }
}

/// Dropped rather than released: nobody is told, but the lock must be free.
pub(super) struct Forgotten;

impl Way for Forgotten {
    const NAME: &'static str = "dropped";
    const LOCKS: Locks = Locks::Job;
    const WAIT: WaitFor = WaitFor::Chosen;
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = MysqlConnection>>(op: &Op<'_>, conn: &mut S) -> Done {
        let mut held = op.lock_name().lock().timeout(op.wait).acquire(conn)?;
        op.plain_body(&mut held)?;
        drop(held);
        Ok(Reached::Dropped)
    }
}

impl FromPool for Forgotten {
    fn run_from<P: PoolSource<Connection = MysqlConnection>>(op: &Op<'_>, pool: &P) -> Done {
        let mut held = op.lock_name().lock().timeout(op.wait).acquire_from(pool)?;
        op.plain_body(&mut held)?;
        drop(held);
        Ok(Reached::Dropped)
    }
}
